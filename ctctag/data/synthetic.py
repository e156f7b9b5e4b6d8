"""The built-in synthesiser: sixteen office sounds of the paper, each a short recipe, endless and seeded.

No recording is behind them. Pitch, length, timbre, rhythm and level are drawn anew for each event, so that
there is something to learn, and classes share bricks (clicks, knocks, voices), so that it takes a network to
tell them apart.
"""

from collections.abc import Callable, Collection, Sequence

import numpy as np
import numpy.typing as npt

from ctctag._checks import check_integer
from ctctag.data.labels import nearest_match
from ctctag.data.sources import EventSource
from ctctag.data.tones import Array, add, burst, formants, glottis, modes, noise_band, swell, times
from ctctag.exceptions import DataError, ParameterError

__all__ = ["RECIPES", "SyntheticSource", "synthesize"]

Rng = np.random.Generator
Recipe = Callable[[Rng, int], Array]

VOWELS = {"a": (750, 1250, 2600), "e": (480, 1900, 2550), "i": (300, 2250, 2950), "o": (480, 850, 2500)}
VOWEL_WIDTHS = (90, 110, 160)


def alert(rng: Rng, sr: int) -> Array:
    """Ring two to four chime notes of a rising or falling chord, with a few harmonics and a soft decay."""
    note, gap = rng.uniform(0.12, 0.3), rng.uniform(0.0, 0.05)
    steps = np.cumsum(rng.choice([3, 4, 5, 7], rng.integers(2, 5))) * rng.choice([-1, 1])
    base = rng.uniform(500, 1100) * (1.6 if steps[0] < 0 else 1.0)
    sound = np.zeros(times(len(steps) * (note + gap) + 0.2, sr).size)
    for index, step in enumerate(steps):
        harmonics = base * 2 ** (step / 12) * np.array([1.0, 2.0, 3.0, 4.2])
        ring = modes(rng, note + 0.2, sr, harmonics, rng.uniform(0.08, 0.25) / np.array([1, 2, 3, 5]))
        add(sound, index * (note + gap), ring * np.minimum(1, times(note + 0.2, sr) / 0.008), sr)
    return sound


def clearthroat(rng: Rng, sr: int) -> Array:
    """Growl once or twice: a low rough voice through a closed throat, breath around it."""
    sound = np.zeros(times(1.2, sr).size)
    at, low = 0.0, rng.uniform(75, 150)
    for _ in range(rng.integers(1, 3)):
        seconds = rng.uniform(0.25, 0.5)
        u = times(seconds, sr) / seconds
        voice = glottis(low * (1 + 0.3 * np.sin(np.pi * u)), sr, rng, roughness=0.25)
        rattle = 1 + 0.6 * np.sin(2 * np.pi * rng.uniform(22, 38) * times(seconds, sr))
        throat = formants(
            voice + 0.3 * noise_band(rng, seconds, sr, 200, 3000), sr, (480, 1100, 2300), (150, 250, 300)
        )
        add(sound, at, throat * rattle * swell(seconds, sr, rng.uniform(0.3, 0.6), 0.6), sr)
        at += seconds + rng.uniform(0.03, 0.15)
    return sound[: round(min(at, 1.2) * sr)]


def cough(rng: Rng, sr: int) -> Array:
    """Cough one to three times: an explosion of breath, then a voiced end that dies away."""
    count, pause = rng.integers(1, 4), rng.uniform(0.22, 0.4)
    sound = np.zeros(times((count - 1) * pause + 0.45, sr).size)
    size = rng.uniform(0.8, 1.25)  # of the throat: scales its resonances
    for index in range(count):
        blast = noise_band(rng, 0.4, sr, 400, 5500) * burst(0.4, sr, rng.uniform(0.03, 0.07), 0.004)
        voice = glottis(rng.uniform(120, 320) * np.exp(-times(0.4, sr)), sr, rng, roughness=0.12)
        after = (voice + 0.5 * noise_band(rng, 0.4, sr, 300, 4000)) * swell(0.4, sr, 0.3)
        shaped = formants(1.5 * blast + after, sr, [size * f for f in (650, 1500, 2700)], (150, 200, 300))
        add(sound, index * pause, shaped * 0.85**index, sr)
    return sound


