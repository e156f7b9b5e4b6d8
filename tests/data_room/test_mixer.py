import itertools
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctctag.data import Augment, Mixer, Variation, read_recipe, vary, write_recipe
from ctctag.exceptions import DataError, ParameterError


@pytest.fixture(scope="module")
def synthetic():
    return Mixer("synthetic", clip_seconds=8.0)


def clean(mixer, clip):
    """The events of a clip without its noise."""
    return mixer.render([part for part in clip.parts if part.label])


def sounding(mixer, clip):
    """True where an event sounds."""
    mask = np.zeros(mixer.n_samples, bool)
    for part in clip.parts:
        if part.label:
            mask[round(part.onset * mixer.sr) : round(part.offset * mixer.sr)] = True
    return mask


@given(seed=st.integers(0, 2**40))
@settings(max_examples=15, deadline=None)
def test_events_do_not_overlap_are_distinct_and_in_order(synthetic, seed):
    clip = synthetic.mix(seed)
    assert clip.samples.shape == (8 * 16000,)
    assert clip.samples.dtype == np.float32
    assert np.abs(clip.samples).max() <= 0.991
    assert 1 <= len(clip.events) <= 4
    assert len(set(clip.labels)) == len(clip.labels)
    ends = [0.0]
    for event in clip.events:
        assert event.onset >= ends[-1] - 1e-6
        assert 0 < event.offset - event.onset <= 2.0 + 1e-6
        ends.append(event.offset)
    assert ends[-1] <= 8.0


@given(seed=st.integers(0, 2**40))
@settings(max_examples=15, deadline=None)
def test_layers_are_recordings_of_one_class_within_their_event(synthetic, seed):
    clip = synthetic.mix(seed, augment=Augment(layered=1.0))
    layers = [part for part in clip.parts if part.label]
    assert [part.label for part in layers] == [label for label in clip.labels for _ in range(2)]
    for event, under, over in zip(clip.events, layers[::2], layers[1::2], strict=True):
        assert under.source != over.source
        assert event.onset == pytest.approx(under.onset, abs=1e-6)
        assert event.offset == pytest.approx(max(under.offset, over.offset), abs=1e-6)
        assert under.onset <= over.onset
        assert event.offset - event.onset <= 2.0 + 1e-6
    for before, after in itertools.pairwise(clip.events):
        assert before.offset <= after.onset
    ratio = 10 * np.log10(
        np.square(clean(synthetic, clip)[sounding(synthetic, clip)]).mean()
        / np.square(clip.samples - clean(synthetic, clip)).mean()
    )
    assert 8 < ratio < 27  # 10 to 25, of the powers of both layers: they may be in phase, or against it


def test_layers_come_from_the_folds_allowed(events_folder):
    mixer = Mixer(events_folder, events_per_clip=3).with_folds(2)
    for seed in range(8):
        for part in mixer.mix(seed, folds=2, augment=Augment(layered=1.0)).parts[:-1]:
            assert part.source in mixer.source.pool(part.label, [2])


@given(seed=st.integers(0, 2**40), augmented=st.booleans())
@settings(max_examples=10, deadline=None)
def test_the_recipe_gives_the_clip_again_bit_for_bit(synthetic, seed, augmented):
    clip = synthetic.mix([seed, 3], augment=Augment(crop=True) if augmented else None)
    assert (synthetic.render(clip.parts) == clip.samples).all()
    again = synthetic.mix([seed, 3], augment=Augment(crop=True) if augmented else None)
    assert (again.samples == clip.samples).all()
    assert again.parts == clip.parts


def test_a_recipe_survives_the_disk(synthetic, tmp_path):
    recipes = {f"{i}.flac": synthetic.mix([0, i], augment=Augment() if i else None).parts for i in range(4)}
    write_recipe(tmp_path / "recipe.tsv", recipes)
    assert read_recipe(tmp_path / "recipe.tsv") == recipes


