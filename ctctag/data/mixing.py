"""Data sets of mixtures on disk: mixed from sources, and mixed again from their recipe."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ctctag._checks import check_choice, check_integer
from ctctag._files import staged_folder
from ctctag._reading import reading
from ctctag._threads import run_tasks
from ctctag.audio import write_audio
from ctctag.data._counter import Counter, Progress
from ctctag.data.convert import sequential_to_weak
from ctctag.data.dataset import Dataset
from ctctag.data.folders import open_source
from ctctag.data.identity import check_contents, check_folds, hashes
from ctctag.data.label_writers import write_folds, write_sequential, write_strong, write_weak
from ctctag.data.labels import Event
from ctctag.data.mixer import Mixer
from ctctag.data.noise import NoiseSource, open_noise
from ctctag.data.opening import classes_of
from ctctag.data.recipe import Part, read_recipe, write_recipe
from ctctag.data.sources import EventSource
from ctctag.data.toml import read_toml, write_toml
from ctctag.exceptions import DataError

__all__ = ["PROTOCOLS", "mix_dataset", "open_mixer", "remix"]

PROTOCOLS = ("paper", "honest")
MOST_CLIPS = 10_000_000  # a thousand days of sound; names and labels of all are held at once
FORMAT = 1


def mix_dataset(
    source: EventSource | str | Path,
    out: str | Path,
    *,
    clips: int = 2556,
    protocol: str = "paper",
    folds: int = 4,
    seed: int = 0,
    classes: Sequence[str] | None = None,
    noise: NoiseSource | str | Path | None = "white",
    progress: Progress | None = None,
    **mixer_options: Any,
) -> Dataset:
    """Mix a data set and write it to a folder.

    Clip number i belongs to fold ``1 + i % folds`` and to the seed ``[seed, i]``.

    Parameters
    ----------
    source : EventSource, path-like or "synthetic"
        The events (see `open_source`).
    out : path-like
        The new folder. It appears when everything is written, or not at all.
    clips : int
        How many clips.
    protocol : {"paper", "honest"}
        ``"paper"``: each clip draws from all recordings, so a recording may be heard in training and in
        test. ``"honest"``: recordings are divided into folds first, events and noise alike and by *source
        recording*, and a clip draws only from its own fold.
    folds : int
        How many folds, at least 2.
    seed : int
        Seed of everything, at least 0.
    classes : sequence of str, optional
        Keep only these classes of the source.
    noise : "white", path-like, NoiseSource or None
        The background.
    progress : callable, optional
        Called with (clips done, clips).
    **mixer_options
        For `Mixer`: ``sr``, ``clip_seconds``, ``events_per_clip``, ``snr_db`` and so on.

    Returns
    -------
    Dataset
        The data set just written.

    Raises
    ------
    DataError
        If `out` holds something already, or a source cannot be used; a broken recording is named before
        anything is written.
    ParameterError
        If a parameter is out of range.

    Examples
    --------
    >>> import tempfile
    >>> out = tempfile.mkdtemp() + "/mixed"
    >>> dataset = mix_dataset("synthetic", out, clips=4, folds=2, clip_seconds=4, events_per_clip=2)
    >>> len(dataset), dataset.sample_rate, dataset.folds.tolist()
    (4, 16000, [1, 2, 1, 2])
    """
    check_integer(clips, "clips", low=1)
    check_integer(clips, "clips", high=MOST_CLIPS)
    check_choice(protocol, "protocol", PROTOCOLS)
    check_integer(folds, "folds", low=2)
    check_integer(seed, "seed", low=0)
    mixer = Mixer(open_source(source, classes), noise=noise, **mixer_options)
    if protocol == "honest":
        mixer = mixer.with_folds(folds, seed)

    digits = len(str(clips - 1))
    names = [f"mix_{index:0{digits}}.flac" for index in range(clips)]
    fold_of = [1 + index % folds for index in range(clips)]
    events: list[list[Event]] = [[] for _ in names]
    parts: list[list[Part]] = [[] for _ in names]
    with staged_folder(Path(out)) as staged:
        mixer.preload()
        (staged / "audio").mkdir()
        counter = Counter(clips, progress)

        def mix(index: int) -> None:
            clip = mixer.mix([seed, index], folds=fold_of[index] if protocol == "honest" else None)
            write_audio(staged / "audio" / names[index], clip.samples, clip.sr)
            events[index], parts[index] = clip.events, clip.parts
            counter.step()

        run_tasks(mix, range(clips))
        sequences = {name: [event.label for event in of] for name, of in zip(names, events, strict=True)}
        write_strong(staged / "strong.tsv", dict(zip(names, events, strict=True)))
        write_sequential(staged / "sequential.tsv", sequences)
        write_weak(staged / "weak.tsv", sequential_to_weak(sequences))
        write_folds(staged / "folds.tsv", dict(zip(names, fold_of, strict=True)))
        write_recipe(staged / "recipe.tsv", dict(zip(names, parts, strict=True)))
        settings = _settings(mixer, Path(out), clips=clips, protocol=protocol, folds=folds, seed=seed)
        write_toml(staged / "dataset.toml", settings)
    return Dataset.open(out)


def open_mixer(
    dataset: str | Path,
    *,
    source: EventSource | str | Path | None = None,
    noise: NoiseSource | str | Path | None = None,
    sr: int | None = None,
    events_per_clip: tuple[int, int] | None = None,
) -> Mixer:
    """Return the mixer that a data set was made by, to make more clips of its kind.

    Parameters
    ----------
    dataset : path-like
        A folder with ``dataset.toml``, as `mix_dataset` writes it.
    source, noise : optional
        Where the events and the noise are now; by default where ``dataset.toml`` says they were.
    sr : int, optional
        Sample rate of the clips to mix, in Hz; by default the data set's.
    events_per_clip : (int, int), optional
        Least and most events of a clip; by default the data set's.

    Returns
    -------
    Mixer
        With the recordings in the folds of the data set, if its protocol is ``"honest"``: pass ``folds`` to
        `Mixer.mix` then, to keep those of the test fold out.

    Raises
    ------
    DataError
        If ``dataset.toml`` does not say how the clips were mixed, or the recordings have changed since: what
        they hold or, if the protocol is ``"honest"``, the folds they are in.

    Examples
    --------
    >>> import tempfile
    >>> out = tempfile.mkdtemp() + "/mixed"
    >>> dataset = mix_dataset("synthetic", out, clips=4, folds=2, clip_seconds=4, events_per_clip=2)
    >>> len(open_mixer(out).mix([7, 0]).events)
    2
    """
    root = Path(dataset)
    settings = _read_settings(root)
    mix = settings["mix"]
    options = {
        name: mix[name]
        for name in ("events_per_clip", "snr_db", "max_event_seconds", "gain_db", "level", "distinct")
        if name in mix  # TOML has no null: an event of any length is not written
    }
    options.setdefault("max_event_seconds", None)
    mixer = _mixer(root, settings, source, noise, settings["classes"], **options)
    if events_per_clip is not None:
        options["events_per_clip"] = events_per_clip
    mixer = Mixer(  # what the caller wants is no fault of the file's
        mixer.source,
        noise=mixer.noise,
        sr=mixer.sr if sr is None else sr,
        clip_seconds=mixer.clip_seconds,
        **options,
    )
    if mix["protocol"] == "honest":
        mixer = mixer.with_folds(mix["folds"], mix["seed"])
        check_folds(mixer, mix, root)
    return mixer


def remix(
    dataset: str | Path,
    out: str | Path | None = None,
    *,
    source: EventSource | str | Path | None = None,
    noise: NoiseSource | str | Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Mix the audio of a data set again from its ``recipe.tsv``, bit for bit.

    So a data set can be passed on as a few text files, to those who have the same recordings.

    Parameters
    ----------
    dataset : path-like
        A folder with ``recipe.tsv`` and ``dataset.toml``; its audio is not looked at.
    out : path-like, optional
        Where to write the audio files, a new folder; by default ``audio`` in the data set.
    source, noise : optional
        Where the events and the noise are now; by default where ``dataset.toml`` says they were.
    progress : callable, optional
        Called with (clips done, clips).

    Returns
    -------
    Path
        The folder of audio files.

    Raises
    ------
    DataError
        If `out` holds something already, the recipe or the settings are malformed, or the recordings are not
        those that were mixed.

    Notes
    -----
    Bit for bit holds for the versions that ``dataset.toml`` names; NumPy does not promise that its random
    generators give the same white noise for ever.
    """
    root = Path(dataset)
    target = Path(out) if out is not None else root / "audio"
    settings = _read_settings(root)
    recipes = read_recipe(root / "recipe.tsv")
    mixer = _mixer(root, settings, source, noise, None, events_per_clip=0)
    with staged_folder(target) as staged:
        counter = Counter(len(recipes), progress)

        def render(name: str) -> None:
            write_audio(staged / name, mixer.render(recipes[name]), mixer.sr)
            counter.step()

        run_tasks(render, list(recipes))
    return target


