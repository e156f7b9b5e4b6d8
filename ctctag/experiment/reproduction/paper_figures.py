"""The paper's own figures, as printed.

References
----------
Y. Hou, Q. Kong, S. Li, "Audio Tagging With Connectionist Temporal Classification Model Using Sequential
Labelled Data", 2018, tables 1.1 and 1.2. The baseline's drawer is printed "0..690", read here as 0.690.
"""

__all__ = ["CLASSES", "NAMES", "TABLE_1_1", "TABLE_1_2", "f_bounds", "implied_prevalence"]

NAMES = {"baseline": "Baseline", "crap": "CRAP", "crmp": "CRMP", "crnn-ctc": "CRNN-CTC"}  # the paper's order

CLASSES = tuple(
    [
        "alert",
        "clearthroat",
        "cough",
        "doorslam",
        "drawer",
        "keyboard",
        "keys",
        "knock",
        "laughter",
        "mouse",
        "pageturn",
        "pendrop",
        "phone",
        "printer",
        "speech",
        "switch",
    ]
)

# fmt: off
TABLE_1_1 = {  # AUC of each class, in the order of CLASSES, and the printed average
    "baseline": ((0.609, 0.627, 0.674, 0.691, 0.690, 0.569, 0.702, 0.816, 0.617, 0.668, 0.693, 0.662, 0.654,
                  0.862, 0.550, 0.625), 0.669),
    "crap": ((0.737, 0.948, 0.792, 0.804, 0.895, 0.811, 0.864, 0.971, 0.783, 0.587, 0.759, 0.809, 0.715,
              0.910, 0.800, 0.850), 0.815),
    "crmp": ((0.959, 0.970, 0.915, 0.875, 0.953, 0.735, 0.918, 0.973, 0.883, 0.835, 0.892, 0.936, 0.892,
              0.985, 0.887, 0.922), 0.908),
    "crnn-ctc": ((0.968, 1.0, 1.0, 0.977, 1.0, 0.959, 0.972, 1.0, 1.0, 0.995, 0.990, 0.972, 1.0, 0.995,
                  0.990, 0.965), 0.986),
}
# fmt: on

TABLE_1_2 = {  # averages over the classes
    "baseline": {"precision": 0.687, "recall": 0.371, "f": 0.482, "auc": 0.669},
    "crap": {"precision": 0.847, "recall": 0.647, "f": 0.733, "auc": 0.815},
    "crmp": {"precision": 0.933, "recall": 0.827, "f": 0.877, "auc": 0.908},
    "crnn-ctc": {"precision": 0.983, "recall": 0.975, "f": 0.980, "auc": 0.986},
}


def f_bounds(system: str) -> tuple[float, float]:
    """Return the least and greatest 2 P R / (P + R) that the printed precision and recall allow.

    Both are rounded to three digits, so each may be 0.0005 less or more.

    Examples
    --------
    >>> low, high = f_bounds("crnn-ctc")
    >>> f"{low:.5f} {high:.5f}"  # 0.980 stands for 0.9795 at least
    '0.97848 0.97948'
    """
    precision, recall = (TABLE_1_2[system][name] for name in ("precision", "recall"))
    low, high = ((2 * (precision + d) * (recall + d) / (precision + recall + 2 * d)) for d in (-5e-4, 5e-4))
    return low, high


def implied_prevalence(system: str) -> float:
    """Return the share of clips with a tag that follows if the printed AUC is that of decoded tags.

    Then AUC = (recall + 1 - false positive rate) / 2, and precision says how many clips have the tag.

    Examples
    --------
    >>> [round(implied_prevalence(system), 2) for system in TABLE_1_2]
    [0.16, 0.13, 0.16, 0.15]
    """
    row = TABLE_1_2[system]
    false_rate = row["recall"] + 1 - 2 * row["auc"]
    odds = row["precision"] * false_rate / (row["recall"] * (1 - row["precision"]))
    return odds / (1 + odds)
