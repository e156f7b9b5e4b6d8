"""Write layers_torch.npz: outputs and gradients of PyTorch's layers in float64, from seeded inputs.

Run once, with PyTorch installed: ``python tests/data/make_layers_torch.py``. The file names the versions it
was made with. The test suite compares our layers with it where PyTorch is not there.
"""

from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

LENGTHS = [6, 3, 5]


def main() -> None:
    rng = np.random.default_rng(20180711)
    arrays: dict[str, np.ndarray] = {
        "versions": np.array(f"torch {torch.__version__}, numpy {np.__version__}"),
        "lengths": np.array(LENGTHS),
    }

    def record(name: str, module: torch.nn.Module, shape: tuple[int, ...], call) -> None:
        module = module.double()
        for parameter in module.parameters():
            parameter.data = torch.from_numpy(rng.standard_normal(parameter.shape) * 0.5)
        for key, value in module.state_dict().items():
            if not key.startswith("running_") and key != "num_batches_tracked":
                arrays[f"{name}/state/{key}"] = value.numpy().copy()
        x = torch.from_numpy(rng.standard_normal(shape)).requires_grad_()
        y = call(module, x)
        dy = torch.from_numpy(rng.standard_normal(y.shape))
        y.backward(dy)
        arrays.update({f"{name}/x": x.detach().numpy(), f"{name}/y": y.detach().numpy()})
        arrays.update({f"{name}/dy": dy.numpy(), f"{name}/dx": x.grad.numpy()})
        for key, parameter in module.named_parameters():
            arrays[f"{name}/grad/{key}"] = parameter.grad.numpy()

    def channels_last(module: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        return module(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    def packed(module: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        sequence = pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(module(sequence)[0], batch_first=True)[0]

    record("conv", torch.nn.Conv2d(2, 3, 3, padding=1), (3, 6, 5, 2), channels_last)
    record("norm", torch.nn.BatchNorm2d(3), (3, 6, 5, 3), channels_last)
    record("pool", torch.nn.MaxPool2d((1, 2)), (3, 6, 5, 2), channels_last)
    record("gru", torch.nn.GRU(3, 4, batch_first=True), (3, 6, 3), packed)
    record("bigru", torch.nn.GRU(3, 4, batch_first=True, bidirectional=True), (3, 6, 3), packed)
    record("dense", torch.nn.Linear(4, 3), (3, 6, 4), lambda module, x: module(x))
    np.savez_compressed(Path(__file__).with_name("layers_torch.npz"), **arrays)


if __name__ == "__main__":
    main()
