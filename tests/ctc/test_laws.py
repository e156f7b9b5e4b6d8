"""Laws that hold for any input: rungs of the ladder agree, and nothing depends on how the work was cut."""

import multiprocessing
import signal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ctctag
from ctctag.ctc import _engine, best_path, ctc_loss, ctc_loss_and_grad, lattice, required_frames
from ctctag.ctc._inputs import check_scores, check_targets
from ctctag.gradcheck import check_gradients
from ctctag.numerics import log_softmax, softmax
from ctctag.reference import ctc_lattice_numpy, ctc_loss_and_grad_numpy, ctc_loss_and_grad_plain


def batch(N=5, T=40, C=6, L=7, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    x = 3 * rng.standard_normal((N, T, C)).astype(dtype)
    targets = [rng.integers(1, C, rng.integers(0, L + 1)).tolist() for _ in range(N)]
    return x, targets, rng.integers(2 * L, T + 1, N)


@pytest.mark.kernel
@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 10**6),
    st.integers(1, 12),
    st.integers(2, 5),
    st.integers(0, 20),
    st.sampled_from([0.1, 3, 30]),
)
def test_rungs_agree(seed, T, C, L, spread):
    rng = np.random.default_rng(seed)
    logits = spread * rng.standard_normal((T, C))
    target = rng.integers(1, C, L)
    log_y = log_softmax(logits)
    expected, grad = ctc_loss_and_grad_numpy(log_y, target)
    plain, grad_plain = ctc_loss_and_grad_plain(log_y.tolist(), target.tolist())
    loss, grad_fast = ctc_loss_and_grad(log_y, target, inputs_are="log_probs", reduction="sum")
    np.testing.assert_allclose([plain, loss], expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(grad_plain, grad, atol=1e-10)
    np.testing.assert_allclose(grad_fast, grad, atol=1e-10)
    assert np.isinf(loss) == (required_frames(target) > T)


@pytest.mark.parametrize("L", [15, 16, 17, 40])
def test_across_tiles(L):
    rng = np.random.default_rng(L)
    logits = rng.standard_normal((60, 5))
    target = rng.integers(1, 5, L)
    target[::2] = target[1]
    log_y = log_softmax(logits)
    for T in (required_frames(target), 60) if required_frames(target) <= 60 else (60,):
        expected, grad = ctc_loss_and_grad_numpy(log_y[:T], target)
        loss, grad_fast = ctc_loss_and_grad(logits[:T], target, reduction="sum")
        np.testing.assert_allclose(loss, expected, rtol=1e-12)
        np.testing.assert_allclose(
            grad_fast - np.where(np.isinf(loss), 0, softmax(logits[:T])), grad, atol=1e-11
        )
        trellis = lattice(logits[:T], target)
        alpha, beta, states = ctc_lattice_numpy(log_y[:T], target)
        np.testing.assert_allclose(trellis.alpha, alpha, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(trellis.beta, beta, rtol=1e-10, atol=1e-10)
        assert (trellis.states == states).all()


@pytest.mark.kernel
def test_lattice_sums_to_the_loss_at_every_frame():
    logits = np.random.default_rng(3).standard_normal((9, 4))
    trellis = lattice(logits, [1, 1, 3], blank=-2)
    per_frame = np.logaddexp.reduce(trellis.alpha + trellis.beta, axis=1)
    np.testing.assert_allclose(per_frame, -trellis.loss, rtol=1e-12)
    np.testing.assert_allclose(trellis.occupancy.sum(axis=1), 1, rtol=1e-12)


@pytest.mark.kernel
def test_reversing_time_and_labels_keeps_the_loss():
    x = np.random.default_rng(4).standard_normal((12, 5))
    assert ctc_loss(x, [1, 2, 2, 4]) == pytest.approx(ctc_loss(x[::-1], [4, 2, 2, 1]), rel=1e-13)


@pytest.mark.kernel
def test_rows_of_the_logits_gradient_sum_to_zero():
    x, targets, lengths = batch(dtype=np.float64, T=20)
    _, grad = ctc_loss_and_grad(x, targets, lengths.clip(max=20), reduction="none")
    np.testing.assert_allclose(grad.sum(axis=2), 0, atol=1e-13)


@pytest.mark.parametrize("kind", ["logits", "log_probs", "probs"])
@pytest.mark.parametrize("reduction", ["mean", "batchmean", "sum"])
def test_difference_quotients(kind, reduction):
    x, targets, lengths = batch(N=3, T=18, C=5, L=4, dtype=np.float64)
    lengths = lengths.clip(max=18)
    x = {"logits": lambda x: x, "log_probs": log_softmax, "probs": softmax}[kind](x / 3)
    options = {"inputs_are": kind, "reduction": reduction, "check_normalised": False}
    _, grad = ctc_loss_and_grad(x, targets, lengths, **options)
    report = check_gradients(
        lambda: float(ctc_loss(x, targets, lengths, **options)), {"x": x}, {"x": grad}, verbose=False
    )
    assert report.ok


def same_bits(a, b):
    return all(np.asarray(p).tobytes() == np.asarray(q).tobytes() for p, q in zip(a, b, strict=True))


def test_threads_batch_cut_and_padding_change_no_bit(monkeypatch):
    x, targets, lengths = batch(N=9)
    monkeypatch.setattr(_engine, "_GRAIN", 3000)  # several tasks even for these few clips
    before = ctctag.get_num_threads()
    try:
        ctctag.set_num_threads(1)
        loss, grad = ctc_loss_and_grad(x, targets, lengths, reduction="none")
        for threads in (2, 7):
            ctctag.set_num_threads(threads)
            assert same_bits(ctc_loss_and_grad(x, targets, lengths, reduction="none"), (loss, grad))
    finally:
        ctctag.set_num_threads(before)
    parts = [
        ctc_loss_and_grad(x[a:b], targets[a:b], lengths[a:b], reduction="none")
        for a, b in ((0, 1), (1, 6), (6, 9))
    ]
    assert same_bits([np.concatenate([p[i] for p in parts]) for i in (0, 1)], (loss, grad))
    padded = np.concatenate([x, np.full((9, 13, 6), np.nan, np.float32)], axis=1)
    for n, T in enumerate(lengths):
        padded[n, T:] = np.nan
    more = ctc_loss_and_grad(padded, targets, lengths, reduction="none")
    assert same_bits((more[0], more[1][:, :40]), (loss, grad))
    assert not more[1][:, 40:].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["logits", "probs"])
def test_blocks_change_no_bit(dtype, kind):
    x, targets, lengths = batch(N=4, T=90, L=30, dtype=dtype)
    x = softmax(x) if kind == "probs" else x
    scores = check_scores(x, lengths.clip(61), 0, kind, True)
    checked = check_targets(targets, None, scores)
    plain = _engine.run_batch(scores, checked, np.ones(4))
    for room in (0, 4000, 20000):
        assert same_bits(_engine.run_batch(scores, checked, np.ones(4), room), plain)


def test_eight_python_threads_at_once():
    x, targets, lengths = batch(N=6)
    expected = ctc_loss_and_grad(x, targets, lengths)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: ctc_loss_and_grad(x, targets, lengths), range(32)))
    assert all(same_bits(result, expected) for result in results)


