"""Bad arguments: which error, in which words."""

# ruff: noqa: E501

import re

import numpy as np
import pytest

from ctctag.ctc import (
    align,
    beam_search,
    best_path,
    ctc_loss,
    ctc_loss_and_grad,
    lattice,
    required_frames,
    tag_probs,
)
from ctctag.exceptions import ParameterError
from ctctag.numerics import log_softmax

pytestmark = pytest.mark.kernel
X = np.random.default_rng(0).standard_normal((2, 6, 4))


def spoilt(index, value, x=X):
    x = x.copy()
    x[index] = value
    return x


BAD = [
    (dict(targets=[[1], [4]]), "targets[1] contains 4, but labels must lie in [0, 4) and differ from blank=0 (is the vocabulary off by one?)"),
    (dict(targets=[[1], [9]]), "targets[1] contains 9, but labels must lie in [0, 4) and differ from blank=0 (is it a label of another"),
    (dict(targets=[[1, 0], [2, 3]]), "targets[0] contains 0, but labels must lie in [0, 4) and differ from blank=0 (is it padding? then pass"),
    (dict(targets=[[1, -1], [2, 3]]), "targets[0] contains -1, but"),
    (dict(targets=[[3], [2]], blank=-1), "targets[0] contains 3, but labels must lie in [0, 4) and differ from blank=3"),
    (dict(targets=[[1]]), "targets must be padded (2, L), a list of 2 sequences, or end to end with target_lengths"),
    (dict(targets=[[1], [2, 3], [1]]), "targets must hold one sequence for each of the 2 clips, got 3"),
    (dict(targets=[[1.5], [2.0]]), "targets must hold integers, got dtype float64"),
    (dict(targets=np.array([1, 2, 3])), "targets end to end, shape (3,), need target_lengths to be told apart"),
    (dict(targets=np.array([1, 2, 3]), target_lengths=[1, 1]), "target_lengths must sum to the 3 labels of targets, but they sum to 2"),
    (dict(targets=np.ones((2, 3), int), target_lengths=[1, 4]), "target_lengths[1] is 4, but must lie in [0, 3]"),
    (dict(targets=[[1], [2, 3]], target_lengths=[1, 1]), "target_lengths must be the lengths of the listed targets, [1, 2], got [1, 1]"),
    (dict(input_lengths=[6, 7]), "input_lengths[1] is 7, but must lie in [1, 6]"),
    (dict(inputs=np.ma.masked_greater(X, 1)), "inputs is a masked array with masked values, and a mask would be ignored (pass the number of valid frames"),
    (dict(inputs=[X[0], np.ma.masked_greater(X[1], 1)]), "inputs[1] is a masked array with masked values"),
    (dict(targets=np.ma.masked_equal([[1, 3], [2, 2]], 3)), "targets is a masked array with masked values"),
    (dict(targets=[np.ma.masked_equal([1, 3], 3), [2]]), "targets[0] is a masked array with masked values"),
    (dict(input_lengths=np.ma.masked_equal([6, 5], 5)), "input_lengths is a masked array with masked values"),
    (dict(targets=np.array([[1], [1]]), target_lengths=np.ma.masked_equal([1, 0], 0)), "target_lengths is a masked array with masked"),
    (dict(targets=np.full((2, 1), 2**64 - 1, np.uint64)), "targets contains 18446744073709551615, which is no class and no length (is it -1, cast to uint64?)"),
    (dict(input_lengths=np.full(2, 2**63, np.uint64)), "input_lengths contains 9223372036854775808, which is no class"),
    (dict(targets=[[1, 2], [[3], [1, 2]]]), "targets must be one rectangular array, got rows of different lengths"),
    (dict(input_lengths=[[6], [6, 5]]), "input_lengths must be one rectangular array, got rows of different lengths"),
    (dict(inputs={"a": 1}), "inputs must be float16, float32 or float64, got dtype object"),
    (dict(inputs=np.full((2, 6, 4), np.inf), inputs_are="probs", check_normalised=False), "inputs[0, 0, 0] is inf, but unnormalised probabilities must be at least 0, below inf and not NaN"),
    (dict(input_lengths=[6]), "input_lengths must have shape (2,), one length for each clip, got (1,)"),
    (dict(blank=4), "blank must be at least -4 and at most 3, got 4"),
    (dict(reduction="avg"), "reduction must be one of 'none', 'sum', 'mean', 'batchmean', got 'avg'"),
    (dict(infeasible="skip"), "infeasible must be one of 'inf', 'zero', 'raise', got 'skip'"),
    (dict(inputs_are="scores"), "inputs_are must be one of 'logits', 'log_probs', 'probs', got 'scores'"),
    (dict(inputs=X[0, 0]), "inputs must have shape (N, T, C), or (T, C) for one clip, got (4,)"),
    (dict(inputs=X[:, :0]), "inputs must hold at least one clip, frame and class, got shape (2, 0, 4)"),
    (dict(inputs=X.astype(complex)), "inputs must be float16, float32 or float64, got dtype complex128"),
    (dict(inputs=[X[0], X[1, :5]]), "inputs must be one rectangular array, got rows of different lengths (pad the clips, and pass input_lengths)"),
    (dict(inputs=spoilt((1, 2, 3), np.nan)), "inputs[1, 2, 3] is nan, but logits must be below inf and not NaN"),
    (dict(inputs=spoilt((1, 2, 3), -np.nan)), "inputs[1, 2, 3] is nan, but logits must be below inf and not NaN"),
    (dict(inputs=spoilt((0, 5, 1), np.inf)), "inputs[0, 5, 1] is inf, but logits must be below inf and not NaN"),
    (dict(inputs=spoilt((0, 5), -np.inf)), "inputs[0, 5] is -inf for every class, but one class at least must be possible"),
    (dict(inputs_are="log_probs"), "inputs[0, 0] are log-probabilities that sum to"),
    (dict(inputs_are="log_probs"), "but each frame must sum to 1 within 0.001 (did you pass logits? If they are meant"),
    (dict(inputs=np.full((2, 6, 4), 0.5), inputs_are="probs"), "inputs[0, 0] are probabilities that sum to 2, but each frame"),
    (dict(inputs_are="probs"), "but probabilities must lie in [0, 1] (did you pass logits or log-probabilities?)"),
    (dict(targets=[[1, 1, 1, 1], [2, 3, 2, 3]], infeasible="raise"), "targets[0] has 4 labels and 3 adjacent repeats, so it needs 7 frames, but the clip has 6 (does the network pool over time?)"),
    (dict(inputs=spoilt((slice(None), slice(None), 2), -np.inf), infeasible="raise"), "targets[1] (1 labels, 0 adjacent repeats, 6 frames) has probability zero: every path meets a class"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), BAD)
