"""
Your own recordings
===================

From a folder of recordings to a tagger: mix clips with labels, fit, tag something new. The folder here is
written by the script itself into a temporary directory, so that it runs anywhere; put yours in its place.
"""

# %%
# A folder of recordings
# ----------------------
# One folder for each class, one file for each event, as ``.wav``, ``.flac`` or ``.ogg``.

import tempfile
from pathlib import Path

from ctctag import Tagger
from ctctag.audio import LogMel, read_audio, write_audio
from ctctag.data import mix_dataset, synthesize
from ctctag.experiment.figures import band_centres, plot_tagging, plot_training

workspace = tempfile.TemporaryDirectory()
root = Path(workspace.name)
for label in ("cough", "doorslam", "phone"):
    (root / "events" / label).mkdir(parents=True)
    for take in range(12):
        write_audio(root / "events" / label / f"{take}.flac", synthesize(label, [2, take]), 16000)

for path in sorted((root / "events").iterdir()):
    print(path.name, len(list(path.iterdir())), "recordings")

# %%
# Clips with sequential labels
# ----------------------------
# On the command line: ``ctctag mix events clips --clips 160 --protocol honest``. The protocol keeps every
# recording on one side of training and test. (Clips of four seconds, to be quick.)

dataset = mix_dataset(
    root / "events",
    root / "clips",
    clips=160,
    protocol="honest",
    folds=4,
    clip_seconds=4,
    events_per_clip=(1, 2),
    seed=0,
)
print(sorted(path.name for path in (root / "clips").iterdir()))
print((root / "clips" / "sequential.tsv").read_text(encoding="utf-8").splitlines()[:4])

# %%
# Fit
# ---
# The tagger takes paths or arrays of samples, and for each clip its labels in order of onset. ``tiny`` is a
# network for demonstrations.

training, test = dataset.split(fold=1)
paths = [dataset.path_of(index) for index in range(len(dataset))]
names = [[dataset.classes[k] for k in sequence] for sequence in dataset.sequences]

log_mel = LogMel(n_mels=32, hop_length=1600)
tagger = Tagger(
    preset="tiny", log_mel=log_mel, epochs=36, batch_size=8, learning_rate=1e-2, schedule="one-cycle", seed=0
)
tagger.fit([paths[n] for n in training], [names[n] for n in training])
training_figure = plot_training(tagger.history_)

# %%
# Listen
# ------
# Clips made of recordings that were not trained on.

heard = tagger.predict_sequences([paths[n] for n in test])
for n, sequence in list(zip(test, heard, strict=True))[:6]:
    print(f"{' → '.join(names[n]):<16} ⇒  {' → '.join(sequence) or '(nothing)'}")
right = sum(list(sequence) == names[n] for n, sequence in zip(test, heard, strict=True))
score = tagger.score([paths[n] for n in test], [names[n] for n in test])
print(f"exactly right: {right} of {len(test)};  F = {score:.2f}")

# %%
# One clip in detail: each tag with the probability that it occurs, and the time of its peak.

path = next(paths[n] for n in test if len(names[n]) == 2)
tagging = tagger.tag(path)
for tag in tagging.tags:
    print(f"{tag.time:5.2f} s  {tag.label:<8} {tag.probability:.3f}")

samples, _ = read_audio(path, sr=log_mel.sr)
tag_figure = plot_tagging(
    log_mel(samples), tagging, dataset.classes, mel_frequencies=band_centres(log_mel), title=path.name
)

# %%
# The model is one file, and needs no pickle: ``ctctag tag --model mine.npz clip.wav``.

tagger.save(root / "mine.npz")
again = Tagger.load(root / "mine.npz")
assert again.tag(path).labels == tagging.labels
workspace.cleanup()