def test_seeds_give_different_clips(synthetic):
    clips = [synthetic.mix([0, index]) for index in range(30)]
    assert len({tuple(clip.labels) for clip in clips}) > 20
    assert {len(clip.labels) for clip in clips} == {1, 2, 3, 4}
    first = [clip.events[0].onset for clip in clips]
    assert max(first) - min(first) > 1


@pytest.mark.parametrize("snr", [-5.0, 20.0, 60.0])
def test_snr_is_event_power_where_events_sound_over_noise_power(events_folder, snr):
    mixer = Mixer(events_folder, snr_db=snr, events_per_clip=3)
    clip = mixer.mix([5, 0])
    events = clean(mixer, clip)
    noise = mixer.render([part for part in clip.parts if not part.label])
    signal = np.mean(events[sounding(mixer, clip)] ** 2, dtype=np.float64)
    assert 10 * np.log10(signal / np.mean(noise**2, dtype=np.float64)) == pytest.approx(snr, abs=0.01)


def test_snr_may_be_a_range(events_folder):
    mixer = Mixer(events_folder, snr_db=(0, 30), gain_db=0, events_per_clip=1)
    gains = [mixer.mix([0, index]).parts[-1].gain_db for index in range(40)]
    assert max(gains) - min(gains) > 20


@pytest.mark.parametrize("level", ["rms", "peak"])
def test_levels_are_made_equal(events_folder, level):
    mixer = Mixer(events_folder, level=level, gain_db=0, noise=None, events_per_clip=3)
    clip = mixer.mix(1)
    for event in clip.events:
        sound = clip.samples[round(event.onset * 16000) : round(event.offset * 16000)]
        size = np.abs(sound).max() if level == "peak" else np.sqrt(np.mean(sound**2))
        assert size == pytest.approx(0.5 if level == "peak" else 0.05, rel=1e-3)


def test_gains_stay_within_their_range(events_folder):
    mixer = Mixer(events_folder, gain_db=6, noise=None, events_per_clip=1)
    levels = []
    for index in range(40):
        clip = mixer.mix([2, index])
        levels.append(10 * np.log10(np.mean(clip.samples[sounding(mixer, clip)] ** 2) / 0.05**2))
    assert max(map(abs, levels)) <= 6.01
    assert max(levels) - min(levels) > 6


def test_a_loud_clip_is_scaled_down_as_a_whole_and_the_recipe_says_so(events_folder):
    mixer = Mixer(events_folder, snr_db=-30, events_per_clip=2)
    clip = mixer.mix(0)
    peak = np.abs(clip.samples).max()
    assert 0.97 < peak <= 0.99
    events = clean(mixer, clip)
    noise = mixer.render(clip.parts[-1:])
    snr = np.mean(events[sounding(mixer, clip)] ** 2) / np.mean(noise**2)
    assert 10 * np.log10(snr) == pytest.approx(-30, abs=0.01)


def test_long_events_are_cut_with_a_fade(events_folder):
    mixer = Mixer(events_folder, max_event_seconds=0.1, noise=None, events_per_clip=3)
    clip = mixer.mix(4)
    for event in clip.events:
        assert event.offset - event.onset == pytest.approx(0.1, abs=1e-4)
        last = clip.samples[round(event.offset * 16000) - 1]
        assert abs(last) < 0.003


def test_zero_events_and_no_noise(events_folder):
    clip = Mixer(events_folder, events_per_clip=0).mix(0)
    assert clip.events == []
    assert np.sqrt(np.mean(clip.samples**2)) == pytest.approx(0.005, rel=0.01)
    assert not Mixer(events_folder, events_per_clip=0, noise=None).mix(0).samples.any()


def test_a_class_twice_if_wanted(events_folder):
    mixer = Mixer(events_folder, events_per_clip=5, distinct=False, max_event_seconds=1.0)
    assert len(mixer.mix(0).labels) == 5


