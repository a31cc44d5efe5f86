"""A run in TensorBoard, read back with TensorBoard's own reader."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_runs import SETTINGS, own_registry, small

from gadkit import write_video
from gadkit.runs.folder import Run

pytest.importorskip("tensorboard")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gadkit_plugins.trackers.tensorboard_events import TensorBoard

CONFIG = {
    "seed": 3,
    "data": {"path": "https://ada:secret@example.org/clips.tar?signature=hidden#x"},
    "trainer": {"betas": [0.0, 0.99], "use": "a|b"},
}


def begin(run, step=0, **settings):
    run.mkdir(parents=True, exist_ok=True)
    tracker = TensorBoard(**settings)
    tracker.gadkit_run_started(run, CONFIG, step)
    return tracker


def read(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    events.Reload()
    return events


def curve(folder, tag):
    return [(event.step, event.value) for event in read(folder).Scalars(tag)]


def texts(folder, tag):
    tensors = read(folder).Tensors(tag)
    return [(event.step, event.tensor_proto.string_val[0].decode()) for event in tensors]


def test_values_are_curves(tmp_path):
    tracker = begin(tmp_path)
    for step, value in ((1, 0.5), (2, math.inf), (30, math.nan), (40, 1e300), (50, -1e-300)):
        tracker.gadkit_step_logged(step, {"loss/a": value, "fvd[i3d]": 1.0})
    found = curve(tmp_path / "tensorboard", "loss/a")
    assert [step for step, _ in found] == [1, 2, 30, 40, 50]
    assert [value for _, value in found[:2]] == [0.5, math.inf]
    assert math.isnan(found[2][1])
    assert [value for _, value in found[3:]] == [math.inf, 0]
    assert len(curve(tmp_path / "tensorboard", "fvd[i3d]")) == 5


def test_a_point_is_there_before_the_run_ends(tmp_path):
    begin(tmp_path).gadkit_step_logged(1, {"a": 1.0})
    assert curve(tmp_path / "tensorboard", "a") == [(1, 1.0)]


def test_events_and_settings_are_texts_without_secrets(tmp_path):
    tracker = begin(tmp_path)
    tracker.gadkit_event_logged(7, "warning", "the discriminator *wins* — été")
    assert texts(tmp_path / "tensorboard", "warning") == [(7, "the discriminator *wins* — été")]
    ((step, text),) = texts(tmp_path / "tensorboard", "settings")
    assert step == 0
    assert text.splitlines()[:3] == ["| setting | value |", "|---|---|", "| `seed` | 3 |"]
    assert '| `data.path` | "https://example.org/clips.tar" |' in text
    assert "| `trainer.betas` | [0.0, 0.99] |" in text
    assert "a\\|b" in text
    assert not any(secret in text for secret in ("ada", "secret", "hidden"))
    plugin = read(tmp_path / "tensorboard").SummaryMetadata("settings").plugin_data.plugin_name
    assert plugin == "text"


@pytest.mark.parametrize("fps", [8.0, 500.0])
def test_samples_are_images_that_play(tmp_path, fps):
    frames = np.zeros((5, 16, 32, 3), np.uint8)
    for number in range(5):
        frames[number, :, : 6 * number] = (250, 200, 40)
    film = tmp_path / "step-000003.mp4"
    write_video(film, frames, fps)
    tracker = begin(tmp_path)
    tracker.gadkit_samples_written(3, film)
    (found,) = read(tmp_path / "tensorboard").Images("samples")
    assert (found.step, found.height, found.width) == (3, 16, 32)
    image = Image.open(io.BytesIO(found.encoded_image_string))
    assert (image.format, image.size, image.n_frames) == ("GIF", (32, 16), 5)
    for number in range(5):
        image.seek(number)
        shown = np.asarray(image.convert("RGB")).astype(int)
        assert np.abs(shown - frames[number]).mean() < 12
    assert image.info["duration"] >= 20  # players take less for ten frames a second


def test_steps_that_are_made_again_stand_there_once(tmp_path):
    tracker = begin(tmp_path)
    for step in (1, 2, 3, 4):
        tracker.gadkit_step_logged(step, {"a": float(step)})
    tracker.gadkit_event_logged(2, "rollback", "it went back")
    tracker.gadkit_step_logged(3, {"a": 30.0})
    tracker.gadkit_run_ended()
    folder = tmp_path / "tensorboard"
    assert curve(folder, "a") == [(1, 1.0), (2, 2.0), (3, 30.0)]
    again = begin(tmp_path, step=1)
    again.gadkit_step_logged(2, {"a": 20.0})
    again.gadkit_run_ended()
    assert curve(folder, "a") == [(1, 1.0), (2, 20.0)]
    assert [step for step, _ in texts(folder, "settings")] == [0, 1]


def test_a_folder_of_its_own_has_one_for_each_run(tmp_path):
    for name in ("one", "two"):
        tracker = begin(tmp_path / name, folder=str(tmp_path / "board"))
        tracker.gadkit_step_logged(1, {name: 1.0})
        tracker.gadkit_run_ended()
        assert curve(tmp_path / "board" / name, name) == [(1, 1.0)]
        assert list((tmp_path / name).iterdir()) == []


def test_a_training_is_all_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with own_registry():
        small("run", tracker="tensorboard", log_every=1, set=SETTINGS | {"run.sample_every": 1})
    folder = Path("run/tensorboard")
    log = [line for line in Run(Path("run")).read_log() if "event" not in line]
    for name in log[0].keys() - {"step", "seconds", "waited"}:
        expected = [(line["step"], float(np.float32(line[name]))) for line in log]
        assert curve(folder, name) == expected
    assert [image.step for image in read(folder).Images("samples")] == [1, 2]