@pytest.mark.parametrize("function", [ctc_loss, ctc_loss_and_grad])
def test_bad_arguments(function, change, message):
    arguments = {"inputs": X, "targets": [[1], [2]], **change}
    with pytest.raises(ParameterError, match=re.escape(message)):
        function(arguments.pop("inputs"), arguments.pop("targets"), **arguments)


def test_bad_arguments_of_one_clip():
    with pytest.raises(ParameterError, match=re.escape("targets contains 7, but labels must lie in [0, 4)")):
        ctc_loss(X[0], [1, 7])
    with pytest.raises(ParameterError, match=re.escape("inputs[3, 1] is nan")):
        ctc_loss(spoilt((3, 1), np.nan, X[0]), [1])
    with pytest.raises(
        ParameterError, match=re.escape("targets of one clip must have shape (L,), got (2, 2)")
    ):
        ctc_loss(X[0], [[1, 2], [1, 2]])
    with pytest.raises(ParameterError, match="target must hold integers, got dtype float64"):
        required_frames([1.5])
    with pytest.raises(ParameterError, match="target must be one sequence of labels, got shape"):
        required_frames([[1], [2]])


def test_bad_arguments_of_the_others():
    with pytest.raises(
        ParameterError, match=re.escape("inputs must be one clip of shape (T, C), got (2, 6, 4)")
    ):
        lattice(X, [1])
    with pytest.raises(ParameterError, match=re.escape("the target has 4 labels and 3 adjacent repeats")):
        align(X[0], [1, 1, 1, 1])
    with pytest.raises(ParameterError, match="beam_width must be at least n_best = 5, got 2"):
        beam_search(X, beam_width=2, n_best=5)
    with pytest.raises(ParameterError, match="did you pass logits"):
        tag_probs(X, inputs_are="log_probs")
    with pytest.raises(ParameterError, match=re.escape("inputs[1, 0, 0] is nan")):
        best_path(spoilt((1, 0, 0), np.nan))


