"""Kernels of the optimisers: one pass over a flat parameter and what is remembered of it."""

import math

from ctctag._jit import jit

__all__ = ["adam", "average", "sgd"]


@jit
def sgd(parameter, gradient, velocity, rate, momentum, nesterov, decay):
    """Take a step with momentum, in place."""
    for i in range(parameter.size):
        g = gradient[i] + decay * parameter[i]
        velocity[i] = momentum * velocity[i] + g
        parameter[i] -= rate * (g + momentum * velocity[i] if nesterov else velocity[i])


@jit
def adam(parameter, gradient, mean, square, step_size, beta1, beta2, root, eps, coupled, shrink):
    """Take an Adam step, in place; root is √(1 - β2^t), coupled an L2 penalty, shrink a decoupled one."""
    for i in range(parameter.size):
        p = parameter[i] * shrink
        g = gradient[i] + coupled * p
        mean[i] += (g - mean[i]) * (1 - beta1)
        square[i] = beta2 * square[i] + (1 - beta2) * (g * g)
        parameter[i] = p - step_size * mean[i] / (math.sqrt(square[i]) / root + eps)


@jit
def average(shadow, parameter, keep):
    """Move an average towards the parameter, in place."""
    for i in range(shadow.size):
        shadow[i] = keep * shadow[i] + (1 - keep) * parameter[i]
