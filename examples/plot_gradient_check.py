"""
Is this derivative right?
=========================

A hand-written backward pass is wrong until shown right. The check needs no second implementation: along a
random direction, the gradient's prediction is compared with a difference quotient of the function itself.
"""

# %%
# A function and its gradient
# ---------------------------
# Both numbers are printed, for three random directions. In float64 they agree to nine digits or more.

import numpy as np

from ctctag.ctc import ctc_loss, ctc_loss_and_grad, lattice
from ctctag.experiment.figures import plot_trellis
from ctctag.gradcheck import check_gradients, check_layer
from ctctag.layers import BatchNorm, BiGRU

rng = np.random.default_rng(0)
weights = rng.standard_normal(8)
x = rng.standard_normal(8)

check_gradients(
    lambda: float(np.tanh(weights @ x)),
    {"weights": weights, "x": x},
    {
        "weights": (1 - np.tanh(weights @ x) ** 2) * x,
        "x": (1 - np.tanh(weights @ x) ** 2) * weights,
    },
)

# %%
# The same with a typing error. It is small, and visible at once.

report = check_gradients(
    lambda: float(np.tanh(weights @ x)),
    {"x": x},
    {"x": (1 - np.tanh(weights @ x)) * weights},  # the square is missing
    raises=False,
)
print("passed:", report.ok)

# %%
# Layers
# ------
# `check_layer` does this for the input and every parameter of a layer. Clips of different lengths are the
# interesting case: the frames after the end must take part in nothing.

frames = rng.standard_normal((2, 6, 3))
print(BiGRU(3, 2))
check_layer(BiGRU(3, 2, rng=rng, dtype=np.float64), frames, lengths=[6, 4], directions=1)
print(BatchNorm(3))
check_layer(BatchNorm(3, dtype=np.float64), frames, lengths=[6, 4], directions=1)

# %%
# CTC
# ---
# The gradient depends on what the inputs are: logits, log-probabilities or probabilities. Each is right for
# what it claims to be.

logits = rng.standard_normal((12, 4))
target = [3, 1, 2]  # C A T, with the blank as class 0
probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
for kind, array in {"logits": logits, "log_probs": np.log(probs), "probs": probs}.items():
    options = {"inputs_are": kind, "check_normalised": False}
    loss, grad = ctc_loss_and_grad(array, target, **options)
    check_gradients(
        lambda array=array, options=options: float(ctc_loss(array, target, **options)),
        {kind: array},
        {kind: grad},
        directions=1,
    )

# %%
# Where the gradient comes from
# -----------------------------
# The loss sums over all paths through this trellis that spell the labels. The share of them that passes
# through a state is its occupancy, and the gradient by the logits is softmax minus occupancy.

found = lattice(logits, target)
figure = plot_trellis(found, ["–", "A", "T", "C"])

_, grad = ctc_loss_and_grad(logits, target, reduction="sum")
print("softmax − occupancy − grad:", f"{np.abs(probs - found.class_occupancy - grad).max():.1e}")