def doorslam(rng: Rng, sr: int) -> Array:
    """Slam a door: deep modes of door and wall, a crack of wood, a rattling latch, the room's tail."""
    seconds = rng.uniform(0.5, 1.1)
    deep = modes(rng, seconds, sr, rng.uniform(45, 280, 8), rng.uniform(0.05, 0.22, 8))
    sound = 1.5 * deep + noise_band(rng, seconds, sr, 60, rng.uniform(700, 2000)) * burst(seconds, sr, 0.05)
    sound += 0.15 * noise_band(rng, seconds, sr, 100, 1200) * burst(seconds, sr, 0.3)
    for start in rng.uniform(0.04, 0.16, rng.integers(0, 4)):
        add(sound, start, 0.6 * noise_band(rng, 0.05, sr, 900, 4000) * burst(0.05, sr, 0.012), sr)
    return sound


def drawer(rng: Rng, sr: int) -> Array:
    """Slide a drawer on its rails, rumbling and hissing, and stop it with a thud."""
    slide = rng.uniform(0.4, 1.0)
    rumble = noise_band(rng, slide, sr, 80, rng.uniform(300, 600))
    hiss = noise_band(rng, slide, sr, rng.uniform(500, 1200), rng.uniform(2500, 4500))
    rollers = 1 + 0.5 * np.sin(2 * np.pi * np.cumsum(rng.uniform(14, 30) * swell(slide, sr)) / sr)
    sound = np.zeros(times(slide + 0.3, sr).size)
    add(sound, 0, (0.5 * rumble + 0.35 * hiss * rollers) * swell(slide, sr, rng.uniform(0.5, 0.85), 0.7), sr)
    thud = modes(rng, 0.3, sr, rng.uniform(90, 500, 6), rng.uniform(0.015, 0.06, 6))
    add(sound, slide - 0.02, thud + 0.5 * noise_band(rng, 0.3, sr, 200, 2500) * burst(0.3, sr, 0.02), sr)
    return sound


def keyboard(rng: Rng, sr: int) -> Array:
    """Type a run of keys at an uneven pace, each a clack going down and a lighter one coming up."""
    sound = np.zeros(times(rng.uniform(0.9, 2.0), sr).size)
    pace, body = rng.uniform(0.09, 0.2), rng.uniform(250, 600)
    at = 0.0
    while at < sound.size / sr - 0.08:
        for start, strength in (
            (at, rng.uniform(0.5, 1)),
            (at + rng.uniform(0.05, 0.09), rng.uniform(0.15, 0.4)),
        ):
            clack = noise_band(rng, 0.05, sr, 1500, 6000) * burst(0.05, sr, rng.uniform(0.004, 0.009))
            clack += modes(rng, 0.05, sr, body * rng.uniform(0.8, 3.0, 3), [0.012, 0.009, 0.006])
            add(sound, start, strength * clack, sr)
        at += pace * rng.lognormal(0, 0.35)
    return sound


def keys(rng: Rng, sr: int) -> Array:
    """Shake a bunch of keys: many small metal bars that ring high and briefly, in clusters."""
    seconds = rng.uniform(0.5, 1.3)
    sound = np.zeros(times(seconds, sr).size)
    bars = [rng.uniform(2500, 7500, 5) for _ in range(rng.integers(3, 6))]
    for shake in (0.0, *rng.uniform(0, seconds - 0.1, rng.integers(1, 5))):
        for start in shake + rng.exponential(0.05, rng.integers(3, 8)):
            ring = modes(rng, 0.12, sr, bars[rng.integers(len(bars))], rng.uniform(0.01, 0.04, 5))
            add(sound, start, rng.uniform(0.2, 1.0) * ring, sr)
    return sound


def knock(rng: Rng, sr: int) -> Array:
    """Knock two to five times on wood, evenly spaced: the same panel answers each time."""
    count, pace = rng.integers(2, 6), rng.uniform(0.12, 0.26)
    panel, decays = rng.uniform(130, 900, 6), rng.uniform(0.012, 0.035, 6)
    sound = np.zeros(times((count - 1) * pace + 0.25, sr).size)
    for index in range(count):
        blow = modes(rng, 0.2, sr, panel * rng.uniform(0.98, 1.02), decays)
        blow += 0.5 * noise_band(rng, 0.2, sr, 200, 2500) * burst(0.2, sr, 0.005)
        add(sound, index * pace * rng.uniform(0.97, 1.03), rng.uniform(0.6, 1.0) * blow, sr)
    return sound