def test_a_clip_draws_from_its_folds_only(events_folder):
    mixer = Mixer(events_folder, events_per_clip=3).with_folds(2, seed=0)
    fold_of = {key: recording.fold for key, recording in mixer.source.recordings.items()}
    for fold in (1, 2):
        for index in range(10):
            clip = mixer.mix([0, index], folds=fold)
            assert {fold_of[part.source] for part in clip.parts if part.label} == {fold}
    both = {part.source for i in range(20) for part in mixer.mix([0, i], folds=[1, 2]).parts if part.label}
    assert {fold_of[key] for key in both} == {1, 2}


class TestVariation:
    def test_nothing_to_do(self):
        samples = np.arange(100, dtype=np.float32)
        assert vary(samples, 16000, Variation()) is samples
        assert (vary(samples, 16000, Variation(sign=-1)) == -samples).all()

    @pytest.mark.parametrize("speed", [0.85, 1.0001, 1.18])
    def test_speed_changes_pitch_and_length_together(self, speed):
        tone = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000).astype(np.float32)
        varied = vary(tone, 16000, Variation(speed=speed))
        assert varied.dtype == np.float32
        assert varied.size == pytest.approx(16000 / speed, rel=0.01)
        pitch = np.abs(np.fft.rfft(varied * np.hanning(varied.size), 160000)).argmax() / 10
        assert pitch == pytest.approx(1000 * speed, rel=0.01)
        middle = varied[2000:-2000]
        assert np.sqrt(np.mean(middle**2)) == pytest.approx(np.sqrt(0.5), rel=0.01)

    def test_tilt_is_the_gain_at_its_frequencies(self):
        rng = np.random.default_rng(0)
        samples = rng.standard_normal(32000).astype(np.float32)
        varied = vary(samples, 16000, Variation(tilt_db=(6.0, 6.0, -6.0)))
        frequency = np.fft.rfftfreq(32000, 1 / 16000)
        gain = np.abs(np.fft.rfft(varied, 32000)) / np.abs(np.fft.rfft(samples))
        low = np.median(gain[(frequency > 60) & (frequency < 300)])
        high = np.median(gain[frequency > 7800])
        assert 20 * np.log10(low) == pytest.approx(6, abs=0.5)
        assert 20 * np.log10(high) == pytest.approx(-6, abs=0.5)

    def test_draws_stay_within_bounds(self):
        augment = Augment(speed=(0.9, 1.1))
        draws = [augment.draw(np.random.default_rng(seed)) for seed in range(200)]
        speeds = [draw.speed for draw in draws]
        assert 0.9 <= min(speeds) < 0.91
        assert 1.09 < max(speeds) <= 1.1
        assert {draw.sign for draw in draws} == {-1, 1}
        assert np.std([draw.tilt_db for draw in draws]) == pytest.approx(4.0, rel=0.1)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"speed": (1.1, 0.9)}, "speed must be a pair (low, high), got (1.1, 0.9) (swapped?)"),
            ({"speed": (0.1, 1.0)}, "speed[0] must be at least 0.5, got 0.1"),
            ({"layered": 1.5}, "layered must be at least 0 and at most 1, got 1.5"),
            ({"tilt_db": -1}, "tilt_db must be at least 0, got -1"),
            ({"snr_db": (1, 2, 3)}, "snr_db must be a number or a pair (low, high), got (1, 2, 3)"),
        ],
    )
    def test_wrong_bounds(self, options, message):
        with pytest.raises(ParameterError, match="^" + re.escape(message) + "$"):
            Augment(**options)


