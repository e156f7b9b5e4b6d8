"""What an experiment consists of, and that its folder remembers it."""

import re

import pytest

from ctctag.data import Mixer
from ctctag.exceptions import DataError, ParameterError
from ctctag.experiment.reproduction import Plan


def test_the_papers_experiment_has_sixteen_cells():
    plan = Plan()
    assert len(plan.cells) == 16
    assert plan.cells[:4] == [("baseline", 1), ("crap", 1), ("crmp", 1), ("crnn-ctc", 1)]
    assert plan.clips == 2556


@pytest.mark.parametrize("protocol", ["paper", "honest"])
def test_all_systems_are_trained_alike(protocol):
    plan = Plan.of_protocol(protocol)
    configs = [plan.config(system).to_dict() for system in plan.systems]
    for config in configs:
        assert config.pop("system") in plan.systems
        assert config == configs[0]
    assert bool(configs[0]["fresh"]) == (protocol == "honest")


def test_systems_come_in_the_papers_order(plan):
    assert Plan(systems=("crnn-ctc", "baseline")).systems == ("baseline", "crnn-ctc")


def test_it_is_read_as_it_was_saved(plan, tmp_path):
    plan.save(tmp_path)
    assert Plan.read(tmp_path) == plan
    plan.save(tmp_path)  # the same again is no other experiment


@pytest.mark.parametrize(("protocol", "usual"), [("paper", 16000), ("honest", 32000)])
def test_features_have_the_rate_of_the_clips(protocol, usual):
    assert Plan.of_protocol(protocol).log_mel().sr == usual
    other = Plan.of_protocol(protocol, sr=22050)
    assert other.mix["sr"] == other.log_mel().sr == 22050
    assert other.command.endswith("--sample-rate 22050")
    assert other.log_mel().n_frames(220500) == 240
    assert "sample-rate" not in Plan.of_protocol(protocol, sr=usual).command
    assert Plan.quick(protocol, sr=8000).mix["clip_seconds"] == 6.0


@pytest.mark.parametrize("protocol", ["paper", "honest"])
@pytest.mark.parametrize("make", [Plan.of_protocol, Plan.quick])
def test_fresh_clips_can_be_mixed(protocol, make):
    """As many events as they may have fit into a clip at their longest."""
    plan = make(protocol)
    events = plan.config("crnn-ctc").fresh_events
    Mixer("synthetic", **plan.mixer_options() | ({"events_per_clip": events} if events else {}))


@pytest.mark.parametrize(
    ("plan", "events", "noise", "command"),
    [
        (Plan.quick(), "synthetic", "white", "ctctag reproduce synthetic OUT --quick"),
        (Plan.quick("honest"), "synthetic", "white", "ctctag reproduce synthetic OUT --protocol honest"),
        (Plan(), "recordings", "recordings", "ctctag reproduce EVENTS OUT --noise BACKGROUNDS"),
    ],
)  # fmt: skip
def test_a_plan_knows_its_command_on_other_sounds(plan, events, noise, command):
    assert plan.command_on(events, noise).startswith(command)


def test_epochs_come_with_patience():
    assert Plan.of_protocol("paper", {"epochs": 7}).config("crap").patience == 7


def test_another_experiment_is_refused(plan, tmp_path):
    plan.save(tmp_path)
    wanted = f"{tmp_path}: holds another experiment: clips was 24 and is now 2556; use the same settings, or"
    with pytest.raises(ParameterError, match=re.escape(wanted)):
        Plan(folds=2, seed=plan.seed).save(tmp_path)


def test_more_systems_are_no_other_experiment(plan, tmp_path):
    plan.save(tmp_path)
    more = Plan(**plan.to_dict() | {"systems": ("baseline", "crmp", "crnn-ctc")})
    more.save(tmp_path)
    assert Plan.read(tmp_path).systems == ("baseline", "crmp", "crnn-ctc")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "{folder}: holds no experiment (there is no experiment.json in it)"),
        ("{", "{folder}/experiment.json: not readable (Expecting property name"),
        ("{}", "{folder}/experiment.json: written by another version ('clips')"),
    ],
)
def test_a_folder_without_a_plan(tmp_path, text, message):
    if text is not None:
        (tmp_path / "experiment.json").write_text(text)
    with pytest.raises(DataError, match=re.escape(message.format(folder=tmp_path))):
        Plan.read(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "other"}, "protocol must be one of 'paper', 'honest', got 'other'"),
        ({"folds": 1}, "folds must be at least 2, got 1"),
        ({"clips": 15}, "clips must be at least 16, got 15"),
        ({"systems": ()}, "systems must name at least one of crnn-ctc, crmp, crap, baseline"),
        ({"training": {"crap": {"speed": 1}}}, "'speed' is no training setting; there are system, preset"),
    ],
)
def test_wrong_plans(options, message):
    with pytest.raises(ParameterError, match="^" + re.escape(message)):
        Plan(**options)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (Plan.of_protocol("paper"), ""),
        (
            Plan.of_protocol("paper", {"preset": "paper"}, clips=100, seed=3),
            " --clips 100 --seed 3 --preset paper",
        ),
        (Plan.quick("paper"), " --quick"),
        (Plan.quick("paper", {"epochs": 2}, systems=("crap",)), " --quick --systems crap --epochs 2"),
    ],
)
def test_a_plan_knows_its_command(plan, words):
    assert plan.command == "ctctag reproduce EVENTS OUT" + words
