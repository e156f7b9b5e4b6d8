import re
import threading

import numpy as np
import pytest

from ctctag.audio import LogMel, read_audio
from ctctag.data import Dataset, Features
from ctctag.data import features as features_of
from ctctag.exceptions import AudioError, DataError, ParameterError

pytestmark = pytest.mark.kernel


@pytest.fixture
def dataset(tmp_path, write_sound):
    """Clips of different lengths and sample rates."""
    rows = "filename\tevent_labels\n"
    for index, (seconds, sr) in enumerate(((0.3, 16000), (0.1, 16000), (0.2, 32000))):
        write_sound(tmp_path / "set" / f"{index}.wav", seconds, sr, pitch=300.0 * (index + 1))
        rows += f"{index}.wav\tbell\n"
    (tmp_path / "set" / "weak.tsv").write_text(rows)
    return Dataset.open(tmp_path / "set")


class Count:
    """A progress function that remembers how often it was called."""

    def __init__(self):
        self.calls = []

    def __call__(self, done, total):
        self.calls.append((done, total))


def test_each_clip_has_its_own_log_mel(dataset):
    log_mel = LogMel(n_mels=20)
    features = Features.build(dataset, log_mel)
    assert len(features) == 3
    for index in range(3):
        samples, _ = read_audio(dataset.path_of(index), sr=16000)
        assert (features[index] == log_mel(samples)).all()
    assert features.lengths.tolist() == [6, 1, 4]
    assert (features[-1] == features[2]).all()
    assert isinstance(features.frames, np.memmap)
    assert not features[0].flags.writeable


def test_a_batch_is_padded_with_zeros(dataset):
    features = Features.build(dataset)
    x, lengths = features.batch([1, 0])
    assert x.shape == (2, 6, 64)
    assert x.dtype == np.float32
    assert lengths.tolist() == [1, 6]
    assert (x[0, :1] == features[1]).all()
    assert (x[0, 1:] == 0).all()
    assert (x[1] == features[0]).all()
    with pytest.raises(ParameterError, match="indices is empty, but a batch needs at least one clip"):
        features.batch([])
    with pytest.raises(ParameterError, match="index must be at least -3 and at most 2, got 3"):
        features.batch([3])


def test_features_are_computed_once(dataset, tmp_path):
    first, second = Count(), Count()
    features = Features.build(dataset, cache_dir=tmp_path / "cache", progress=first)
    again = Features.build(dataset, cache_dir=tmp_path / "cache", progress=second)
    assert first.calls == [(1, 3), (2, 3), (3, 3)]
    assert second.calls == []
    assert (features.frames == again.frames).all()


def test_content_counts_not_the_clock(dataset, write_sound):
    Features.build(dataset)
    path = dataset.path_of(1)
    content = path.read_bytes()
    path.write_bytes(content)  # touched, but the same
    count = Count()
    Features.build(dataset, progress=count)
    assert count.calls == []
    old = Features.build(dataset)[1].copy()
    write_sound(path, 0.1, 16000, pitch=2000.0)  # same size, other content
    assert path.stat().st_size == len(content)
    new = Features.build(dataset, progress=count)
    assert len(count.calls) == 3
    assert (new[1] != old).any()


def test_other_settings_are_other_features(dataset):
    count = Count()
    for log_mel in (LogMel(), LogMel(n_mels=32), LogMel(hop_length=400)):
        Features.build(dataset, log_mel, progress=count)
    assert len(count.calls) == 9
    assert len(list((dataset.path / "features").iterdir())) == 3


@pytest.mark.parametrize("damage", ["truncate", "garbage", "missing"])
def test_a_damaged_cache_is_made_anew(dataset, damage):
    features = Features.build(dataset)
    expected = np.array(features.frames)
    path = features.path
    del features
    if damage == "truncate":
        (path / "frames.f32").write_bytes((path / "frames.f32").read_bytes()[:-4])
    elif damage == "garbage":
        (path / "index.json").write_text("{")
    else:
        (path / "index.json").unlink()
    assert (Features.build(dataset).frames == expected).all()


def test_nothing_is_left_of_a_failed_attempt(dataset):
    path = dataset.path_of(2)
    content = path.read_bytes()
    path.write_bytes(content[:5000])
    with pytest.raises(AudioError, match=re.escape(str(path))):
        Features.build(dataset)
    assert not (dataset.path / "features").exists()


def test_two_at_once_end_with_the_same_features(dataset, tmp_path):
    results, barrier = [], threading.Barrier(4)

    def build():
        barrier.wait()
        results.append(Features.build(dataset, cache_dir=tmp_path / "cache"))

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all((features.frames == results[0].frames).all() for features in results)
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_what_another_process_ends_meanwhile_is_kept(dataset, tmp_path, monkeypatch):
    opened, computed = features_of._open, []
    compute = features_of._compute

    def looked_too_early(path, log_mel):
        monkeypatch.setattr(features_of, "_open", opened)
        found = opened(path, log_mel)
        Features.build(dataset, cache_dir=tmp_path)  # the other, which ends right after we have looked
        return found

    monkeypatch.setattr(features_of, "_open", looked_too_early)
    monkeypatch.setattr(features_of, "_compute", lambda *args: computed.append(compute(*args)))
    assert len(Features.build(dataset, cache_dir=tmp_path)) == len(dataset)
    assert len(computed) == 1


def test_too_low_a_sample_rate(dataset, write_sound):
    path = write_sound(dataset.path_of(0), 0.3, 8000)
    message = (
        f"{path}: is sampled at 8000 Hz, but the features are of 16000 Hz and reach 8000 Hz "
        "(features of another sample rate?)"
    )
    with pytest.raises(DataError, match="^" + re.escape(message) + "$"):
        Features.build(dataset)
    assert len(Features.build(dataset, LogMel(fmax=4000.0))[0]) == 6


def test_a_clip_shorter_than_a_frame(dataset, write_sound):
    path = write_sound(dataset.path_of(1), 0.05, 16000)
    message = f"{path}: lasts 0.050 s, less than one frame of 0.064 s"
    with pytest.raises(DataError, match="^" + re.escape(message) + "$"):
        Features.build(dataset)
