"""What the paper leaves open, and what was chosen: in words that are true of the experiment at hand."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ctctag.data import Mixer
from ctctag.experiment.reproduction.paper_figures import NAMES, TABLE_1_2, f_bounds, implied_prevalence
from ctctag.experiment.reproduction.plan import Plan
from ctctag.experiment.tables import Table
from ctctag.models import PRESETS
from ctctag.training import TrainingConfig

__all__ = ["check_table", "choices_table"]

_DECODERS = {
    "best-path": "the same",
    "beam": "the likeliest labelling that a beam search finds",
    "rescored": "of the labellings that a beam search finds, the one likeliest by outputs for the tags",
}
_NOISE = {"white": "white", "recordings": "recorded backgrounds"}


def choices_table(plan: Plan, origin: Mapping[str, str], n_classes: int) -> Table:
    """Return one row a question that the paper leaves open.

    Parameters
    ----------
    plan : Plan
        The experiment.
    origin : dict
        Of ``events`` and ``noise`` whether they are recordings.
    n_classes : int
        How many classes there are.
    """

    def trained(words: Callable[[TrainingConfig], str]) -> str:
        """Say it of all systems at once where it is the same, and one by one where it is not."""
        found = {NAMES[system]: words(plan.config(system)) for system in plan.systems}
        if len(set(found.values())) == 1:
            return next(iter(found.values()))
        return "; ".join(f"{name}: {said}" for name, said in found.items())

    mix = {name: option.default for name, option in inspect.signature(Mixer).parameters.items()}
    mix |= plan.mixer_options()
    log_mel = plan.log_mel()
    frames = log_mel.n_frames(round(mix["clip_seconds"] * mix["sr"]))
    rows = [
        ("folds", "how clips are folded", _folds(plan, origin)),
        (
            "AUC",
            "scores or decoded tags",
            "both: auc from scores, auc_binary from decoded tags. The authors' code decodes first, and one "
            "share of tagged clips near 0.15 explains all four printed rows",
        ),
        ("F-score", "of averages, or average of the classes' F", "mean of the classes' F; see the check"),
        (
            "outputs",
            "N = 16, and 17 for CTC",
            f"N = {n_classes}, and {n_classes + 1} for CTC; the blank is output 0",
        ),
        (
            "features",
            "log mel, no sizes",
            f"{log_mel.sr / 1000:g} kHz, STFT {log_mel.n_fft} Hamming, hop {log_mel.hop_length}, no "
            f"centring: {frames} frames for {mix['clip_seconds']:g} s; {log_mel.n_mels} bands from "
            f"{log_mel.fmin:g} to {log_mel.fmax:g} Hz; standardised on training clips",
        ),
        ("pooling", "no sizes", f"in frequency only, so that all {frames} frames reach the output"),
        ("network", "no widths", trained(_network)),
        ("early stopping", "no criterion", trained(_stopping)),
        ("optimiser", "Adam 0.001, at most 1000 epochs", trained(_optimiser)),
        ("noise", "noise background", _noise(mix["snr_db"], origin["noise"])),
        ("events", "three or several a clip", _events(mix) + trained(_fresh)),
        ("listening", "once", trained(_listening)),
        ("threshold", "none named", "0.5 for the systems with sigmoids"),
    ]
    if "crnn-ctc" in plan.systems:
        ctc = plan.config("crnn-ctc")
        rows += [("decoding", "best path", _decoding(ctc)), ("loss", "CTC for CRNN-CTC", _loss(ctc))]
    return Table(["what", "in the paper", "here"], rows)


def _folds(plan: Plan, origin: Mapping[str, str]) -> str:
    if origin["events"] == "synthetic":
        return "over clips, no two of which share an event"
    if plan.protocol == "honest":
        return "over source recordings, before mixing"
    return "clips drawn from all recordings, then folded, so a recording can be in training and test"


def _network(config: TrainingConfig) -> str:
    sizes = PRESETS[config.preset]
    maps = ", ".join(map(str, sizes.channels))
    return f"preset {config.preset}: 3 × 3 convolutions of {maps} maps, BiGRU {sizes.hidden}"


def _stopping(config: TrainingConfig) -> str:
    return (
        f"{config.validation:.0%} of the training clips are held out; the best epoch on them is kept. The "
        "test fold plays no part"
    )


def _optimiser(config: TrainingConfig) -> str:
    rate = f"{config.learning_rate:g}"
    schedules = {
        "one-cycle": f"one cycle up to {rate} and back",
        "cosine": f"from {rate} down along a cosine",
    }
    words = ["AdamW" if config.weight_decay else "Adam", schedules.get(config.schedule, f"constant {rate}")]
    words.append(f"at most {config.epochs} epochs")
    return ", ".join([*words, *(["moving average of the weights"] if config.ema else [])])


def _noise(snr_db: Any, kind: str) -> str:
    low, high = (snr_db, snr_db) if isinstance(snr_db, int | float) else snr_db
    ratio = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return "none" if kind == "none" else f"{_NOISE[kind]} at {ratio} dB"


def _events(mix: Mapping[str, Any]) -> str:
    count = mix["events_per_clip"]
    low, high = (count, count) if isinstance(count, int) else count
    words = [
        f"{low} to {high}" if low != high else str(low),
        "different classes" if mix["distinct"] else "events",
    ]
    cut = "" if mix["max_event_seconds"] is None else f", cut to {mix['max_event_seconds']:g} s"
    return f"{' '.join(words)}{cut}, never overlapping"


def _fresh(config: TrainingConfig) -> str:
    if not config.fresh:
        return ""
    events = "" if config.fresh_events is None else " of {} to {} events".format(*config.fresh_events)
    return f"; trained on {config.fresh} clips{events} mixed afresh for every epoch"


def _listening(config: TrainingConfig) -> str:
    return "the same" if config.shifts == 1 else f"{config.shifts} times, parts of a hop apart, and the mean"


def _decoding(config: TrainingConfig) -> str:
    penalty = f"; the blank's bias lowered by {config.blank_penalty:g} after training"
    return _DECODERS[config.decoder] + (penalty if config.blank_penalty else "")


def _loss(config: TrainingConfig) -> str:
    words = ["the same"]
    if config.tag_weight:
        words.append(f"and {config.tag_weight:g} times CRMP's, of outputs of its own")
    if config.consistency:
        words.append(
            f"and {config.consistency:g} times the distance between predictions from two maskings of a clip"
        )
    return "; ".join(words)


def check_table() -> Table:
    """Return what holds of the paper's table 1.2 by itself: its F, and the tagged share its AUC implies."""
    rows = []
    for system, row in TABLE_1_2.items():
        low, high = f_bounds(system)
        f = 2 * row["precision"] * row["recall"] / (row["precision"] + row["recall"])
        holds = low <= row["f"] + 5e-4 and row["f"] - 5e-4 <= high
        rows.append([NAMES[system], row["f"], f, low, high, "yes" if holds else "no",
                     implied_prevalence(system)])  # fmt: skip
    return Table(
        ["system", "printed F", "2PR/(P+R)", "least", "greatest", "agree", "tagged share"],
        rows,
        [None, ".3f", ".4f", ".4f", ".4f", None, ".3f"],
        caption="The paper's table 1.2 checked by itself, with P and R as printed and within their rounding.",
    )
