"""The textbook: every fast thing's readable twin, straight from the equations: what one teaches from."""

from ctctag.reference.conv import conv2d, conv2d_backward
from ctctag.reference.ctc_enumeration import (
    CtcSums,
    best_labelling,
    collapse,
    ctc_by_enumeration,
    ctc_labellings,
    ctc_paths,
    tag_probs_by_enumeration,
)
from ctctag.reference.ctc_numpy import ctc_lattice_numpy, ctc_loss_and_grad_numpy
from ctctag.reference.ctc_recursion import (
    ctc_alpha,
    ctc_beta,
    ctc_log_alpha,
    ctc_log_beta,
    ctc_loss_and_grad_plain,
    ctc_occupancy,
    extend,
    log_add_plain,
    skips,
)
from ctctag.reference.ctc_scaled import (
    add_scaled,
    ctc_loss_and_grad_scaled,
    ctc_scaled_lattice,
    ctc_scaled_occupancy,
    exp_scaled,
    log_scaled,
    multiply_scaled,
)
from ctctag.reference.ctc_viterbi import ctc_viterbi
from ctctag.reference.gru import gru, gru_backward
from ctctag.reference.mel import hamming, hz_to_mel, log_mel, mel_filterbank, mel_to_hz, stft
from ctctag.reference.norm import batch_norm, batch_norm_backward
from ctctag.reference.pooling import global_average, global_max, max_pool, max_pool_backward

__all__ = [
    "CtcSums",
    "add_scaled",
    "batch_norm",
    "batch_norm_backward",
    "best_labelling",
    "collapse",
    "conv2d",
    "conv2d_backward",
    "ctc_alpha",
    "ctc_beta",
    "ctc_by_enumeration",
    "ctc_labellings",
    "ctc_lattice_numpy",
    "ctc_log_alpha",
    "ctc_log_beta",
    "ctc_loss_and_grad_numpy",
    "ctc_loss_and_grad_plain",
    "ctc_loss_and_grad_scaled",
    "ctc_occupancy",
    "ctc_paths",
    "ctc_scaled_lattice",
    "ctc_scaled_occupancy",
    "ctc_viterbi",
    "exp_scaled",
    "extend",
    "global_average",
    "global_max",
    "gru",
    "gru_backward",
    "hamming",
    "hz_to_mel",
    "log_add_plain",
    "log_mel",
    "log_scaled",
    "max_pool",
    "max_pool_backward",
    "mel_filterbank",
    "mel_to_hz",
    "multiply_scaled",
    "skips",
    "stft",
    "tag_probs_by_enumeration",
]
