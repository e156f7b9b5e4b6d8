"""CTC: loss, gradient, lattice, decoding, alignment and exact tag probabilities."""

from ctctag.ctc.alignment import Alignment, align
from ctctag.ctc.beam import beam_search
from ctctag.ctc.decoding import Decoded, best_path
from ctctag.ctc.lattice import Lattice, lattice
from ctctag.ctc.loss import ctc_loss, ctc_loss_and_grad, required_frames
from ctctag.ctc.probabilities import tag_probs

__all__ = [
    "Alignment",
    "Decoded",
    "Lattice",
    "align",
    "beam_search",
    "best_path",
    "ctc_loss",
    "ctc_loss_and_grad",
    "lattice",
    "required_frames",
    "tag_probs",
]
