"""The demonstration in miniature: all its stages, its table and its report."""

import shutil

import pytest

from ctctag.cli import main

pytest.importorskip("matplotlib")


@pytest.mark.slow
def test_demo(tmp_path, capsys):
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out), "--clips", "24", "--epochs", "1"]) == 0
    captured = capsys.readouterr()
    for name in ("Baseline", "CRAP", "CRMP", "CRNN-CTC"):
        assert f"\n{name} " in captured.out
        assert f"training {name} (1 epochs)" in captured.err
    report = (out / "report.html").read_text()
    assert report.count("data:image/") >= 4
    assert "http" not in report.replace("http://www.w3.org", "").replace("https://www.w3.org", "")
    assert main(["demo", "--out", str(out), "--clips", "24", "--epochs", "1", "--json", "--quiet"]) == 0
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("precious")
    assert main(["demo", "--out", str(tmp_path / "other")]) == 1
    assert (tmp_path / "other" / "thesis.txt").read_text() == "precious"


def test_a_data_set_called_clips_is_not_mistaken_for_a_demonstration(small_data, tmp_path):
    shutil.copytree(small_data, tmp_path / "clips")
    assert main(["demo", "--out", str(tmp_path)]) == 1
    assert (tmp_path / "clips" / "dataset.toml").exists()
