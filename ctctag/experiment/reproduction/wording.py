"""What the report says of its clips: whether they are recordings, and which of them training may have used.

Every sentence must hold for the experiment at hand, be it small, synthetic or the paper's.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ctctag.data.toml import read_toml
from ctctag.experiment.reproduction.cells import Cell, origin
from ctctag.experiment.reproduction.paper_figures import NAMES
from ctctag.experiment.reproduction.plan import Plan

__all__ = ["caution", "origin_of", "systems_sentence", "title", "what_was_heard"]

_SECONDS = 10.0  # of a clip of the paper's

Origin = Mapping[str, str]  # of "events" and "noise": "recordings", or what a computer made

_EVENTS = {
    "synthetic": "Every event is made anew by the synthesiser: no event of a test clip is used in training.",
    "paper": (
        "Clips are drawn from all recordings and then folded, as in the paper: a recording that a test clip "
        "is mixed from may be used in training, too, in other mixtures. The figures say how well mixtures "
        "of known recordings are understood."
    ),
    "honest": (
        "Recordings are folded before anything is mixed: training uses no recording of a test clip's "
        "events. The figures say how well unknown recordings are understood."
    ),
}
_NOISE = {
    "white": "The background is white noise, made anew for each clip.",
    "none": "There is no background.",
    "paper": "The background is recorded: a test clip's may be used in training, too.",
    "honest": "The background is recorded and folded, too: training uses none of a test clip's.",
}


def origin_of(cells: Sequence[Cell], folder: Path, plan: Plan) -> dict[str, str]:
    """Return of ``events`` and ``noise`` of an experiment whether they are recordings.

    Cells of a version that did not note it are asked after their clips; where these are gone, the protocol's
    usual sounds are meant.
    """
    data = cells[0].data
    if "events" in data:
        return {name: data[name] for name in ("events", "noise")}
    settings = folder / "clips" / "dataset.toml"
    if settings.is_file():
        return origin(read_toml(settings))
    return {"events": "recordings", "noise": "recordings" if plan.protocol == "honest" else "white"}


def title(plan: Plan, of: Origin) -> str:
    """Return the title of the report."""
    if of["events"] == "synthetic":
        return "The paper's systems on synthetic sounds: not a replication"
    if caution(plan, of):
        return "The paper's experiment in small: not a replication"
    return "The paper's experiment, again"


def caution(plan: Plan, of: Origin) -> str:
    """Return why the figures are not to be held against the paper's; empty where they may be.

    Examples
    --------
    >>> caution(Plan(clips=100), {"events": "synthetic", "noise": "white"}).partition(". ")[0]
    'This is not a replication of the paper: the sounds are synthetic, clips are fewer'
    >>> caution(Plan(), {"events": "recordings", "noise": "white"})
    ''
    """
    usual = Plan()
    reasons = {
        "the sounds are synthetic": of["events"] == "synthetic",
        "clips are shorter": plan.mix.get("clip_seconds", _SECONDS) < _SECONDS,
        "clips are fewer": plan.clips < usual.clips,
        "networks are tiny": any(plan.config(system).preset == "tiny" for system in plan.systems),
    }
    if not any(reasons.values()):
        return ""
    why = ", ".join(reason for reason, holds in reasons.items() if holds)
    return (
        f"This is not a replication of the paper: {why}. The paper's figures, printed beside these, were "
        f"measured on {usual.clips} clips of {_SECONDS:g} s, mixed from recordings, and do not compare."
    )


def systems_sentence(systems: Sequence[str]) -> str:
    """Return what the systems do.

    Examples
    --------
    >>> systems_sentence(["crap", "crmp"])
    'CRAP and CRMP say which sounds occur in mixtures.'
    >>> systems_sentence(["crnn-ctc"])
    'CRNN-CTC says which sounds occur in mixtures; it learns from their order, too, and says it.'
    """
    names = [NAMES[system] for system in systems]
    listed = " and ".join([*([", ".join(names[:-1])] if names[1:] else []), names[-1]])
    says = f"{listed} {'say' if names[1:] else 'says'} which sounds occur in mixtures"
    if "crnn-ctc" not in systems:
        return f"{says}."
    subject = "CRNN-CTC" if names[1:] else "it"
    return f"{says}; {subject} learns from their order, too, and says it."


def what_was_heard(plan: Plan, of: Origin) -> str:
    """Return what of a test clip training may have used, and so what the figures mean."""
    events = of["events"] if of["events"] in _EVENTS else plan.protocol
    noise = of["noise"] if of["noise"] in _NOISE else plan.protocol
    return f"{_EVENTS[events]} {_NOISE[noise]}"
