import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from ctctag.ctc import align, lattice
from ctctag.exceptions import CtctagError, ParameterError
from ctctag.experiment import figures
from ctctag.experiment.figures import _style
from ctctag.experiment.figures.trellis import likeliest_path

CLASSES = ["cough", "keys", "speech"]
TIMES = np.arange(20) * 0.1 + 0.05
EVENTS = [("keys", 1.2, 1.8), ("cough", 0.2, 0.6)]


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture
def mel(rng):
    return rng.standard_normal((20, 8))


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes]


def texts(axes):
    return [text.get_text() for text in axes.texts]


def spikes(*frames, classes=3):
    """Probabilities with the blank first, and one spike of class k at frame t for each (k, t)."""
    probs = np.zeros((20, classes + 1))
    for k, t in frames:
        probs[t, 1 + k] = 0.9
    probs[:, 0] = 1 - probs.sum(axis=1)
    return probs


# -- labels ------------------------------------------------------------------------------------------------


def test_labels_show_three_kinds(rng, mel):
    figure = figures.plot_labels(rng.standard_normal(2000), 1000, mel, TIMES, EVENTS, CLASSES, title="clip 7")
    assert titles(figure) == ["waveform", "log-mel spectrogram", "labels"]
    assert texts(figure.axes[2]) == ["cough", "keys", "cough → keys", "{cough, keys}"]
    bars = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in figure.axes[2].patches]
    np.testing.assert_allclose(bars, [(0.2, 0.6), (1.2, 1.8)])
    assert figure.axes[2].get_xlim() == (0, 2)
    assert figure.get_suptitle() == "clip 7"


def test_weak_labels_name_a_class_once_in_no_order(rng, mel):
    events = [("speech", 0.1, 0.2), ("cough", 0.5, 0.6), ("speech", 1.0, 1.1)]
    figure = figures.plot_labels(rng.standard_normal(2000), 1000, mel, TIMES, events)
    assert texts(figure.axes[2])[-2:] == ["speech → cough → speech", "{cough, speech}"]


def test_a_clip_without_events_and_sound(mel):
    figure = figures.plot_labels(np.zeros(2000), 1000, mel, TIMES, [])
    assert texts(figure.axes[2]) == ["(no event)", "{}"]
    figures.to_png(figure, dpi=40)


def test_frequencies_in_kilohertz(rng, mel):
    centres = np.geomspace(50, 8000, 8)
    figure = figures.plot_labels(rng.standard_normal(2000), 1000, mel, TIMES, EVENTS, mel_frequencies=centres)
    axes = figure.axes[1]
    assert axes.get_ylabel() == "frequency (kHz)"
    for position, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True):
        assert np.interp(position, np.arange(8), centres) == pytest.approx(
            1000 * float(label.get_text()), rel=0.3
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": np.zeros((2, 5))}, "samples must have shape (n_samples,), got (2, 5)"),
        ({"samples": []}, "samples must hold at least one sample, got none"),
        ({"sr": 0}, "sr must be above 0, got 0"),
        (
            {"log_mel": np.zeros((3, 0))},
            "log_mel must have at least one frame and one band, got shape (3, 0)",
        ),
        (
            {"frame_times": TIMES[:7]},
            "frame_times has 7 times, but log_mel has 20 frames (of another clip or hop?)",
        ),
        ({"frame_times": TIMES[::-1]}, "frame_times must be finite and increasing"),
        (
            {"strong_events": [("dog", 0, 1)]},
            "strong_events[0] is a 'dog', which is not one of the 3 classes",
        ),
        ({"strong_events": [("keys", 2, 1)]}, "strong_events[0] lasts from 2 s to 1 s, but onset and offset"),
        (
            {"strong_events": [(0.5, 1.0, "keys")]},
            "strong_events[0] is (0.5, 1.0, 'keys'), but must be (label, onset, offset), times in seconds",
        ),
        ({"mel_frequencies": np.ones(5)}, "mel_frequencies must have shape (8,), got (5,)"),
    ],
)
def test_labels_refuse(mel, change, message):
    arguments = {
        "samples": np.zeros(2000),
        "sr": 1000,
        "log_mel": mel,
        "frame_times": TIMES,
        "strong_events": EVENTS,
        "classes": CLASSES,
    }
    with pytest.raises(ParameterError, match=re.escape(message)):
        figures.plot_labels(**arguments | change)


