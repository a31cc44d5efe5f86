"""A run at Weights & Biases: what is sent, told by a stand-in that records it; and for real, offline, where it is."""

from __future__ import annotations

import importlib
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from small_runs import own_registry, small

from gadkit import ConfigError, write_video
from gadkit.testing.trackers import check_tracker

CONFIG = {"seed": 3, "data": {"path": "https://ada:secret@example.org/clips.tar?signature=hidden"}}
MODULE = "gadkit_plugins.trackers.wandb_run"


class Recorder(types.ModuleType):
    """Has what the tracker uses of wandb, and keeps what it is told."""

    def __init__(self):
        super().__init__("wandb")
        self.calls, self.logged_in = [], True
        self.AlertLevel = types.SimpleNamespace(WARN="WARN")
        self.url = "https://example.org/runs/1"

    def login(self, *, prompt, verify):
        self.calls.append(("login", {"prompt": prompt, "verify": verify}))
        return self.logged_in

    def init(self, **settings):
        self.calls.append(("init", settings))
        return self

    def Settings(self, **settings):
        return settings

    def Video(self, path):
        return ("video", path)

    def __getattr__(self, name):
        if name not in ("define_metric", "log", "alert", "finish"):
            raise AttributeError(name)
        return lambda *arguments, **named: self.calls.append((name, *arguments, named))


@pytest.fixture
def wandb(monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    recorder = Recorder()
    monkeypatch.setitem(sys.modules, "wandb", recorder)
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    yield recorder
    sys.modules.pop(MODULE, None)


def begin(folder, step=0, **settings):
    tracker = importlib.import_module(MODULE).Wandb(**settings)
    tracker.gadkit_run_started(folder, CONFIG)
    return tracker


def inits(recorder):
    return [call[1] for call in recorder.calls if call[0] == "init"]


def test_what_is_sent(wandb, tmp_path):
    tracker = begin(tmp_path / ".." / tmp_path.name, project="birds", entity="lab", tags=["a", "b"])
    (sent,) = inits(wandb)
    assert (sent["project"], sent["entity"], sent["name"], sent["tags"]) == ("birds", "lab", tmp_path.name, ["a", "b"])
    assert sent["config"] == {"seed": 3, "data.path": "https://example.org/clips.tar"}
    assert (sent["mode"], sent["resume"], sent["reinit"]) == ("online", "allow", "create_new")
    assert Path(sent["dir"]).resolve() == tmp_path
    assert sent["settings"]["console"] == "off"
    wandb.calls.clear()
    values = {"a": 1.0}
    tracker.gadkit_step_logged(4, values)
    tracker.gadkit_samples_written(2, tmp_path / "step-000002.mp4")
    tracker.gadkit_event_logged(5, "rollback", "why")
    tracker.gadkit_run_ended("failed")
    assert values == {"a": 1.0}
    assert wandb.calls == [
        ("log", {"a": 1.0, "step": 4}, {}),
        ("log", {"samples": ("video", str(tmp_path / "step-000002.mp4")), "step": 2}, {}),
        ("alert", {"title": "rollback at step 5", "text": "why", "level": "WARN"}),
        ("finish", {"exit_code": 1}),
    ]


def test_curves_are_drawn_over_the_steps_of_the_run(wandb, tmp_path):
    begin(tmp_path)
    assert ("define_metric", "*", {"step_metric": "step"}) in wandb.calls


def test_a_run_goes_on_with_the_same_run_there(wandb, tmp_path):
    for name in ("one", "one", "two"):
        (tmp_path / name).mkdir(exist_ok=True)
        begin(tmp_path / name)
    one, again, two = (sent["id"] for sent in inits(wandb))
    assert one == again != two
    assert json.loads((tmp_path / "one/wandb.json").read_text()) == {"id": one, "url": wandb.url}
    for hurt in ("", "[]", '{"id": 3}', '{"id": ""}'):
        (tmp_path / "one/wandb.json").write_text(hurt)
        begin(tmp_path / "one")
        assert inits(wandb)[-1]["id"] not in ("", 3, one)


def test_its_mode_is_wandbs_own_unless_set(wandb, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    begin(tmp_path)
    begin(tmp_path, mode="disabled")
    assert [sent["mode"] for sent in inits(wandb)] == ["offline", "disabled"]
    assert not [call for call in wandb.calls if call[0] == "login"]


def test_who_is_not_logged_in_is_told_so_and_asked_nothing(wandb, tmp_path):
    wandb.logged_in = False
    with pytest.raises(ConfigError, match=r"nobody is logged in .*: say `wandb login`|; say `wandb login`"):
        begin(tmp_path)
    assert wandb.calls == [("login", {"prompt": False, "verify": False})]
    begin(tmp_path, mode="offline")


def test_it_is_a_tracker_with_the_stand_in_too(wandb):
    check_tracker(importlib.import_module(MODULE).Wandb)


@pytest.fixture
def real(monkeypatch, tmp_path):
    """wandb itself, which may reach nobody."""
    pytest.importorskip("wandb")
    for name, value in (("MODE", "offline"), ("ERROR_REPORTING", "false"), ("SILENT", "true")):
        monkeypatch.setenv(f"WANDB_{name}", value)
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


def test_a_training_is_kept_offline_by_wandb_itself(real):
    with own_registry():
        small("run", tracker="wandb", log_every=1)
    (kept,) = Path("run/wandb").glob("offline-run-*")
    identity = json.loads(Path("run/wandb.json").read_text())["id"]
    assert kept.name.endswith(identity)
    (events,) = kept.glob("*.wandb")
    content = events.read_bytes()
    assert b"loss/generator" in content
    (film,) = kept.glob("files/media/videos/*.mp4")
    assert film.read_bytes() == Path("run/samples/step-000002.mp4").read_bytes()


def test_wandb_itself_takes_all_that_a_run_can_tell(real, tmp_path):
    from gadkit_plugins.trackers.wandb_run import Wandb

    film = tmp_path / "step-000001.mp4"
    write_video(film, np.zeros((2, 16, 16, 3), np.uint8), 8.0)
    check_tracker(Wandb)
