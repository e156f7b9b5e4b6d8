"""The layers equal numbers of PyTorch's, frozen by tests/data/make_layers_torch.py."""

from pathlib import Path

import numpy as np
import pytest

from ctctag.layers import GRU, BatchNorm, BiGRU, Conv2d, Dense, MaxPool2d, from_torch_state, to_torch_state

pytestmark = pytest.mark.kernel

F64 = np.float64
CASES = {
    "conv": lambda: Conv2d(2, 3, dtype=F64),
    "norm": lambda: BatchNorm(3, dtype=F64),
    "pool": MaxPool2d,
    "gru": lambda: GRU(3, 4, dtype=F64),
    "bigru": lambda: BiGRU(3, 4, dtype=F64),
    "dense": lambda: Dense(4, 3, dtype=F64),
}


@pytest.fixture(scope="module")
def frozen():
    with np.load(Path(__file__).parents[1] / "data" / "layers_torch.npz") as file:
        return dict(file)


@pytest.mark.parametrize(("name", "make"), CASES.items(), ids=CASES)
def test_equal_to_pytorch(frozen, name, make):
    layer = make()
    state = {key.split("/")[2]: a for key, a in frozen.items() if key.startswith(f"{name}/state/")}
    running = {key: array for key, array in layer.state.items() if key.startswith("running_")}
    from_torch_state(layer, {**state, **running})
    lengths = frozen["lengths"] if "gru" in name else None
    y, cache = layer.forward(frozen[f"{name}/x"], lengths=lengths, training=True)
    dx, grads = layer.backward(frozen[f"{name}/dy"], cache)
    np.testing.assert_allclose(y, frozen[f"{name}/y"], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(dx, frozen[f"{name}/dx"], rtol=1e-10, atol=1e-12)
    for key, array in layer.params.items():
        array[...] = grads[key]
    turned = to_torch_state(layer)
    assert len(layer.params) == sum(key.startswith(f"{name}/grad/") for key in frozen)
    for key in state:
        np.testing.assert_allclose(turned[key], frozen[f"{name}/grad/{key}"], rtol=1e-10, atol=1e-12)