# -- frame predictions -------------------------------------------------------------------------------------


def test_frame_predictions_name_the_peaks(mel):
    flat = np.full((20, 3), 0.1)
    figure = figures.plot_frame_predictions(
        mel, TIMES, {"CRMP": flat, "CRNN-CTC": spikes((0, 4), (1, 15))}, CLASSES, strong_events=EVENTS
    )
    assert titles(figure) == ["log-mel spectrogram (truth: cough → keys)", "CRMP", "CRNN-CTC"]
    assert texts(figure.axes[1]) == ["(no class reaches 0.5)"]
    named = {text.get_text(): text.xy for text in figure.axes[2].texts if text.get_text() != "blank"}
    assert named == {"cough": (TIMES[4], 0.9), "keys": (TIMES[15], 0.9)}


def test_any_column_can_be_the_blank(mel):
    first = spikes((2, 10))
    last = np.roll(first, -1, axis=1)
    for probs, blank in ((first, 0), (last, 3), (last, -1)):
        figure = figures.plot_frame_predictions(mel, TIMES, {"CTC": probs}, CLASSES, blank)
        assert "speech" in texts(figure.axes[1])


def test_a_class_has_one_colour_in_all_panels(mel):
    system = spikes((0, 4), (1, 15))
    figure = figures.plot_frame_predictions(mel, TIMES, {"a": system[:, 1:], "b": system}, CLASSES)
    by_panel = [
        {line.get_color() for line in axes.lines if line.get_linewidth() == 1.5} for axes in figure.axes[1:]
    ]
    assert by_panel[0] == by_panel[1]
    assert len(by_panel[0]) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"systems": {}}, "systems must hold the probabilities of at least one system, got none"),
        (
            {"systems": {"CRMP": np.zeros((20, 5))}},
            "CRMP must have shape (20, 3), or (20, 4) with a blank, to fit log_mel and classes, got (20, 5)",
        ),
        (
            {"systems": {"CRMP": np.full((20, 3), -4.0)}},
            "CRMP must hold probabilities, got values from -4 to -4",
        ),
        ({"systems": {"CRMP": np.full((20, 3), np.nan)}}, "CRMP must hold probabilities"),
        ({"blank": 4}, "blank must be at least -4 and at most 3, got 4"),
        ({"threshold": 1}, "threshold must be above 0 and below 1, got 1"),
        (
            {"strong_events": [("dog", 0, 1)]},
            "strong_events[0] is a 'dog', which is not one of the 3 classes",
        ),
    ],
)
def test_frame_predictions_refuse(mel, change, message):
    arguments = {"log_mel": mel, "frame_times": TIMES, "systems": {"CTC": spikes((0, 1))}, "classes": CLASSES}
    with pytest.raises(ParameterError, match=re.escape(message)):
        figures.plot_frame_predictions(**arguments | change)


def test_find_peaks_joins_stretches_with_a_short_gap():
    probs = np.zeros((30, 1))
    probs[[2, 5, 20]] = [[0.6], [0.8], [0.7]]
    assert figures.find_peaks(probs, gap=8) == [(0, 5, 0.8), (0, 20, 0.7)]
    assert figures.find_peaks(probs, gap=1) == [(0, 2, 0.6), (0, 5, 0.8), (0, 20, 0.7)]
    assert figures.find_peaks(probs, threshold=0.9) == []


def test_texts_that_would_touch_go_to_another_level():
    places = _style.stack_texts([1.0, 1.1, 5.0, 0.0], [1.0, 1.0, 1.0, 0.4], (0.0, 5.2))
    assert [level for _, level in places] == [0, 1, 0, 0]
    assert places[2][0] == pytest.approx(4.7)  # moved inside
    assert places[3][0] == pytest.approx(0.2)


# -- what was heard ----------------------------------------------------------------------------------------


def tagging(**changes):
    tags = (
        SimpleNamespace(label="cough", probability=0.97, time=TIMES[4]),
        SimpleNamespace(label="keys", probability=0.8, time=TIMES[15]),
    )
    base = {
        "tags": tags,
        "ordered": True,
        "probabilities": {"cough": 0.97, "keys": 0.8, "speech": 0.01},
        "frame_probs": spikes((0, 4), (1, 15)),
        "frame_times": TIMES,
        "duration": 2.0,
    }
    return SimpleNamespace(**base | changes)