def laughter(rng: Rng, sr: int) -> Array:
    """Laugh ha-ha-ha: three to eight breathy vowels in even rhythm, sinking in pitch and strength."""
    count, pace = rng.integers(3, 9), rng.uniform(0.16, 0.25)
    pitch, size = rng.uniform(170, 420), rng.uniform(0.9, 1.2)
    vowel = [size * f for f in VOWELS[rng.choice(["a", "e"])]]
    sound = np.zeros(times(count * pace + 0.1, sr).size)
    for index in range(count):
        seconds = 0.75 * pace
        u = times(seconds, sr) / seconds
        voice = glottis(pitch * 0.95**index * (1.1 - 0.25 * u), sr, rng) * swell(seconds, sr, 0.4, 0.7)
        breath = 0.25 * noise_band(rng, seconds, sr, 800, 5000) * swell(seconds, sr, 0.15)
        add(sound, index * pace, 0.9**index * formants(voice + breath, sr, vowel, VOWEL_WIDTHS), sr)
    return sound


def mouse(rng: Rng, sr: int) -> Array:
    """Click a mouse one to three times: two tiny snaps each, the button going down and coming up."""
    count, pace = rng.integers(1, 4), rng.uniform(0.2, 0.4)
    sound = np.zeros(times((count - 1) * pace + 0.2, sr).size)
    snap, held = rng.uniform(2200, 5000), rng.uniform(0.06, 0.13)
    for index in range(count):
        for start, tone in ((index * pace, snap), (index * pace + held, 1.25 * snap)):
            click = modes(rng, 0.03, sr, [tone, 1.7 * tone, 0.4 * tone], [0.003, 0.002, 0.002])
            add(sound, start, rng.uniform(0.6, 1.0) * click, sr)
    return sound


def pageturn(rng: Rng, sr: int) -> Array:
    """Turn a page: a rustle that swells, brighter while the paper bends, with crackles on top."""
    seconds = rng.uniform(0.5, 1.3)
    lift = swell(seconds, sr, rng.uniform(0.35, 0.75), rng.uniform(0.8, 1.6))
    low = noise_band(rng, seconds, sr, 300, 1800)
    high = noise_band(rng, seconds, sr, 2000, rng.uniform(5000, 7500))
    u = times(seconds, sr) / seconds
    sound = lift * ((1 - 0.7 * u) * low + (0.3 + 0.7 * u) * high) * 0.4
    for start in seconds * rng.beta(4, 3, rng.integers(8, 25)):
        crackle = noise_band(rng, 0.02, sr, 1500, 7000) * burst(0.02, sr, rng.uniform(0.001, 0.005), 0.0004)
        add(sound, start, rng.uniform(0.1, 0.8) * crackle, sr)
    return sound


def pendrop(rng: Rng, sr: int) -> Array:
    """Drop a pen and let it bounce: the same short ring, each time sooner and weaker."""
    bounce, ratio = rng.uniform(0.12, 0.25), rng.uniform(0.55, 0.75)
    barrel, decays = rng.uniform(1200, 5500, 6), rng.uniform(0.006, 0.02, 6)
    sound = np.zeros(times(bounce / (1 - ratio) + 0.15, sr).size)
    at, strength = 0.0, 1.0
    while strength > 0.05:
        ring = modes(rng, 0.1, sr, barrel * rng.uniform(0.97, 1.03), decays)
        ring += 0.4 * noise_band(rng, 0.1, sr, 800, 5000) * burst(0.1, sr, 0.003)
        add(sound, at, strength * ring, sr)
        at, bounce, strength = at + bounce, bounce * ratio, strength * rng.uniform(0.55, 0.75)
    return sound


