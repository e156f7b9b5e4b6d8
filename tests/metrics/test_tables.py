import json
import re

import numpy as np
import pytest

from ctctag.exceptions import ParameterError
from ctctag.metrics import auc, auc_binary, average_precision, evaluate_tags, precision_recall_f

RNG = np.random.default_rng(0)
TRUTH = RNG.random((50, 4)) < 0.4
TRUTH[:, 3] = False  # a class that does not occur
SCORES = RNG.random((50, 4)) + 0.5 * TRUTH
DECODED = SCORES > 0.8


def test_every_number_is_that_of_its_metric():
    result = evaluate_tags(TRUTH, SCORES, DECODED)
    macro = precision_recall_f(TRUTH, DECODED, average="macro")
    micro = precision_recall_f(TRUTH, DECODED, average="micro")
    classes = precision_recall_f(TRUTH, DECODED)
    for name in ("precision", "recall", "f"):
        assert result[name] == getattr(macro, name)
        assert result[f"{name}_micro"] == getattr(micro, name)
        assert result[f"classes_{name}"] == getattr(classes, name).tolist()
    for name, expected in [
        ("auc", auc(TRUTH, SCORES)),
        ("auc_binary", auc_binary(TRUTH, DECODED)),
        ("average_precision", average_precision(TRUTH, SCORES)),
    ]:
        assert result[name] == expected.mean
        assert result[f"classes_{name}"] == [*expected.values[:3].tolist(), None]
    assert result["support"] == TRUTH.sum(axis=0).tolist()
    assert result["auc_classes"] == 3


def test_json_takes_it_as_it_is():
    result = evaluate_tags(TRUTH, SCORES, DECODED)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    nothing = evaluate_tags([[0]], [[0.5]], [[0]])
    assert (nothing["auc"], nothing["auc_classes"], nothing["classes_auc"]) == (None, 0, [None])
    json.dumps(nothing, allow_nan=False)


def test_shapes_must_agree():
    message = "scores and decoded must have one shape, got (50, 4) and (50, 3)"
    with pytest.raises(ParameterError, match=re.escape(message)):
        evaluate_tags(TRUTH, SCORES, DECODED[:, :3])
    with pytest.raises(ParameterError, match="y_true and scores must have one shape"):
        evaluate_tags(TRUTH[:40], SCORES, DECODED)