def test_tagging_is_drawn_in_order_at_its_peaks(mel):
    figure = figures.plot_tagging(mel, tagging(), CLASSES, title="clip.wav")
    assert titles(figure) == ["clip.wav", "heard: cough (0.97) → keys (0.80)"]
    named = {text.get_text(): text.xy for text in figure.axes[1].texts if text.get_text() != "blank"}
    assert named == {"cough": (TIMES[4], 0.9), "keys": (TIMES[15], 0.9)}


def test_tagging_without_frames_is_drawn_as_bars(mel):
    heard = tagging(frame_times=np.zeros(0), frame_probs=np.zeros((0, 3)), ordered=False)
    figure = figures.plot_tagging(mel, heard, CLASSES)
    assert titles(figure)[1] == "heard: cough (0.97), keys (0.80)"
    assert [bar.get_height() for bar in figure.axes[1].patches] == [0.97, 0.8, 0.01]


def test_nothing_heard(mel):
    assert titles(figures.plot_tagging(mel, tagging(tags=()), CLASSES))[1] == "no tag heard"


def test_tagging_of_other_classes_is_refused(mel):
    with pytest.raises(ParameterError, match=re.escape("tag 'cough' is not one of the 2 classes")):
        figures.plot_tagging(mel, tagging(), ["keys", "speech"])


# -- trellis -----------------------------------------------------------------------------------------------


def test_trellis_of_a_short_clip(rng):
    found = lattice(rng.standard_normal((8, 4)), [3, 1, 2])
    figure = figures.plot_trellis(found, ["-", "A", "T", "C"], title="CAT")
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["–", "C", "–", "A", "–", "T", "–"]
    assert sum("α" in title for title in titles(figure)) == 1
    occupancy = next(axes for axes in figure.axes if "γ" in axes.get_title(loc="left"))
    np.testing.assert_array_equal(occupancy.images[0].get_array(), found.occupancy.T)
    np.testing.assert_array_equal(occupancy.lines[-1].get_ydata(), likeliest_path(found.alpha, found.states))


def test_trellis_of_a_long_clip_has_no_circles(rng):
    found = lattice(rng.standard_normal((200, 4)), [3, 1, 2])
    figure = figures.plot_trellis(found, frame_times=np.arange(200) / 10)
    drawn = [title for title in titles(figure) if title]
    assert len(drawn) == 3
    assert figure.axes[2].get_xlabel() == "time (s)"
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()][1::2] == ["3", "1", "2"]


@pytest.mark.parametrize("target", [[], [1], [1, 1], [1, 2, 2, 1]])
def test_likeliest_path_is_the_alignment(rng, target):
    for _ in range(5):
        inputs = 3 * rng.standard_normal((9, 3))
        found, known = lattice(inputs, target), align(inputs, target)
        route = likeliest_path(found.alpha, found.states)
        np.testing.assert_array_equal(found.states[route], known.path)
        with_known = figures.plot_trellis(found, alignment=known)
        occupancy = next(axes for axes in with_known.axes if "γ" in axes.get_title(loc="left"))
        np.testing.assert_array_equal(occupancy.lines[-1].get_ydata(), route)


def test_trellis_refuses(rng):
    found = lattice(rng.standard_normal((8, 4)), [3, 1, 2])
    with pytest.raises(ParameterError, match=re.escape("classes has 3 names, but the lattice uses class 3")):
        figures.plot_trellis(found, ["-", "A", "T"])
    with pytest.raises(ParameterError, match=re.escape("frame_times has 20 times, but lattice has 8 frames")):
        figures.plot_trellis(found, frame_times=TIMES)
    other = align(rng.standard_normal((8, 4)), [1])
    message = "alignment has 1 labels in 8 frames, but the lattice has 3 in 8 (of another clip?)"
    with pytest.raises(ParameterError, match=re.escape(message)):
        figures.plot_trellis(found, alignment=other)
    impossible = lattice(rng.standard_normal((2, 4)), [3, 1, 2])
    with pytest.raises(ParameterError, match=re.escape("alpha allows no path")):
        figures.plot_trellis(impossible)


