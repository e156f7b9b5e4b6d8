"""What the paper leaves open, and what was chosen."""

from ctctag.experiment.reproduction.paper_figures import NAMES, TABLE_1_2, f_bounds, implied_prevalence
from ctctag.experiment.tables import Table

__all__ = ["check_table", "choices_table"]

_CHOICES = (
    ("folds", "how clips are folded",
     "paper: clips drawn from all recordings, then folded, so a recording can be in training and test; "
     "honest: folds by source recording, before mixing"),
    ("AUC", "scores or decoded tags",
     "both: auc from scores, auc_binary from decoded tags. The authors' code decodes first, and one share of "
     "tagged clips near 0.15 explains all four printed rows"),
    ("F-score", "of averages, or average of the classes' F", "mean of the classes' F; see the check"),
    ("outputs", "N = 16, and 17 for CTC", "the same; the blank is output 0"),
    ("features", "log mel, no sizes",
     "paper: 16 kHz, STFT 1024 Hamming, hop 664, no centring: 240 frames for 10 s; 64 bands from 50 to "
     "8000 Hz; standardised on training clips; honest: 32 kHz, as many frames and bands, up to 16 kHz"),
    ("pooling", "no sizes", "in frequency only, so that all 240 frames reach the output"),
    ("network", "no widths",
     "preset paper: four 3 × 3 convolutions of 64 maps, BiGRU 64; small: 16, 32, 64, 64 maps"),
    ("early stopping", "no criterion",
     "part of the training clips is held out; the best epoch on it is kept. The test fold plays no part"),
    ("optimiser", "Adam 0.001, at most 1000 epochs",
     "AdamW, one cycle up to 0.003 and back, moving average of the weights: the same in fewer epochs"),
    ("noise", "noise background", "paper: white at 20 dB; honest: real backgrounds at 20 dB"),
    ("events", "three or several a clip", "one to four different classes, cut to 2 s, never overlapping"),
    ("decoding", "best path",
     "the same; honest: of the labellings that a beam search finds, the one that outputs for the tags find "
     "likeliest, too, the blank's bias lowered by 0.5 after training"),
    ("loss", "CTC for CRNN-CTC",
     "the same; honest: and twice CRMP's, of outputs of its own, and 0.2 times the distance between what is "
     "heard of two maskings of each clip"),
    ("listening", "once", "the same; honest: three times, the frames a quarter of a hop apart, and the mean"),
    ("threshold", "none named", "0.5 for the three systems with sigmoids"),
)  # fmt: skip


def choices_table() -> Table:
    """Return one row a question that the paper leaves open."""
    return Table(["what", "in the paper", "here"], _CHOICES)


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
