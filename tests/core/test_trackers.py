"""Lifecycle hooks: what plugins are told of a run, and that they can do no harm."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest
from plugins_fixtures import importable, write_package
from small_runs import SETTINGS, config, own_registry, small
from synthetic import Squares

import gadkit
from gadkit.runs.folder import Run


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


TRACKER = """
from gadkit import hookimpl

calls = []

@hookimpl
def gadkit_run_started(folder, config, step):
    calls.append(("started", folder, config, step))

@hookimpl
def gadkit_step_logged(folder, step, values):
    calls.append(("logged", folder, step, values))

@hookimpl
def gadkit_samples_written(folder, step, path):
    calls.append(("samples", folder, step, path, path.stat().st_size))

@hookimpl
def gadkit_run_ended(folder, step, reason):
    calls.append(("ended", folder, step, reason))
"""


def tracked(site, text, **choices):
    """What a tracker in an installed package saw of a training."""
    with importable(site), own_registry():
        write_package(site, "acme-tracker", text, module="acme_tracker")
        import acme_tracker

        small("run", **choices)
        return acme_tracker.calls


def test_trackers_are_told_everything_once_and_in_order(tmp_path):
    calls = tracked(tmp_path / "site", TRACKER, steps=4, log_every=2, set=SETTINGS | {"run.sample_every": 2})
    run = Path("run")
    assert [call[0] for call in calls if call[0] != "samples"] == ["started", "logged", "logged", "ended"]
    assert calls[0] == ("started", run, config(run), 0)
    lines = [{k: v for k, v in line.items() if k not in ("step", "seconds", "waited")} for line in Run(run).read_log()]
    assert [call[1:] for call in calls if call[0] == "logged"] == [(run, 2, lines[0]), (run, 4, lines[1])]
    assert all(isinstance(value, float) for line in lines for value in line.values())
    samples = [call for call in calls if call[0] == "samples"]
    assert [call[1:4] for call in samples] == [(run, step, run / "samples" / f"step-{step:06d}.mp4") for step in (2, 4)]
    assert all(call[4] > 0 for call in samples)
    assert calls[-1] == ("ended", run, 4, "finished")


def test_trackers_are_told_how_a_run_goes_on_and_ends(tmp_path, monkeypatch):
    stop = threading.Event()
    stop.set()
    calls = tracked(tmp_path / "site", TRACKER, steps=4, stop=stop)
    assert calls[-1] == ("ended", Path("run"), 1, "stopped")
    with importable(tmp_path / "site"), own_registry():
        import acme_tracker

        gadkit.train(resume="run", dataset=Squares)
        assert acme_tracker.calls[0][3] == 1
        assert acme_tracker.calls[-1] == ("ended", Path("run"), 4, "finished")
        acme_tracker.calls.clear()
        monkeypatch.setattr("gadkit_plugins.gad.alternating.Alternating.step", lambda self, game: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            gadkit.train(resume="run", steps=6)
        assert acme_tracker.calls[-1] == ("ended", Path("run"), 4, "failed")


@pytest.mark.parametrize("name", ["run_started", "step_logged", "samples_written", "run_ended"])
def test_a_tracker_that_fails_does_not_stop_the_run(tmp_path, caplog, name):
    head = f"def gadkit_{name}("
    before, after = TRACKER.split(head)
    arguments, _, rest = after.partition(":\n")
    text = f"{before}{head}{arguments}:\n    raise SystemExit('no connection')\n{rest}"
    with caplog.at_level(logging.WARNING):
        calls = tracked(tmp_path / "site", text, steps=4, log_every=1)
    assert Run(Path("run")).find_checkpoint().name == "step-000004"
    (warning,) = [record.message for record in caplog.records if "acme" in record.message]
    assert f"its hook 'gadkit_{name}' raised SystemExit: no connection" in warning
    assert ("ended" in [call[0] for call in calls]) is False or name == "run_ended"


def test_a_dry_run_tells_trackers_nothing(tmp_path):
    assert tracked(tmp_path / "site", TRACKER, dry_run=True) == []
