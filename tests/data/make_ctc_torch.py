"""Write ctc_torch.npz: losses and gradients by PyTorch in float64, for the tests that run without it.

Run as ``python tests/data/make_ctc_torch.py``. The file in the repository was made with PyTorch 2.13.0 (CPU)
and NumPy 2.4.6; the versions used are stored in it.
"""

from pathlib import Path

import numpy as np
import torch


def main() -> None:
    rng = np.random.default_rng(2018)
    N, T, C, L = 5, 24, 6, 7
    logits = 2 * rng.standard_normal((N, T, C))
    targets = rng.integers(1, C, (N, L))
    targets[1, :4] = 3
    input_lengths = np.array([24, 20, 17, 24, 15])
    target_lengths = np.array([7, 5, 0, 1, 6])

    x = torch.tensor(logits, requires_grad=True)
    losses = torch.nn.functional.ctc_loss(
        x.log_softmax(-1).transpose(0, 1),
        torch.tensor(targets),
        torch.tensor(input_lengths),
        torch.tensor(target_lengths),
        reduction="none",
    )
    losses.sum().backward()
    np.savez_compressed(
        Path(__file__).with_name("ctc_torch.npz"),
        logits=logits,
        targets=targets,
        input_lengths=input_lengths,
        target_lengths=target_lengths,
        losses=losses.detach().numpy(),
        grad=x.grad.numpy(),
        versions=np.array([f"torch {torch.__version__}", f"numpy {np.__version__}"]),
    )


if __name__ == "__main__":
    main()