class TestMistakes:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                {"clip_seconds": 5.0},
                "4 events of up to 2 s may need 8 s, but clip_seconds is 5 (lower max_event_seconds or "
                "events_per_clip)",
            ),
            (
                {"events_per_clip": (1, 17), "max_event_seconds": 0.1},
                "events_per_clip asks for 17 different classes, but synthetic has 16 (lower it; "
                "distinct=False would allow a class twice)",
            ),
            (
                {"events_per_clip": (4, 1)},
                "events_per_clip must be a pair (least, most), got (4, 1) (swapped?)",
            ),
            ({"events_per_clip": -1}, "events_per_clip must be at least 0, got -1"),
            ({"snr_db": float("nan")}, "snr_db[0] must be finite, got nan"),
            ({"level": "loudness"}, "level must be one of 'rms', 'peak', got 'loudness'"),
            ({"sr": 16000.0}, "sr must be an integer, got 16000.0"),
        ],
    )
    def test_wrong_parameters(self, options, message):
        with pytest.raises(ParameterError, match="^" + re.escape(message) + "$"):
            Mixer("synthetic", **options)

    def test_an_event_longer_than_the_clip(self, events_folder, write_sound):
        write_sound(events_folder / "bell" / "long.wav", seconds=3.0)
        for take in range(4):
            (events_folder / "bell" / f"bell{take}.wav").unlink()
        mixer = Mixer(events_folder, max_event_seconds=None, clip_seconds=2.0, events_per_clip=3)
        message = "bell/long.wav: lasts 3.00 s, longer than the clip of 2 s (cut it by max_event_seconds)"
        with pytest.raises(DataError, match="^" + re.escape(message) + "$"):
            mixer.mix(0)

    def test_events_that_do_not_fit_together(self, events_folder):
        mixer = Mixer(events_folder, max_event_seconds=None, clip_seconds=0.55, events_per_clip=3)
        message = r"which do not fit into 0.55 s \(lower max_event_seconds or events_per_clip\)$"
        with pytest.raises(DataError, match=message):
            mixer.mix(0)

    def test_a_recipe_of_other_recordings(self, events_folder):
        mixer = Mixer(events_folder, events_per_clip=3)
        parts = mixer.mix(0).parts
        with pytest.raises(
            DataError, match=re.escape("there is no recording 'bell/x.wav' (is it the folder")
        ):
            mixer.render([replace(parts[0], source="bell/x.wav")])
        with pytest.raises(DataError, match=r"the recipe takes samples .* \(has the recording changed\?\)"):
            mixer.render([replace(parts[0], onset=0.0, offset=5.0)])

    def test_noise_that_the_recordings_do_not_have(self, events_folder):
        mixer = Mixer(events_folder, noise=events_folder, events_per_clip=1)
        *_, noise = mixer.mix(0).parts
        with pytest.raises(
            DataError, match=r"the recipe begins at sample 1000000000000, but the loop has \d+ "
        ):
            mixer.render([replace(noise, start=10**12)])
        with pytest.raises(DataError, match="the recipe has noise from 1 s on, but it fills a clip"):
            mixer.render([replace(noise, onset=1.0)])

    def test_a_sound_listed_twice(self, synthetic, tmp_path):
        path = tmp_path / "recipe.tsv"
        write_recipe(path, {"a.flac": synthetic.mix(0).parts[:1] * 2})
        with pytest.raises(DataError, match=f"^{path}, line 3: the same sound of 'a.flac' is there twice$"):
            read_recipe(path)

    @pytest.mark.parametrize(
        ("column", "value", "message"),
        [
            ("onset", "soon", "could not convert string to float: 'soon'"),
            ("sign", "0", "is no part of a mixture (expected a filename and a source"),
            ("gain_db", "inf", "is no part of a mixture"),
            ("gain_db", "1e308", "is no part of a mixture"),
            ("tilt_db", "0,1e308", "is no part of a mixture"),
            ("seed", "0,-1", "is no part of a mixture"),
            ("offset", "1e308", "is no part of a mixture"),
            ("start", 5000 * "9", "Exceeds the limit (4300 digits) for integer string conversion"),
        ],
    )
    def test_a_malformed_recipe(self, synthetic, tmp_path, column, value, message):
        path = tmp_path / "recipe.tsv"
        write_recipe(path, {"a.flac": synthetic.mix(0).parts})
        header, first, *rest = path.read_text().splitlines()
        fields = first.split("\t")
        fields[header.split("\t").index(column)] = value
        path.write_text("\n".join([header, "\t".join(fields), *rest]))
        with pytest.raises(DataError, match=re.escape(f"{path}, line 2: {message}")):
            read_recipe(path)
