"""The mixer: isolated events in random order, with gaps, over background noise, each clip from one seed."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_choice, check_integer, check_number
from ctctag.data.augment import MOST_GAIN_DB, Augment, Variation, check_snr, vary
from ctctag.data.folders import open_source
from ctctag.data.labels import Event
from ctctag.data.noise import NoiseSource, open_noise
from ctctag.data.recipe import Part
from ctctag.data.sources import EventSource
from ctctag.exceptions import DataError, ParameterError

__all__ = ["Clip", "Mixer"]

Samples = npt.NDArray[np.float32]

RMS_LEVEL = 0.05  # of an event, full scale 1: -26 dB, so that most clips need no scaling down
PEAK_LEVEL = 0.5
PEAK_LIMIT = 0.99
FADE_SECONDS = 0.01
LAYER_DB = -10.0
HIGHEST_RATE = 655_350  # Hz: the highest that a FLAC file can note
MOST_SAMPLES = 1 << 26  # of a clip, 256 MiB: each thread holds the sum of one and its parts
MOST_EVENTS = 10_000  # of a clip


@dataclass(frozen=True)
class Clip:
    """A mixture: its samples, what sounds in it and when, and the recipe that makes it again."""

    samples: Samples
    sr: int
    events: list[Event]
    parts: list[Part]

    @property
    def labels(self) -> list[str]:
        """The sequential label: classes in order of onset."""
        return [event.label for event in self.events]


class Mixer:
    """Mixes clips of isolated events that do not overlap, over noise at a chosen signal-to-noise ratio.

    Parameters
    ----------
    source : EventSource, path-like or "synthetic"
        The events (see `open_source`).
    noise : "white", path-like, NoiseSource or None
        The background; a folder of recordings, or none at all.
    sr : int
        Sample rate of the clips in Hz.
    clip_seconds : float
        Length of a clip.
    events_per_clip : int or (int, int)
        How many events a clip has, or the least and the most, drawn evenly.
    snr_db : float or (float, float)
        Signal-to-noise ratio in dB, or a range to draw it from: the mean power of the events, over the
        samples where one sounds, against the mean power of the noise over the clip.
    max_event_seconds : float or None
        Longer events are cut, with a fade of 10 ms. None leaves them whole.
    gain_db : float
        Each event is made louder or softer by up to this, after its level has been normalised.
    level : {"rms", "peak"}
        What is normalised: the root mean square of an event (0.05 of full scale) or its peak (0.5).
    distinct : bool
        No class twice in a clip.

    Raises
    ------
    ParameterError
        If a parameter is out of range, or the events may not fit into the clip.
    DataError
        If a source cannot be opened.

    Notes
    -----
    `mix` draws every choice from ``np.random.default_rng(seed)``, so a clip depends on its seed alone, not
    on other clips or threads. The mixer may be shared by threads. Clips whose peak would pass 0.99 are
    scaled down as a whole; the recipe's gains include that.

    Examples
    --------
    >>> mixer = Mixer("synthetic", events_per_clip=3)
    >>> clip = mixer.mix([1, 0])
    >>> clip.samples.shape, len(set(clip.labels))
    ((160000,), 3)
    >>> bool((mixer.mix([1, 0]).samples == clip.samples).all())
    True
    """

    def __init__(
        self,
        source: EventSource | str | Path,
        *,
        noise: NoiseSource | str | Path | None = "white",
        sr: int = 16000,
        clip_seconds: float = 10.0,
        events_per_clip: int | tuple[int, int] = (1, 4),
        snr_db: float | tuple[float, float] = 20.0,
        max_event_seconds: float | None = 2.0,
        gain_db: float = 3.0,
        level: str = "rms",
        distinct: bool = True,
    ) -> None:
        self.source = open_source(source)
        self.noise = None if noise is None else open_noise(noise)
        self.sr = check_integer(sr, "sr", low=1000)
        check_integer(sr, "sr", high=HIGHEST_RATE)
        self.clip_seconds = check_number(clip_seconds, "clip_seconds", low=0.1)
        if self.clip_seconds * self.sr > MOST_SAMPLES:  # before memory is taken for them
            raise ParameterError(
                f"clip_seconds is {self.clip_seconds:g}, but a clip at {self.sr} Hz lasts at most "
                f"{MOST_SAMPLES / self.sr:.0f} s ({MOST_SAMPLES} samples): mix more clips, and shorter ones"
            )
        self.n_samples = round(self.clip_seconds * self.sr)
        self.events_per_clip = _counts(events_per_clip)
        self.snr_db = check_snr(snr_db)
        self.max_event_seconds = (
            None
            if max_event_seconds is None
            else check_number(max_event_seconds, "max_event_seconds", low=0.02)
        )
        self.gain_db = check_number(check_number(gain_db, "gain_db", low=0), "gain_db", high=MOST_GAIN_DB)
        self.level = check_choice(level, "level", ("rms", "peak"))
        self.distinct = bool(distinct)
        self.folds = 0  # how many the recordings are divided into
        self._check_fit()

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels of the source, sorted."""
        return self.source.classes

    def settings(self) -> dict[str, Any]:
        """Return the parameters as plain values, sources by name."""
        return {
            "events": self.source.name,
            "noise": "none" if self.noise is None else self.noise.name,
            "events_per_clip": list(self.events_per_clip),
            "snr_db": list(self.snr_db),
            "max_event_seconds": self.max_event_seconds,
            "gain_db": self.gain_db,
            "level": self.level,
            "distinct": self.distinct,
        }

    def with_folds(self, folds: int, seed: int = 0) -> "Mixer":
        """Return the same mixer over sources whose recordings are divided into folds 1 … `folds`.

        Raises
        ------
        DataError
            If a class or the noise has fewer source recordings than there are folds.
        """
        mixer = object.__new__(Mixer)
        mixer.__dict__.update(self.__dict__)
        mixer.source = self.source.with_folds(folds, seed)
        mixer.noise = None if self.noise is None else self.noise.with_folds(folds, seed)
        mixer.folds = folds
        return mixer

    def preload(self) -> None:
        """Decode every recording now: a broken one is found at once, and mixing then is fast."""
        self.source.preload(self.sr)
        if self.noise is not None:
            self.noise.preload(self.sr)

    def mix(
        self,
        seed: int | Sequence[int],
        *,
        folds: int | Collection[int] | None = None,
        augment: Augment | None = None,
    ) -> Clip:
        """Return the clip that belongs to a seed.

        Parameters
        ----------
        seed : int or sequence of int
            E.g. ``[seed, clip index]`` or ``[seed, epoch, clip index]``.
        folds : int or collection of int, optional
            Take only recordings of these folds (see `with_folds`), events and noise alike.
        augment : Augment, optional
            Vary each event.

        Returns
        -------
        Clip
            Samples, events and recipe.

        Raises
        ------
        DataError
            If the events drawn do not fit into the clip, or a class has no recording in the folds.
        """
        entropy = (int(seed),) if np.ndim(seed) == 0 else tuple(int(part) for part in seed)  # type: ignore
        allowed = None if folds is None else [folds] if isinstance(folds, int) else list(folds)
        rng = np.random.default_rng(entropy)
        low, high = self.events_per_clip
        count = int(rng.integers(low, high + 1))
        labels = rng.choice(self.classes, count, replace=not self.distinct).tolist()

        layers = []  # of each event: first sample within the event, sound, and part
        for label in labels:
            layers.append([(0, *self._draw(label, entropy, rng, allowed, augment))])
            if augment and augment.layered and rng.random() < augment.layered:
                layers[-1].append(self._layer(layers[-1][0], rng, allowed, augment))
        lengths = [max(first + sound.size for first, sound, _ in event) for event in layers]

        onsets = self._place(lengths, [event[0][2] for event in layers], rng)
        sounds, parts = [], []
        for onset, event in zip(onsets, layers, strict=True):
            for first, sound, part in event:
                begin, end = onset + first, onset + first + sound.size
                sounds.append(sound)
                parts.append(replace(part, onset=begin / self.sr, offset=end / self.sr))
        if self.noise is not None:
            snr_range = augment.snr_db if augment and augment.snr_db else self.snr_db
            key, start = self.noise.draw(rng, self.sr, allowed)
            background = self.noise.render(key, start, self.n_samples, self.sr, list(entropy))
            gain_db = self._noise_gain_db(background, sounds, parts, sum(lengths), rng.uniform(*snr_range))
            parts.append(Part(key, "", 0.0, self.clip_seconds, gain_db, entropy, start))
            sounds.append(background)
        parts = [replace(part, gain_db=round(part.gain_db, 4)) for part in parts]

        samples = self._sum(sounds, parts)
        peak = float(np.abs(samples).max(initial=0.0))
        if peak > PEAK_LIMIT:
            down = float(20 * np.log10(peak / PEAK_LIMIT)) + 1e-3  # more than the rounding of a gain
            parts = [replace(part, gain_db=round(part.gain_db - down, 4)) for part in parts]
            samples = self._sum(sounds, parts)
        events = [
            Event(label, round(onset / self.sr, 6), round((onset + length) / self.sr, 6))
            for label, onset, length in zip(labels, onsets, lengths, strict=True)
        ]
        return Clip(samples, self.sr, events, parts)

    def render(self, parts: Sequence[Part]) -> Samples:
        """Return the samples of a recipe: bit for bit those of the clip it was recorded from.

        Parameters
        ----------
        parts : sequence of Part
            E.g. ``clip.parts``, or from `read_recipe`.

        Returns
        -------
        ndarray, shape (n_samples,), float32
            The mixture.

        Raises
        ------
        DataError
            If a recording is missing, or shorter than when the recipe was made.
        """
        sounds = []
        for part in parts:
            if part.label:
                variation = Variation(part.speed, part.tilt_db, part.sign)
                whole = vary(self.source.load(part.source, self.sr), self.sr, variation)
                length = round(part.offset * self.sr) - round(part.onset * self.sr)
                if part.start + length > whole.size or round(part.offset * self.sr) > self.n_samples:
                    raise DataError(
                        f"{part.source}: the recipe takes samples {part.start} to {part.start + length}, but "
                        f"the event has {whole.size} (has the recording changed?)"
                    )
                sounds.append(self._cut(whole, part.start, length))
            else:
                if self.noise is None:
                    raise DataError(f"{part.source}: the recipe has noise, but the mixer has none")
                if part.onset > 0:
                    raise DataError(
                        f"{part.source}: the recipe has noise from {part.onset:g} s on, but it fills a clip"
                    )
                sounds.append(
                    self.noise.render(part.source, part.start, self.n_samples, self.sr, list(part.seed))
                )
        return self._sum(sounds, parts)

    def _draw(
        self,
        label: str,
        entropy: tuple[int, ...],
        rng: np.random.Generator,
        allowed: Collection[int] | None,
        augment: Augment | None,
    ) -> tuple[Samples, Part]:
        """Return a recording of a class, varied and cut, and its part without place."""
        key = self.source.draw(label, rng, allowed)
        variation = augment.draw(rng) if augment else Variation()
        whole = vary(self.source.load(key, self.sr), self.sr, variation)
        length = whole.size
        if self.max_event_seconds is not None:
            length = min(length, round(self.max_event_seconds * self.sr))
        crop = augment is not None and augment.crop
        start = int(rng.integers(whole.size - length + 1)) if crop else 0
        sound = self._cut(whole, start, length)
        gain_db = self._normalising_gain_db(sound) + rng.uniform(-self.gain_db, self.gain_db)
        return sound, Part(key, label, 0.0, 0.0, gain_db, entropy, start, *vars(variation).values())

    def _layer(
        self,
        under: tuple[int, Samples, Part],
        rng: np.random.Generator,
        allowed: Collection[int] | None,
        augment: Augment,
    ) -> tuple[int, Samples, Part]:
        """Return another recording to lay over an event, and where: together no longer than the longer."""
        _, lower, part = under
        sound, upper = self._draw(part.label, part.seed, rng, allowed, augment)
        first = int(rng.integers(max(lower.size - sound.size, 0) + 1))
        return first, sound, replace(upper, gain_db=upper.gain_db + rng.uniform(LAYER_DB, 0.0))

    def _cut(self, whole: Samples, start: int, length: int) -> Samples:
        """Return part of an event, with a short fade wherever something was cut off."""
        if start == 0 and length == whole.size:
            return whole
        sound = whole[start : start + length].copy()
        fade = min(round(FADE_SECONDS * self.sr), length // 2)
        ramp = (np.arange(fade, dtype=np.float32) + 0.5) / max(fade, 1)
        if start > 0:
            sound[:fade] *= ramp
        if start + length < whole.size:
            sound[length - fade :] *= ramp[::-1]
        return sound

    def _normalising_gain_db(self, sound: Samples) -> float:
        if self.level == "peak":
            size, wanted = float(np.abs(sound).max()), PEAK_LEVEL
        else:
            size, wanted = np.sqrt(_power(sound)), RMS_LEVEL
        return float(20 * np.log10(wanted / max(size, 1e-6)))

    def _noise_gain_db(
        self,
        background: Samples,
        sounds: Sequence[Samples],
        parts: Sequence[Part],
        sounding: int,
        snr_db: float,
    ) -> float:
        if sounds:
            energy = sum(
                10 ** (part.gain_db / 10) * _power(sound) * sound.size
                for part, sound in zip(parts, sounds, strict=True)
            )
            wanted = energy / sounding
        else:
            wanted = RMS_LEVEL**2  # a clip without events: as loud as if it had one
        return float(10 * np.log10(wanted / max(_power(background), 1e-12)) - snr_db)

    def _place(self, lengths: list[int], parts: Sequence[Part], rng: np.random.Generator) -> list[int]:
        """Return the first sample of each event: the time that is left is shared out among the gaps."""
        left = self.n_samples - sum(lengths)
        if left < 0:
            longest = int(np.argmax(lengths))
            what = f"{parts[longest].source}: lasts {lengths[longest] / self.sr:.2f} s"
            if lengths[longest] > self.n_samples:
                raise DataError(
                    f"{what}, longer than the clip of {self.clip_seconds:g} s (cut it by max_event_seconds)"
                )
            raise DataError(
                f"{what}, and the {len(lengths)} events of a clip last {sum(lengths) / self.sr:.2f} s, which "
                f"do not fit into {self.clip_seconds:g} s (lower max_event_seconds or events_per_clip)"
            )
        gaps = np.sort(rng.integers(0, left + 1, len(lengths)))
        return (gaps + np.concatenate([[0], np.cumsum(lengths)[:-1]])).astype(int).tolist() if lengths else []

    def _sum(self, sounds: Sequence[Samples], parts: Sequence[Part]) -> Samples:
        total = np.zeros(self.n_samples, dtype=np.float32)
        for sound, part in zip(sounds, parts, strict=True):
            first = round(part.onset * self.sr)
            total[first : first + sound.size] += sound * np.float32(10 ** (part.gain_db / 20))
        return total

    def _check_fit(self) -> None:
        most = self.events_per_clip[1]
        if self.distinct and most > len(self.classes):
            raise ParameterError(
                f"events_per_clip asks for {most} different classes, but {self.source.name} has "
                f"{len(self.classes)} (lower it; distinct=False would allow a class twice)"
            )
        if self.max_event_seconds is not None and most * self.max_event_seconds > self.clip_seconds:
            raise ParameterError(
                f"{most} events of up to {self.max_event_seconds:g} s may need "
                f"{most * self.max_event_seconds:g} s, but clip_seconds is {self.clip_seconds:g} (lower "
                "max_event_seconds or events_per_clip)"
            )


def _power(samples: Samples) -> float:
    """Return the mean square, summed in float64 by NumPy, not BLAS: the same for any number of threads."""
    return float(np.mean(np.square(samples, dtype=np.float64))) if samples.size else 0.0


def _counts(value: int | tuple[int, int]) -> tuple[int, int]:
    low, high = (value, value) if np.ndim(value) == 0 else value  # type: ignore[misc]
    low, high = (check_integer(end, "events_per_clip", low=0) for end in (low, high))
    check_integer(high, "events_per_clip", high=MOST_EVENTS)
    if low > high:
        raise ParameterError(f"events_per_clip must be a pair (least, most), got {value!r} (swapped?)")
    return low, high
