"""
Three kinds of labels
=====================

What is known of a clip: when each event sounds (strong labels), in which order the events begin (sequential
labels), or only which events there are (weak labels). Each kind follows from the one before by forgetting
something. This is the paper's figure 1.1, on a clip that is made here.
"""

# %%
# A mixer draws isolated events, places them without overlap, and adds noise. The events are synthetic, so
# nothing needs to be downloaded; a folder of recordings would do as well. The clip depends on its seed alone.

from ctctag.audio import LogMel
from ctctag.data import Mixer, sequential_to_weak, strong_to_sequential
from ctctag.experiment.figures import band_centres, plot_labels

mixer = Mixer("synthetic", events_per_clip=3, snr_db=20)
clip = mixer.mix(seed=4)

for event in clip.events:
    print(f"{event.onset:6.3f} s to {event.offset:6.3f} s  {event.label}")

# %%
# Strong labels are the most work to annotate, and often wrong at the edges: where does a fading sound end?
# The order of onsets is easy to write down while listening once.

strong = {"clip.wav": clip.events}
sequential = strong_to_sequential(strong)
weak = sequential_to_weak(sequential)

print("sequential:", ", ".join(sequential["clip.wav"]))
print("weak:      ", ", ".join(weak["clip.wav"]))

# %%
# The network hears the log-mel spectrogram: 240 frames of 64 bands for ten seconds.

log_mel = LogMel()
spectrogram = log_mel(clip.samples)
frame_times = log_mel.frame_times(len(spectrogram))

figure = plot_labels(
    clip.samples,
    clip.sr,
    spectrogram,
    frame_times,
    clip.events,
    mixer.classes,
    mel_frequencies=band_centres(log_mel),
)
print("spectrogram:", spectrogram.shape)