def phone(rng: Rng, sr: int) -> Array:
    """Ring a telephone: an old bell struck twenty times a second, or an electronic two-tone warble."""
    seconds = rng.uniform(0.8, 2.0)
    t = times(seconds, sr)
    rate = rng.uniform(14, 26)
    sound = np.zeros(t.size)
    if rng.random() < 0.5:
        gong, decays = rng.uniform(900, 1500) * np.array([1, 2.71, 4.15, 5.4]), [0.25, 0.15, 0.1, 0.06]
        for start in np.arange(0, seconds - 0.15, 1 / rate):
            add(sound, start, rng.uniform(0.7, 1.0) * modes(rng, 0.15, sr, gong, decays), sr)
        return sound * np.minimum(1, (seconds - t) / 0.15)
    low, interval = rng.uniform(600, 1200), rng.uniform(1.15, 1.5)
    pitch = np.where((t * rate) % 1 < 0.5, low, low * interval)
    turn = 2 * np.pi * np.cumsum(pitch) / sr
    ring = np.sin(turn) + 0.4 * np.sin(2 * turn) + 0.25 * np.sin(3 * turn)
    pause = (t % rng.uniform(0.5, 0.9)) < rng.uniform(0.35, 0.9)
    return ring * np.convolve(pause, np.full(sr // 100, 100 / sr), mode="same")


def printer(rng: Rng, sr: int) -> Array:
    """Print: the hum of a motor, and the carriage going to and fro with a whirr and a clack."""
    seconds = rng.uniform(1.2, 2.0)
    t = times(seconds, sr)
    stroke = rng.uniform(0.18, 0.45)
    sweep = np.abs(np.sin(np.pi * t / stroke + rng.uniform(0, np.pi)))
    turn = 2 * np.pi * np.cumsum(rng.uniform(110, 280) * (0.8 + 0.4 * sweep)) / sr
    motor = sum(np.sin(rank * turn) / rank for rank in (1, 2, 3, 5, 8))
    whirr = noise_band(rng, seconds, sr, rng.uniform(800, 1600), rng.uniform(3000, 5500)) * sweep
    sound = (0.35 * motor * (0.5 + 0.5 * sweep) + 0.5 * whirr) * np.minimum(
        1, np.minimum(t, seconds - t) / 0.05
    )
    for start in np.arange(rng.uniform(0, stroke), seconds, stroke):
        add(sound, start, 0.8 * noise_band(rng, 0.06, sr, 500, 3500) * burst(0.06, sr, 0.012), sr)
    return sound


def speech(rng: Rng, sr: int) -> Array:
    """Speak a few syllables: a vowel each, some led by a hiss, the voice gliding from one to the next."""
    count, pitch, size = rng.integers(3, 8), rng.uniform(90, 240), rng.uniform(0.9, 1.2)
    sound = np.zeros(times(2.2, sr).size)
    at = 0.0
    for index in range(count):
        if rng.random() < 0.4:
            hiss = rng.uniform(0.05, 0.11)
            add(sound, at, 0.15 * noise_band(rng, hiss, sr, 2500, 7000) * swell(hiss, sr, 0.5), sr)
            at += 0.8 * hiss
        seconds = rng.uniform(0.11, 0.26)
        u = times(seconds, sr) / seconds
        tune = pitch * (1 - 0.04 * index) * (1 + rng.uniform(-0.2, 0.2) * u + 0.08 * np.sin(np.pi * u))
        vowels = [VOWELS[name] for name in rng.choice(list(VOWELS), 2)]
        voice = glottis(tune, sr, rng)
        glide = sum(
            weight * formants(voice, sr, [size * f for f in vowel], VOWEL_WIDTHS)
            for weight, vowel in zip((1 - u, u), vowels, strict=True)
        )
        add(sound, at, glide * swell(seconds, sr, 0.35, 0.6) * rng.uniform(0.6, 1.0), sr)
        at += 0.85 * seconds + rng.choice([0.0, rng.uniform(0.03, 0.12)])
    return sound[: round(min(at + 0.05, 2.2) * sr)]


def switch(rng: Rng, sr: int) -> Array:
    """Flip a light switch: a soft lead-in, a hard snap milliseconds later, the wall plate's answer."""
    lead = rng.uniform(0.008, 0.03)
    sound = np.zeros(times(lead + 0.12, sr).size)
    add(sound, 0, 0.3 * noise_band(rng, 0.02, sr, 1000, 5000) * burst(0.02, sr, 0.003), sr)
    snap = noise_band(rng, 0.05, sr, 1200, 6500) * burst(0.05, sr, 0.004, 0.0003)
    plate = modes(rng, 0.12, sr, rng.uniform(500, 2200, 5), rng.uniform(0.006, 0.02, 5))
    add(sound, lead, snap, sr)
    add(sound, lead, 0.7 * plate, sr)
    return sound


RECIPES: dict[str, Recipe] = {
    recipe.__name__: recipe
    for recipe in (
        alert,
        clearthroat,
        cough,
        doorslam,
        drawer,
        keyboard,
        keys,
        knock,
        laughter,
        mouse,
        pageturn,
        pendrop,
        phone,
        printer,
        speech,
        switch,
    )
}
"""The recipe of each class: ``recipe(rng, sr)`` returns one event."""


def synthesize(label: str, seed: int | Sequence[int], sr: int = 16000) -> npt.NDArray[np.float32]:
    """Make one sound event.

    Parameters
    ----------
    label : str
        One of the 16 classes (`RECIPES`).
    seed : int or sequence of int
        Same seed, same sound.
    sr : int
        Sample rate in Hz, at least 8000.

    Returns
    -------
    ndarray, shape (n_samples,), float32
        0.1 to 2.2 seconds, with a peak between 0.1 and 0.9.

    Raises
    ------
    ParameterError
        If the label is unknown or the rate too low.

    Examples
    --------
    >>> knocks = synthesize("knock", seed=7)
    >>> knocks.dtype, bool(np.abs(knocks).max() < 0.91)
    (dtype('float32'), True)
    """
    check_integer(sr, "sr", low=8000)
    if label not in RECIPES:
        raise ParameterError(
            f"label {label!r} is not one of the {len(RECIPES)} synthetic classes"
            f"{nearest_match(label, RECIPES)}"
        )
    rng = np.random.default_rng(seed)
    sound = RECIPES[label](rng, sr)
    fade = np.minimum(1.0, np.arange(1, sound.size + 1)[::-1] / (0.01 * sr))  # no click where it was cut off
    level = rng.uniform(0.1, 0.9)
    return (sound * fade * (level / np.abs(sound).max())).astype(np.float32)


class SyntheticSource(EventSource):
    """Endless events of the sixteen synthetic classes; each is its own source recording.

    Parameters
    ----------
    classes : sequence of str, optional
        Keep only these.

    Raises
    ------
    DataError
        If a class is unknown.

    Examples
    --------
    >>> source = SyntheticSource(["cough", "knock"])
    >>> key = source.draw("knock", np.random.default_rng(0))
    >>> source.load(key, 16000).ndim
    1
    """

    name = "synthetic"

    def __init__(self, classes: Sequence[str] | None = None) -> None:
        for label in classes or ():
            if label not in RECIPES:
                raise DataError(
                    f"class {label!r} is not one of the {len(RECIPES)} synthetic classes"
                    f"{nearest_match(label, RECIPES)}"
                )
        self.classes = tuple(sorted(set(classes or RECIPES)))

    def draw(self, label: str, rng: Rng, folds: Collection[int] | None = None) -> str:
        """Return the key of a new event, ``class/seed``; folds need no care, as no event comes twice."""
        if label not in self.classes:
            raise ParameterError(
                f"label {label!r} is not a class of this source{nearest_match(label, self.classes)}"
            )
        return f"{label}/{int(rng.integers(2**53))}"

    def load(self, key: str, sr: int) -> npt.NDArray[np.float32]:
        """Return the event that `key` names, at `sr` Hz.

        Raises
        ------
        DataError
            If the key is not of the form ``class/seed``.
        """
        label, _, seed = key.partition("/")
        if label not in RECIPES or not seed.isdecimal():
            raise DataError(f"synthetic event {key!r}: expected a class and a seed, such as 'knock/17'")
        return synthesize(label, int(seed), sr)

    def source_id(self, key: str) -> str:
        """Return `key` itself."""
        return key

    def with_folds(self, folds: int, seed: int) -> "SyntheticSource":
        """Return itself: no two clips share an event."""
        return self
