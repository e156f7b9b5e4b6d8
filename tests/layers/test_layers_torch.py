"""Layers, losses and optimisers equal PyTorch's in float64, values and gradients."""

import numpy as np
import pytest

from ctctag import optim
from ctctag.layers import (
    GRU,
    BatchNorm,
    BiGRU,
    Conv2d,
    Dense,
    MaxPool2d,
    ReLU,
    Sequential,
    from_torch_state,
    to_torch_state,
)
from ctctag.losses import binary_cross_entropy, binary_cross_entropy_with_logits

torch = pytest.importorskip("torch")
rnn = torch.nn.utils.rnn

F64 = np.float64
LENGTHS = np.array([9, 4, 6])
CLOSE = {"rtol": 1e-10, "atol": 1e-11}


def sample(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def agree(actual, wanted):
    if isinstance(wanted, torch.Tensor):
        wanted = wanted.detach().numpy()
    np.testing.assert_allclose(actual, wanted, **CLOSE)


def load(module, layer):
    module.load_state_dict({k: torch.from_numpy(v) for k, v in to_torch_state(layer).items()}, strict=False)
    return module.double()


def agree_grads(layer, grads, module):
    """Compare gradients, turned into PyTorch's shapes by the converter itself."""
    for key, array in layer.params.items():
        array[...] = grads[key]
    turned = to_torch_state(layer)
    for key, parameter in module.named_parameters():
        agree(turned[key], parameter.grad)


def masked(y, lengths):
    frames = torch.arange(y.shape[1])[None] < torch.from_numpy(lengths)[:, None]
    return y * frames.reshape(*frames.shape, *[1] * (y.ndim - 2))


@pytest.mark.parametrize("kernel_size", [(3, 3), (5, 1)])
def test_conv_with_lengths(kernel_size):
    layer = Conv2d(2, 3, kernel_size, dtype=F64)
    module = load(
        torch.nn.Conv2d(2, 3, kernel_size, padding=tuple(k // 2 for k in kernel_size)).double(), layer
    )
    x, dy = sample(3, 9, 5, 2), sample(3, 9, 5, 3, seed=1)
    tx = torch.from_numpy(x).requires_grad_()
    ty = masked(module(masked(tx, LENGTHS).permute(0, 3, 1, 2)).permute(0, 2, 3, 1), LENGTHS)
    ty.backward(torch.from_numpy(dy))
    y, cache = layer.forward(x, lengths=LENGTHS)
    dx, grads = layer.backward(dy, cache)
    agree(y, ty)
    agree(dx, tx.grad)
    agree_grads(layer, grads, module)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm(training):
    layer = BatchNorm(3, dtype=F64)
    layer.params["weight"][...] = [0.5, -2.0, 1.5]
    layer.state["running_mean"][...] = [0.1, 0.2, 0.3]
    module = load(torch.nn.BatchNorm2d(3).double(), layer).train(training)
    x, dy = sample(3, 9, 5, 3) + 2, sample(3, 9, 5, 3, seed=1)
    tx = torch.from_numpy(x).requires_grad_()
    ty = module(tx.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    ty.backward(torch.from_numpy(dy))
    y, cache = layer.forward(x, training=training)
    dx, grads = layer.backward(dy, cache)
    agree(y, ty)
    agree(dx, tx.grad)
    agree(layer.state["running_mean"], module.running_mean)
    agree(layer.state["running_var"], module.running_var)
    agree_grads(layer, grads, module)


@pytest.mark.parametrize("both", [False, True], ids=["one direction", "two directions"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "packed"])
def test_gru(both, lengths):
    layer = BiGRU(3, 4, dtype=F64) if both else GRU(3, 4, dtype=F64)
    module = load(torch.nn.GRU(3, 4, batch_first=True, bidirectional=both).double(), layer)
    x, dy = sample(3, 9, 3), sample(3, 9, 8 if both else 4, seed=1)
    tx = torch.from_numpy(x).requires_grad_()
    if lengths is None:
        ty = module(tx)[0]
    else:
        packed = rnn.pack_padded_sequence(tx, lengths, batch_first=True, enforce_sorted=False)
        ty = rnn.pad_packed_sequence(module(packed)[0], batch_first=True)[0]
    ty.backward(torch.from_numpy(dy))
    y, cache = layer.forward(x, lengths=lengths)
    dx, grads = layer.backward(dy, cache)
    agree(y, ty)
    agree(dx, tx.grad)
    agree_grads(layer, grads, module)


def test_sequential_block_and_converters():
    layer = Sequential(
        {
            "conv": Conv2d(2, 3, dtype=F64),
            "norm": BatchNorm(3, dtype=F64),
            "relu": ReLU(),
            "pool": MaxPool2d(),
        }
    )
    module = torch.nn.Sequential()
    module.add_module("conv", torch.nn.Conv2d(2, 3, 3, padding=1))
    module.add_module("norm", torch.nn.BatchNorm2d(3))
    module.add_module("relu", torch.nn.ReLU())
    module.add_module("pool", torch.nn.MaxPool2d((1, 2)))
    module = module.double()
    from_torch_state(layer, {k: v.numpy() for k, v in module.state_dict().items()})
    x, dy = sample(3, 9, 5, 2), sample(3, 9, 2, 3, seed=1)
    tx = torch.from_numpy(x).requires_grad_()
    ty = module(tx.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    ty.backward(torch.from_numpy(dy))
    y, cache = layer.forward(x, training=True)
    dx, grads = layer.backward(dy, cache)
    agree(y, ty)
    agree(dx, tx.grad)
    agree_grads(layer, grads, module)


def test_dense():
    layer = Dense(4, 3, dtype=F64)
    module = load(torch.nn.Linear(4, 3).double(), layer)
    x, dy = sample(2, 5, 4), sample(2, 5, 3, seed=1)
    tx = torch.from_numpy(x).requires_grad_()
    ty = module(tx)
    ty.backward(torch.from_numpy(dy))
    y, cache = layer.forward(x)
    dx, grads = layer.backward(dy, cache)
    agree(y, ty)
    agree(dx, tx.grad)
    agree_grads(layer, grads, module)


@pytest.mark.parametrize("weighted", [False, True])
def test_binary_cross_entropy(weighted):
    logits, targets = sample(4, 3) * 5, (sample(4, 3, seed=1) > 0).astype(F64)
    weights = np.abs(sample(4, 3, seed=2)) if weighted else None
    tweights = None if weights is None else torch.from_numpy(weights)
    functions = torch.nn.functional
    for ours, theirs, scores in (
        (binary_cross_entropy_with_logits, functions.binary_cross_entropy_with_logits, logits),
        (binary_cross_entropy, functions.binary_cross_entropy, 1 / (1 + np.exp(-logits))),
    ):
        tscores = torch.from_numpy(scores).requires_grad_()
        wanted = theirs(tscores, torch.from_numpy(targets), weight=tweights)
        wanted.backward()
        loss, gradient = ours(scores, targets, weights)
        agree(loss, wanted)
        agree(gradient, tscores.grad)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda p: optim.SGD(p, 0.1), lambda p: torch.optim.SGD(p, 0.1)),
        (
            lambda p: optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01),
            lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01),
        ),
        (
            lambda p: optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
            lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
        ),
        (lambda p: optim.Adam(p), lambda p: torch.optim.Adam(p)),
        (
            lambda p: optim.Adam(p, 0.01, betas=(0.8, 0.9), eps=1e-4, weight_decay=0.1),
            lambda p: torch.optim.Adam(p, 0.01, betas=(0.8, 0.9), eps=1e-4, weight_decay=0.1),
        ),
        (
            lambda p: optim.AdamW(p, 0.01, weight_decay=0.1),
            lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1),
        ),
    ],
    ids=["sgd", "sgd momentum", "sgd nesterov", "adam", "adam decay", "adamw"],
)
def test_optimisers(ours, theirs):
    params = {"a": sample(3, 2), "b": sample(4, seed=1)}
    tensors = [torch.tensor(array, requires_grad=True) for array in params.values()]
    optimiser, other = ours(params), theirs(tensors)
    for step in range(10):
        grads = {key: sample(*array.shape, seed=step + 10) for key, array in params.items()}
        for tensor, grad in zip(tensors, grads.values(), strict=True):
            tensor.grad = torch.from_numpy(grad.copy())
        optimiser.step(grads)
        other.step()
    for array, tensor in zip(params.values(), tensors, strict=True):
        agree(array, tensor)


def test_one_cycle_and_cosine():
    for schedule, make in (
        (
            optim.one_cycle(0.3, 50),
            lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.3, total_steps=50, cycle_momentum=False),
        ),
        (optim.cosine(0.3, 49), lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 49)),
    ):
        other = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.3)
        scheduler = make(other)
        for step in range(49):
            agree(schedule(step), scheduler.get_last_lr()[0])
            other.step()
            scheduler.step()


def test_clip_gradient_norm():
    grads = {"a": sample(3, 2), "b": sample(4, seed=1)}
    tensors = [torch.zeros(array.shape, dtype=torch.float64, requires_grad=True) for array in grads.values()]
    for tensor, grad in zip(tensors, grads.values(), strict=True):
        tensor.grad = torch.from_numpy(grad.copy())
    norm = torch.nn.utils.clip_grad_norm_(tensors, 0.5)
    agree(optim.clip_gradient_norm(grads, 0.5), norm)
    for tensor, grad in zip(tensors, grads.values(), strict=True):
        np.testing.assert_allclose(grad, tensor.grad.numpy(), rtol=1e-5)