def _settings(mixer: Mixer, out: Path, *, clips: int, protocol: str, folds: int, seed: int) -> dict[str, Any]:
    known = hashes(mixer)
    mix = {"protocol": protocol, "folds": folds, "seed": seed, **mixer.settings(), **known}
    for name, source in (("events", mixer.source), ("noise", mixer.noise)):
        if source is not None and f"{name}_hash" in known:
            mix[name] = _relative(source.name, out)
    return {
        "format": FORMAT,
        "classes": list(mixer.classes),
        "sample_rate": mixer.sr,
        "clip_seconds": mixer.clip_seconds,
        "clips": clips,
        "mix": mix,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("ctctag", "numpy", "scipy", "soundfile")},
        },
    }


def _relative(name: str, out: Path) -> str:
    """Return a folder as seen from `out`, so that both can be moved together."""
    try:
        return Path(os.path.relpath(name, out)).as_posix()
    except ValueError:  # another drive
        return str(Path(name).absolute())


def _located(name: str, root: Path) -> str | Path:
    if name in ("synthetic", "white", "none"):
        return name
    place = Path(os.path.normpath(root / name))  # as `_relative` reckoned, and without ".." in messages
    return place if place.exists() else root / name  # unless a link leads elsewhere


_SETTINGS: dict[str, Any] = {"mix": dict, "classes": list, "sample_rate": int, "clip_seconds": int | float}
_MIX: dict[str, Any] = {"protocol": str, "folds": int, "seed": int, "events": str, "noise": str}


