"""Each system against the same network written in PyTorch: loss, scores and every gradient, in float64."""

import numpy as np
import pytest

from ctctag.models import SYSTEMS, build

torch = pytest.importorskip("torch")

LENGTHS = [11, 14, 8]
TARGETS = [[2, 0, 2], [1], []]


class Crnn(torch.nn.Module):
    """The paper's network, channels first, from PyTorch's own layers."""

    def __init__(self, channels, n_mels, hidden, outputs):
        super().__init__()
        sizes = (1, *channels)
        self.convs = torch.nn.ModuleList(
            torch.nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in zip(sizes, channels, strict=False)
        )
        self.norms = torch.nn.ModuleList(torch.nn.BatchNorm2d(c) for c in channels)
        features = channels[-1] * (n_mels >> len(channels))
        self.gru = torch.nn.GRU(features, hidden, batch_first=True, bidirectional=True)
        self.dense = torch.nn.Linear(2 * hidden, outputs)

    def forward(self, x, last_states=False):
        x = x[:, None]  # (N, 1, T, F)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = torch.nn.functional.max_pool2d(torch.relu(norm(conv(x))), (1, 2))
        x = x.permute(0, 2, 3, 1).flatten(2)  # (N, T, F * C): bands slow, channels fast, as ours
        y, states = self.gru(x)
        if last_states:
            y = torch.cat([states[0], states[1]], dim=-1)
        return self.dense(y)


def twin(model, n_mels):
    channels = [model.params[f"block{i}.conv.weight"].shape[-1] for i in range(1, 5)]
    hidden = model.params["gru.forward.weight_hh"].shape[1]
    net = Crnn(channels, n_mels, hidden, model.head.n_outputs).double().train()
    with torch.no_grad():
        for parameter, array in pairs(net, model.params):
            parameter.copy_(torch.tensor(array))
    return net


def pairs(net, arrays):
    """Yield each PyTorch parameter with our array of the same meaning, in PyTorch's layout."""
    for i, (conv, norm) in enumerate(zip(net.convs, net.norms, strict=True), start=1):
        yield conv.weight, arrays[f"block{i}.conv.weight"].transpose(3, 2, 0, 1)
        yield norm.weight, arrays[f"block{i}.norm.weight"]
        yield norm.bias, arrays[f"block{i}.norm.bias"]
    for ours, suffix in (("forward", ""), ("reverse", "_reverse")):
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            yield getattr(net.gru, f"{name}_l0{suffix}"), arrays[f"gru.{ours}.{name}"]
    yield net.dense.weight, arrays["dense.weight"].T
    yield net.dense.bias, arrays["dense.bias"]


def torch_loss(system, scores):
    tags = torch.zeros(3, 3, dtype=torch.float64)
    for row, labels in zip(tags, TARGETS, strict=True):
        row[labels] = 1
    if system == "baseline":
        return torch.nn.functional.binary_cross_entropy_with_logits(scores, tags)
    if system == "crmp":
        return torch.nn.functional.binary_cross_entropy(torch.sigmoid(scores).amax(1), tags)
    if system == "crap":
        return torch.nn.functional.binary_cross_entropy(torch.sigmoid(scores).mean(1), tags)
    targets = torch.tensor([label + 1 for labels in TARGETS for label in labels])
    log_probs = scores.log_softmax(-1).transpose(0, 1)
    frames = torch.full((3,), scores.shape[1])
    return torch.nn.functional.ctc_loss(log_probs, targets, frames, torch.tensor([3, 1, 0]))


@pytest.mark.parametrize("system", SYSTEMS)
def test_scores_loss_and_gradients_equal_pytorch(system):
    model = build(system, n_classes=3, preset="tiny", n_mels=16, seed=9, dtype=np.float64)
    model.layers.layers["dropout"].p = 0.0
    x = np.random.default_rng(2).standard_normal((3, 14, 16))
    net = twin(model, 16)
    scores = net(torch.tensor(x), last_states=system == "baseline")
    loss = torch_loss(system, scores)
    loss.backward()

    ours, _ = model.forward(x, training=True)
    np.testing.assert_allclose(ours, scores.detach().numpy(), rtol=1e-10, atol=1e-12)
    our_loss, grads = model.loss_and_grads(x, TARGETS)
    assert our_loss == pytest.approx(loss.item(), rel=1e-10)
    for parameter, grad in pairs(net, grads):
        expected = parameter.grad.numpy()
        np.testing.assert_allclose(grad, expected, rtol=1e-10, atol=1e-10 * (np.abs(expected).max() + 1e-2))


def test_ten_steps_of_adam_give_the_losses_of_pytorch():
    from ctctag.optim import Adam

    model = build("crnn-ctc", n_classes=3, preset="tiny", n_mels=16, seed=9, dtype=np.float64)
    model.layers.layers["dropout"].p = 0.0
    x = np.random.default_rng(2).standard_normal((3, 14, 16))
    net = twin(model, 16)
    theirs, ours = [], []
    adam = torch.optim.Adam(net.parameters(), lr=1e-3)
    our_adam = Adam(model.params, lr=1e-3)
    for _ in range(10):
        adam.zero_grad()
        loss = torch_loss("crnn-ctc", net(torch.tensor(x)))
        loss.backward()
        adam.step()
        theirs.append(loss.item())
        our_loss, grads = model.loss_and_grads(x, TARGETS)
        our_adam.step(grads)
        ours.append(our_loss)
    np.testing.assert_allclose(ours, theirs, rtol=1e-7)
