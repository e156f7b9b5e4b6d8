"""CTC: loss, gradient, lattice, decoding, alignment and exact tag probabilities."""

from ctctag.ctc.decoding import Decoded, best_path
from ctctag.ctc.loss import ctc_loss, ctc_loss_and_grad, required_frames
from ctctag.ctc.probabilities import tag_probs

__all__ = ["Decoded", "best_path", "ctc_loss", "ctc_loss_and_grad", "required_frames", "tag_probs"]