# -- curves ------------------------------------------------------------------------------------------------


def test_roc_writes_the_area(rng):
    truth = np.array([[1, 0, 0], [0, 0, 1], [1, 0, 0], [0, 0, 1]])
    scores = np.array([[0.9, 0, 0.5], [0.1, 0, 0.4], [0.4, 0, 0.7], [0.5, 0, 0.6]])
    figure = figures.plot_roc(truth, {"CRMP": scores}, CLASSES)
    assert titles(figure) == CLASSES
    assert [texts(axes) for axes in figure.axes] == [["0.750"], ["n/a\n(never occurs)"], ["0.250"]]
    curve = figure.axes[0].lines[1]
    np.testing.assert_allclose(curve.get_xdata()[[0, -1]], [0, 1])


def test_roc_refuses(rng):
    with pytest.raises(ParameterError, match=re.escape("CRMP must have shape (4, 3), got (4, 2)")):
        figures.plot_roc(np.zeros((4, 3)), {"CRMP": np.zeros((4, 2))}, CLASSES)
    with pytest.raises(ParameterError, match=re.escape("true_tags must hold only 0 and 1")):
        figures.plot_roc(np.full((4, 3), 0.5), {"CRMP": np.zeros((4, 3))}, CLASSES)
    with pytest.raises(
        ParameterError, match=re.escape("systems must hold the scores of at least one system")
    ):
        figures.plot_roc(np.zeros((4, 3)), {}, CLASSES)


LOG = [
    {"epoch": 1, "loss": 3.0, "validation_loss": 3.2, "validation_auc": 0.6, "sequence_error_rate": 1.0},
    {"epoch": 2, "loss": 2.0, "validation_loss": None, "validation_auc": 0.7, "sequence_error_rate": 0.9},
]


def test_training_draws_what_the_log_has():
    figure = figures.plot_training({"CRNN-CTC": LOG, "CRMP": [{"epoch": 1, "loss": 0.7}]})
    assert titles(figure) == ["loss", "validation AUC", "sequence error rate and blank mass"]
    lines = {line.get_label(): line.get_xydata().tolist() for line in figure.axes[0].lines}
    assert lines == {
        "CRNN-CTC, training": [[1, 3.0], [2, 2.0]],
        "CRNN-CTC, validation": [[1, 3.2]],
        "CRMP, training": [[1, 0.7]],
    }
    assert titles(figures.plot_training([{"epoch": 1, "loss": 0.7}])) == ["loss"]


def test_training_refuses():
    with pytest.raises(ParameterError, match=re.escape("history must hold at least one epoch, got none")):
        figures.plot_training([])
    message = "history['CRMP'][0] must have 'epoch' and 'loss', got only ['epoch']"
    with pytest.raises(ParameterError, match=re.escape(message)):
        figures.plot_training({"CRMP": [{"epoch": 1}]})


# -- output ------------------------------------------------------------------------------------------------


def test_pictures_as_bytes(mel):
    figure = figures.plot_training(LOG)
    svg = figures.to_svg(figure)
    assert ET.fromstring(svg).tag.endswith("svg")
    assert figures.to_svg(figure) == svg == figures.to_svg(figures.plot_training(LOG))
    assert figures.to_png(figure, dpi=50).startswith(b"\x89PNG")
    assert figures.data_uri(figure).startswith("data:image/svg+xml;base64,")
    assert figures.data_uri(figure, "png").startswith("data:image/png;base64,")


def test_pictures_as_files(tmp_path):
    figure = figures.plot_training(LOG)
    for name, start in (("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.PDF", b"%PDF")):
        figures.save_figure(figure, tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)
    with pytest.raises(
        ParameterError, match=re.escape("a figure's name must end in .png, .svg, .pdf, got '.bmp'")
    ):
        figures.save_figure(figure, tmp_path / "a.bmp")


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(CtctagError, match=re.escape("pip install 'ctctag[plot]'")):
        figures.plot_training(LOG)


def test_importing_figures_loads_no_matplotlib_and_drawing_no_pyplot():
    code = (
        "import sys; from ctctag.experiment import figures; assert 'matplotlib' not in sys.modules; "
        "figures.to_svg(figures.plot_training([{'epoch': 1, 'loss': 1.0}])); "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
