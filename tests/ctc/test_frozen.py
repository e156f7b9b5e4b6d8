"""The loss and its gradient against numbers that PyTorch gave (tests/data/make_ctc_torch.py)."""

from pathlib import Path

import numpy as np
import pytest

from ctctag.ctc import ctc_loss_and_grad


@pytest.mark.kernel
def test_against_frozen_numbers():
    with np.load(Path(__file__).parents[1] / "data" / "ctc_torch.npz") as frozen:
        loss, grad = ctc_loss_and_grad(
            frozen["logits"],
            frozen["targets"],
            frozen["input_lengths"],
            frozen["target_lengths"],
            reduction="none",
        )
        np.testing.assert_allclose(loss, frozen["losses"], rtol=1e-12)
        np.testing.assert_allclose(grad, frozen["grad"], atol=1e-12)
