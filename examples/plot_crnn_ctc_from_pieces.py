"""
A CRNN-CTC from its pieces
==========================

The network of the paper in small, with nothing hidden: layers in a row, the CTC loss, a training loop of a
few lines, and decoding. `ctctag.models` builds the real ones in the same way.
"""

# %%
# Data
# ----
# Clips of four seconds, one or two of four synthetic events in each. All that training gets to know is their
# order. Frames are 100 ms apart: few frames make a quick example.

import numpy as np

from ctctag import ctc
from ctctag.audio import LogMel, Standardiser
from ctctag.data import Mixer, SyntheticSource
from ctctag.experiment.figures import band_centres, plot_frame_predictions
from ctctag.layers import BatchNorm, BiGRU, Conv2d, Dense, Flatten, MaxPool2d, ReLU, Sequential
from ctctag.numerics import softmax
from ctctag.optim import Adam

mixer = Mixer(
    SyntheticSource(["cough", "doorslam", "phone", "switch"]),
    clip_seconds=4,
    events_per_clip=(1, 2),
    snr_db=25,
)
classes = mixer.classes
log_mel = LogMel(n_mels=32, hop_length=1600)

clips = [mixer.mix([1, index]) for index in range(176)]
features = [log_mel(clip.samples) for clip in clips]
sequences = [[classes.index(label) for label in clip.labels] for clip in clips]
train, test = range(160), range(160, 176)

standardise = Standardiser.fit(features[index] for index in train)
x = np.stack([standardise(spectrogram) for spectrogram in features])[..., np.newaxis]  # (N, T, F, 1)
print("features:", x.shape, "- a label:", [classes[k] for k in sequences[0]])

# %%
# Network
# -------
# Two convolution blocks halve the frequency axis twice each and leave time alone; a bidirectional GRU hears
# what comes before and after; a dense layer scores five classes in each frame: the blank, class 0, and the
# four events.

rng = np.random.default_rng(0)
network = Sequential(
    {
        "conv1": Conv2d(1, 8, rng=rng),
        "norm1": BatchNorm(8),
        "relu1": ReLU(),
        "pool1": MaxPool2d((1, 4)),
        "conv2": Conv2d(8, 16, rng=rng),
        "norm2": BatchNorm(16),
        "relu2": ReLU(),
        "pool2": MaxPool2d((1, 4)),
        "flatten": Flatten(),
        "gru": BiGRU(2 * 16, 24, rng=rng),
        "dense": Dense(2 * 24, 1 + len(classes), rng=rng),
    }
)
print(network)
print("weights:", sum(array.size for array in network.params.values()))

# %%
# Training
# --------
# Forward, loss with its gradient by the logits, backward, a step. Watch the blank: first it takes over every
# frame and nothing is heard, then the labels come. (A loop that trains for real also holds out clips to stop
# early; see `ctctag.training`.)

optimiser = Adam(network.params, lr=5e-3)
for epoch in range(1, 29):
    losses = []
    order = rng.permutation(train)
    for batch in np.array_split(order, len(order) // 8):
        logits, cache = network.forward(x[batch], training=True)
        targets = [[1 + k for k in sequences[n]] for n in batch]  # class k is output 1 + k
        loss, dlogits = ctc.ctc_loss_and_grad(logits, targets, reduction="batchmean")
        dx, grads = network.backward(dlogits, cache)
        optimiser.step(grads)
        losses.append(float(loss))
    if epoch in (1, 2, 4, 8, 12, 16, 20, 28):
        logits, _ = network.forward(x[test])
        right = sum(
            [k - 1 for k in heard.labels] == sequences[n]
            for n, heard in zip(test, ctc.best_path(logits), strict=True)
        )
        print(
            f"epoch {epoch:2d}  loss {np.mean(losses):6.3f}  "
            f"blank mass {softmax(logits)[..., 0].mean():.3f}  exactly right {right} of {len(test)}"
        )

# %%
# What it hears
# -------------
# Best path merges repeats and drops blanks; it need not be the most probable labelling, so each comes with
# its exact log-probability. That a class occurs has an exact probability too.

logits, _ = network.forward(x[test])
tags = ctc.tag_probs(logits)[:, 1:]
for n, heard, probability in list(zip(test, ctc.best_path(logits), tags, strict=True))[:5]:
    truth = " → ".join(classes[k] for k in sequences[n])
    found = " → ".join(f"{classes[k - 1]} ({probability[k - 1]:.2f})" for k in heard.labels)
    print(f"{truth:<18} ⇒  {found:<34} log-probability {heard.score:.2f}")

# %%
# A clip of the test set: narrow peaks inside the events (shaded), the blank (dotted) everywhere else.

n = next(index for index in test if len(sequences[index]) == 2)
figure = plot_frame_predictions(
    features[n],
    log_mel.frame_times(len(features[n])),
    {"CRNN-CTC": softmax(logits[n - test[0]])},
    classes,
    blank=0,
    strong_events=clips[n].events,
    mel_frequencies=band_centres(log_mel),
)
