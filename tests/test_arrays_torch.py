"""PyTorch tensors at the door: read, or refused by name with the way out."""

import re

import numpy as np
import pytest

from ctctag.ctc import align, best_path, ctc_loss, ctc_loss_and_grad, required_frames
from ctctag.exceptions import ParameterError
from ctctag.layers import Dense

torch = pytest.importorskip("torch")

X = np.random.default_rng(0).standard_normal((2, 6, 4)).astype(np.float32)


def test_tensors_are_read():
    targets = [[1, 2], [3]]
    expected = ctc_loss_and_grad(X, targets, [6, 5])
    tensors = [torch.tensor(target) for target in targets]
    found = ctc_loss_and_grad(torch.from_numpy(X), tensors, torch.tensor([6, 5]))
    assert found[0] == expected[0]
    np.testing.assert_array_equal(found[1], expected[1])
    padded = torch.tensor([[1, 2], [3, 0]])
    found = ctc_loss_and_grad(list(torch.from_numpy(X)), padded, torch.tensor([6, 5]), torch.tensor([2, 1]))
    assert found[0] == expected[0]
    assert best_path(torch.from_numpy(X[0])).labels.tolist() == best_path(X[0]).labels.tolist()
    assert align(torch.from_numpy(X[0]), torch.tensor([1, 2])).score == align(X[0], [1, 2]).score
    assert required_frames(torch.tensor([1, 1])) == 3
    layer = Dense(4, 2)
    np.testing.assert_array_equal(layer.forward(torch.from_numpy(X))[0], layer.forward(X)[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda x: x.requires_grad_(),
            "inputs is a PyTorch tensor that requires grad, and no gradient would flow",
        ),
        (
            lambda x: x.to(torch.bfloat16),
            "inputs is a PyTorch tensor of torch.bfloat16, which NumPy cannot hold",
        ),
        (lambda x: x.to("meta"), "inputs is a PyTorch tensor on meta (pass inputs.cpu())"),
        (
            lambda x: x.to_sparse(),
            "inputs is a PyTorch tensor of layout torch.sparse_coo, which NumPy lacks (pass inputs.to_den",
        ),
        (
            lambda x: torch.nested.as_nested_tensor([x[0], x[1, :3]]),
            "inputs is a nested PyTorch tensor (pass torch.nested.to_padded_tensor(inputs, 0.0), and the len",
        ),
        (lambda x: [x[0], x[1].requires_grad_()], "inputs[1] is a PyTorch tensor that requires grad"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*nested tensors is in prototype:UserWarning")
def test_tensors_are_refused_by_name(change, message):
    with pytest.raises(ParameterError, match=re.escape(message)):
        ctc_loss(change(torch.from_numpy(X.copy())), [[1], [2]])


def test_tensors_of_a_layer_are_refused_by_name():
    with pytest.raises(ParameterError, match=re.escape("x is a PyTorch tensor that requires grad")):
        Dense(4, 2).forward(torch.from_numpy(X.copy()).requires_grad_())


def test_targets_that_require_grad_are_refused():
    scores = torch.zeros(2, 1, requires_grad=True)
    with pytest.raises(ParameterError, match=re.escape("targets is a PyTorch tensor that requires grad")):
        ctc_loss(X, scores)
