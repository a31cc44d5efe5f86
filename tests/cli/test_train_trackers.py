"""`--tracker` on the command line, and trackers in recipes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from plugins_fixtures import importable, write_package
from small_runs import config, own_registry

from gadkit.cli.completion import complete

MISSING = """
from gadkit import Component, hookimpl


@hookimpl
def gadkit_trackers():
    return [Component(name="board", summary="a board", target="acme_nowhere:Board", requires=("acme-nowhere>=2",))]


@hookimpl
def gadkit_recipes():
    return [Component(name="tracked", summary="a recipe", target="acme_files:tracked.toml")]
"""
RECIPE = 'tracker = ["csv", "acme:board"]\n[generator]\nuse = "dcgan"\n[trainer]\nuse = "minimax"\n'


@pytest.fixture
def acme(tmp_path):
    """A package with a tracker that lacks something, and a recipe that names it."""
    site = tmp_path / "site"
    write_package(site, "acme", MISSING)
    (site / "acme_files").mkdir()
    (site / "acme_files/__init__.py").touch()
    (site / "acme_files/tracked.toml").write_text(RECIPE)
    with importable(site):
        yield


def test_a_tracker_is_named_set_kept_and_left_out(gadkit_command, clips):
    settings = ("--log-every", 1, "--set", "tracker.csv.file=table.csv")
    done = gadkit_command.train(clips, "--out", "run", "--tracker", "csv", *settings)
    assert done.code == 0, done.err
    assert "trackers       csv" in done.err + done.out
    assert len(Path("run/table.csv").read_text().splitlines()) == 3
    assert gadkit_command("train", "--resume", "run", "--steps", 3, "--log-every", 1).code == 0
    assert len(Path("run/table.csv").read_text().splitlines()) == 4
    done = gadkit_command("train", "--resume", "run", "--steps", 4, "--tracker", "none")
    assert done.code == 0, done.err
    assert len(Path("run/table.csv").read_text().splitlines()) == 4
    assert "tracker" not in config("run")


def test_the_page_of_a_run_shows_its_trackers(gadkit_command, clips):
    assert gadkit_command.train(clips, "--out", "run", "--tracker", "csv").code == 0
    assert gadkit_command("report", "run").code == 0
    assert "metrics.csv" in Path("run/report.html").read_text()


def test_mistakes_are_told_in_a_sentence(gadkit_command, clips, acme):
    assert "There is no tracker 'cvs'" in gadkit_command.train(clips, "--tracker", "cvs").error
    assert "that tracker is not chosen" in gadkit_command.train(clips, "--set", "tracker.csv.file=a.csv").error
    several = gadkit_command.train(clips, "--tracker", "csv", "--tracker", "none").error
    assert "found 'none', expected names of trackers" in several
    said = gadkit_command.train(clips, "--tracker", "csv", "--tracker", "board").error
    assert "tracker 'acme:board' of acme 1.0 needs acme-nowhere>=2" in said
    assert not Path("runs").exists()


def test_recipes_show_their_trackers(gadkit_command, acme):
    shown = json.loads(gadkit_command("recipes", "show", "tracked", "--json").out)
    assert (shown["parts"], shown["trackers"]) == ({"generator": "dcgan", "trainer": "minimax"}, ["csv", "acme:board"])
    text = gadkit_command("recipes", "show", "tracked").out
    rows = [line.split()[:2] for line in text.splitlines()]
    assert ["tracker", "csv"] in rows
    assert ["tracker", "acme:board"] in rows
    listed = {each["name"]: each for each in json.loads(gadkit_command("recipes", "list", "--json").out)["recipes"]}
    assert listed["tracked"]["trackers"] == ["csv", "acme:board"]
    assert listed["demo"]["trackers"] == []


def test_names_are_completed():
    with own_registry():
        assert {name for name, _ in complete("tracker")("")} >= {"csv", "tensorboard", "wandb"}
