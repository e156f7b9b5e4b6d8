"""Layers with hand-written derivatives: ``y, cache = forward(x)``, ``dx, grads = backward(dy, cache)``."""

from ctctag.layers._base import Layer
from ctctag.layers.activations import ReLU, Sigmoid, Softmax
from ctctag.layers.block import ConvBlock
from ctctag.layers.conv import Conv2d
from ctctag.layers.convert import from_torch_state, to_torch_state
from ctctag.layers.dense import Dense, Flatten
from ctctag.layers.dropout import Dropout
from ctctag.layers.gru import GRU, BiGRU, LastStates
from ctctag.layers.norm import BatchNorm
from ctctag.layers.pool import GlobalAverage, GlobalMax, MaxPool2d
from ctctag.layers.sequential import Sequential

__all__ = [
    "GRU",
    "BatchNorm",
    "BiGRU",
    "Conv2d",
    "ConvBlock",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAverage",
    "GlobalMax",
    "LastStates",
    "Layer",
    "MaxPool2d",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "from_torch_state",
    "to_torch_state",
]