def _child(answer, x, targets, lengths):
    signal.alarm(600)  # ends it if it hangs
    answer.send(float(ctc_loss(x, targets, lengths)))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_in_a_child_forked_after_use(monkeypatch):
    monkeypatch.setattr(_engine, "_GRAIN", 3000)
    x, targets, lengths = batch(N=6)
    expected = float(ctc_loss(x, targets, lengths))
    context = multiprocessing.get_context("fork")
    answer, send = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(send, x, targets, lengths))
    child.start()
    send.close()  # so that a child that ends without a word is an EOFError here
    assert answer.recv() == expected
    child.join()
    assert child.exitcode == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_very_confident_inputs(dtype):
    x = np.full((1, 50, 5), -1e4, dtype)
    x[0, :, 0] = 1e4  # 50 frames of certain silence
    loss, grad = ctc_loss_and_grad(x, [[]], reduction="sum")
    assert loss == 0
    assert not grad.any()
    loss, grad = ctc_loss_and_grad(x, [[3]], reduction="sum")  # one frame is wrong by 20000, 50 ways
    assert loss == pytest.approx(2e4 - np.log(50), rel=1e-7)
    np.testing.assert_allclose(grad[0, :, 3], -1 / 50, rtol=1e-5)
    np.testing.assert_allclose(grad[0, :, 0], 1 / 50, rtol=1e-4)


def test_long_silence():
    x = np.zeros((1, 3000, 3), np.float32)
    x[0, :, 0] = 12
    loss, grad = ctc_loss_and_grad(x, [[1, 2]], reduction="sum")
    expected, occupancy = ctc_loss_and_grad_numpy(log_softmax(x[0].astype(np.float64)), [1, 2])
    assert loss == pytest.approx(expected, rel=1e-7)
    assert np.abs(grad[0] - softmax(x[0].astype(np.float64)) - occupancy).max() < 1e-6


def test_float32_is_accurate():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((2, 1000, 32)).astype(np.float32)
    targets = rng.integers(1, 32, (2, 120))
    loss, grad = ctc_loss_and_grad(x, targets, reduction="none")
    exact, exact_grad = ctc_loss_and_grad(x.astype(np.float64), targets, reduction="none")
    np.testing.assert_allclose(loss, exact, rtol=1e-7)
    assert np.abs(grad - exact_grad).max() < 6e-5  # a hundredth of what PyTorch's float32 is off by


@pytest.mark.kernel
def test_best_path_of_a_batch():
    x, _, lengths = batch(N=3, T=12, L=3)
    together = best_path(x, lengths.clip(max=12))
    for n, decoded in enumerate(together):
        alone = best_path(x[n, : min(lengths[n], 12)])
        assert decoded.labels.tolist() == alone.labels.tolist()
        assert decoded.spans.tolist() == alone.spans.tolist()
        assert decoded.score == alone.score
