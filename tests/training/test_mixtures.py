"""Fresh mixtures: new in every epoch, the same for the same seed, masked within bounds."""

import re

import numpy as np
import pytest

from ctctag.audio import LogMel, hz_to_mel, mel_to_hz
from ctctag.data import Augment, Mixer, open_source
from ctctag.exceptions import ParameterError
from ctctag.training import FreshClips, SpectrogramMasks


@pytest.fixture(scope="module")
def mixer():
    source = open_source("synthetic", ["alert", "cough", "knock"])
    return Mixer(source, clip_seconds=3, events_per_clip=2, max_event_seconds=0.8)


def make(mixer, **options):
    return FreshClips(mixer, LogMel(n_mels=32), 5, augment=Augment(), masks=SpectrogramMasks(), **options)


def batches(clips, epoch):
    return list(clips.shuffled(2, 0, epoch))


def test_every_epoch_is_new_and_every_run_the_same(mixer):
    one, two = make(mixer, seed=4), make(mixer, seed=4)
    for first, second in zip(batches(one, 3), batches(two, 3), strict=True):
        np.testing.assert_array_equal(first.x, second.x)
        assert first.targets == second.targets
    assert not np.array_equal(batches(one, 0)[0].x, batches(one, 1)[0].x)
    assert not np.array_equal(batches(one, 0)[0].x, batches(make(mixer, seed=5), 0)[0].x)


def test_shapes(mixer):
    sizes = [len(batch.targets) for batch in batches(make(mixer), 0)]
    assert sizes == [2, 2, 1]
    batch = batches(make(mixer), 0)[0]
    frames = LogMel(n_mels=32).n_frames(48000)
    assert batch.x.shape == (2, frames, 32)
    assert batch.x.dtype == np.float32
    np.testing.assert_array_equal(batch.lengths, [frames, frames])
    assert all(len(labels) == 2 and set(labels) <= {0, 1, 2} for labels in batch.targets)


def test_every_view_of_a_mixture_has_masks_of_its_own(mixer):
    once, twice = make(mixer, seed=4), make(mixer, seed=4, views=2)
    for one, two in zip(batches(once, 1), batches(twice, 1), strict=True):
        n = len(one.targets)
        np.testing.assert_array_equal(two.x[:n], one.x)
        assert two.targets == 2 * one.targets
        assert (two.x[n:] != one.x).any()
        unmasked = (two.x[n:] != 0) & (one.x != 0)
        np.testing.assert_array_equal(two.x[n:][unmasked], one.x[unmasked])


def test_views_without_masks_are_refused(mixer):
    message = "views is 2, but nothing tells views of a clip apart: give masks, too"
    with pytest.raises(ParameterError, match=f"^{message}$"):
        FreshClips(mixer, LogMel(n_mels=32), 5, views=2)


def test_standardised(mixer):
    clips = FreshClips(mixer, LogMel(n_mels=32), 20)
    x = np.concatenate([batch.x for batch in clips.shuffled(20, 0, 0)])
    np.testing.assert_allclose(x.mean(axis=(0, 1)), 0, atol=1e-3)
    np.testing.assert_allclose(x.std(axis=(0, 1)), 1, atol=1e-3)


def test_narrow_mixtures_have_nothing_in_the_upper_half_of_the_band(mixer):
    log_mel = LogMel(n_mels=32)
    wide, narrow, some = (FreshClips(mixer, log_mel, 20, narrow=p) for p in (0.0, 1.0, 0.5))
    edges = mel_to_hz(np.linspace(*hz_to_mel([log_mel.fmin, log_mel.fmax]), log_mel.n_mels + 2))
    upper = np.flatnonzero(edges[:-2] > 4300)  # where the resampling filter has closed
    lower = np.flatnonzero(edges[2:] < 3000)
    narrowed = []
    for index in range(20):
        (full, labels), (half, same), either = (clips.mix(1, index) for clips in (wide, narrow, some))
        assert labels == same == either[1]
        np.testing.assert_allclose(half[:, lower], full[:, lower], atol=0.2)
        assert half[:, upper].mean() < full[:, upper].mean() - 4  # nats: 35 dB
        narrowed.append(np.array_equal(either[0], half))
        assert narrowed[-1] or np.array_equal(either[0], full)
    assert 3 < sum(narrowed) < 17


def test_masks_stay_within_bounds():
    masks = SpectrogramMasks(time_masks=1, max_frames=5, mel_masks=1, max_bands=3)
    widths = set()
    for seed in range(200):
        x = np.ones((20, 10))
        masks.apply(x, np.random.default_rng(seed))
        frames, bands = (x == 0).all(axis=1).sum(), (x == 0).all(axis=0).sum()
        assert (x == 0).sum() == frames * 10 + bands * 20 - frames * bands
        widths.add((int(frames), int(bands)))
    assert max(width for width, _ in widths) == 5
    assert max(width for _, width in widths) == 3
    assert min(width for width, _ in widths) == 0


def test_a_mask_wider_than_the_clip():
    x = np.ones((2, 2))
    SpectrogramMasks(time_masks=5).apply(x, np.random.default_rng(0))
    assert x.shape == (2, 2)


def test_bad_settings(mixer):
    with pytest.raises(ParameterError, match=re.escape("max_bands must be at least 0, got -1")):
        SpectrogramMasks(max_bands=-1)
    with pytest.raises(ParameterError, match=re.escape("clips_per_epoch must be at least 1, got 0")):
        FreshClips(mixer, LogMel(), 0)
    with pytest.raises(ParameterError, match=re.escape("narrow must be at least 0 and at most 1, got 2")):
        FreshClips(mixer, LogMel(), 5, narrow=2)