def test_infeasible_policies():
    targets = [[1, 1, 1, 1], [2]]
    loss, grad = ctc_loss_and_grad(X, targets, reduction="none")
    assert loss[0] == np.inf
    assert np.isfinite(loss[1])
    assert not grad[0].any()
    assert grad[1].any()
    loss, grad = ctc_loss_and_grad(X, targets, reduction="mean", infeasible="zero")
    assert loss == pytest.approx(ctc_loss(X[1:], [[2]]) / 2)
    assert not grad[0].any()
    assert ctc_loss(X, targets) == np.inf
    long_target = np.arange(40) % 3 + 1  # far more labels than frames
    assert ctc_loss(X[0], long_target) == np.inf


def test_unnormalised_scores_on_purpose():
    scores = X + 2.0
    loss, grad = ctc_loss_and_grad(
        scores, [[1], [2]], inputs_are="log_probs", check_normalised=False, reduction="sum"
    )
    normalised = ctc_loss(log_softmax(X), [[1], [2]], inputs_are="log_probs", reduction="sum")
    shift = (scores - log_softmax(X))[..., 0].sum()
    assert loss == pytest.approx(normalised - shift, rel=1e-12)
    np.testing.assert_allclose(grad.sum(axis=2), -1, rtol=1e-12)


def test_shapes_of_targets_agree():
    lists = [[1, 2, 1], [3]]
    expected = ctc_loss_and_grad(X, lists)
    padded = np.array([[1, 2, 1], [3, 99, -5]])
    joined = np.array([1, 2, 1, 3])
    for targets in (padded, padded.tolist(), joined, joined.tolist(), padded.astype(np.uint8)):
        loss, grad = ctc_loss_and_grad(X, targets, target_lengths=[3, 1])
        assert loss == expected[0]
        assert (grad == expected[1]).all()
    assert np.isfinite(ctc_loss(X, [[], []]))
    assert ctc_loss(X, np.zeros((2, 0), int)) == ctc_loss(X, [[], []])


def test_reductions():
    targets = [[1, 2, 1], []]
    each, grads = ctc_loss_and_grad(X, targets, reduction="none")
    assert ctc_loss(X, targets, reduction="sum") == pytest.approx(each.sum())
    assert ctc_loss(X, targets, reduction="batchmean") == pytest.approx(each.mean())
    loss, grad = ctc_loss_and_grad(X, targets)
    assert loss == pytest.approx((each[0] / 3 + each[1]) / 2)
    np.testing.assert_allclose(grad, grads / np.array([6, 2])[:, None, None])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtypes_come_back(dtype):
    x = X.astype(dtype)
    for inputs, targets in ((x, [[1], [2]]), (x[0], [1])):
        loss, grad = ctc_loss_and_grad(inputs, targets)
        assert loss.dtype == grad.dtype == dtype
        assert np.shape(loss) == ()
        assert grad.shape == inputs.shape
    assert tag_probs(x).dtype == dtype
    exact = ctc_loss_and_grad(x.astype(np.float64), [[1], [2]])
    np.testing.assert_allclose(ctc_loss_and_grad(x, [[1], [2]])[1], exact[1], atol=10 * np.finfo(dtype).eps)


def test_inputs_of_any_layout():
    expected = ctc_loss_and_grad(X, [[1], [2]])
    read_only = X.copy()
    read_only.flags.writeable = False
    for x in (np.asfortranarray(X), X.astype(">f8"), read_only, X.tolist()):
        loss, grad = ctc_loss_and_grad(x, [[1], [2]])
        assert loss == expected[0]
        assert (grad == expected[1]).all()