def _read_settings(root: Path) -> dict[str, Any]:
    """Return ``dataset.toml``, which must say how its clips were mixed."""
    path = root / "dataset.toml"
    settings = read_toml(path)
    mix = settings.get("mix", {})
    for table, kinds in ((settings, _SETTINGS), (mix, _MIX)):
        for name, kind in kinds.items():
            if name not in table:
                raise DataError(f"{path}: {name!r} is missing, so it cannot be mixed again")
            with reading(path, DataError, f"{name} is not usable ({{}}), so it cannot be mixed again"):
                if not isinstance(table[name], kind) or isinstance(table[name], bool):
                    raise TypeError(f"got {str(table[name])[:80]}")
                if isinstance(table[name], str) and "\0" in table[name]:
                    raise ValueError("it holds a zero byte")
    with reading(path, DataError, "{}, so it cannot be mixed again"):
        check_choice(mix["protocol"], "protocol", PROTOCOLS)
        check_integer(mix["folds"], "folds", low=2)
        check_integer(mix["seed"], "seed", low=0)
    classes_of(settings, path)
    return settings


def _mixer(
    root: Path,
    settings: dict[str, Any],
    source: EventSource | str | Path | None,
    noise: NoiseSource | str | Path | None,
    classes: Sequence[str] | None,
    **options: Any,
) -> Mixer:
    """Return a mixer over the recordings that the settings name, if they are still the same."""
    mix = settings["mix"]
    events_at = source if source is not None else _located(mix["events"], root)
    noise_at = noise if noise is not None else _located(mix["noise"], root)
    try:
        events = open_source(events_at, classes)
    except DataError as error:
        if events_at != "synthetic":  # a folder is named by the message
            raise
        raise DataError(f"{root / 'dataset.toml'}: {error}") from error
    background = None if noise_at == "none" else open_noise(noise_at)
    with reading(root / "dataset.toml", DataError, "{}, so it cannot be mixed again"):
        mixer = Mixer(
            events,
            noise=background,
            sr=settings["sample_rate"],
            clip_seconds=settings["clip_seconds"],
            **options,
        )
    check_contents(mixer, mix, root)
    return mixer
