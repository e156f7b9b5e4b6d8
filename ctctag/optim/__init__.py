"""Optimisers that update arrays in place, schedules of the learning rate, clipping, averaged weights."""

from ctctag.optim.average import ExponentialMovingAverage
from ctctag.optim.clipping import clip_gradient_norm, gradient_norm
from ctctag.optim.optimisers import SGD, Adam, AdamW, Optimiser
from ctctag.optim.schedules import constant, cosine, one_cycle, step_decay, warm_up

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "ExponentialMovingAverage",
    "Optimiser",
    "clip_gradient_norm",
    "constant",
    "cosine",
    "gradient_norm",
    "one_cycle",
    "step_decay",
    "warm_up",
]
