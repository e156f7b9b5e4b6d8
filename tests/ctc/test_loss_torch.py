"""The loss and its gradient at the logits against PyTorch, in float64."""

import numpy as np
import pytest

from ctctag.ctc import ctc_loss_and_grad

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("blank", [0, 4])
def test_against_torch(reduction, blank):
    rng = np.random.default_rng(blank)
    N, T, C = 6, 50, 9
    x = 2 * rng.standard_normal((N, T, C))
    lengths = rng.integers(30, T + 1, N)
    labels = [k for k in range(C) if k != blank]
    targets = [rng.choice(labels, n) for n in (0, 1, 5, 12, 3, 14)]
    targets[4][:] = labels[0]  # repeats

    logits = torch.tensor(x, requires_grad=True)
    expected = torch.nn.functional.ctc_loss(
        logits.log_softmax(-1).transpose(0, 1),
        torch.tensor(np.concatenate(targets)),
        torch.tensor(lengths),
        torch.tensor([len(t) for t in targets]),
        blank=blank,
        reduction=reduction,
    )
    expected.sum().backward()
    loss, grad = ctc_loss_and_grad(x, targets, lengths, blank=blank, reduction=reduction)
    np.testing.assert_allclose(loss, expected.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(grad, logits.grad.numpy(), atol=1e-12)


def test_float32_gradient_beats_torch():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 800, 20)).astype(np.float32)
    targets = rng.integers(1, 20, (2, 150))
    exact = ctc_loss_and_grad(x.astype(np.float64), targets, reduction="sum")[1]
    logits = torch.tensor(x, requires_grad=True)
    torch.nn.functional.ctc_loss(
        logits.log_softmax(-1).transpose(0, 1),
        torch.tensor(targets),
        torch.full((2,), 800),
        torch.full((2,), 150),
        reduction="sum",
    ).backward()
    theirs = np.abs(logits.grad.numpy() - exact).max()
    ours = np.abs(ctc_loss_and_grad(x, targets, reduction="sum")[1] - exact).max()
    assert ours < theirs / 30
