"""`gadkit compare` on the command line: what it prints, and the codes that it ends with."""

from __future__ import annotations

import json
import re
import signal

import pytest
import typer
from small_evaluations import own_run, quick, write_videos  # noqa: F401

import gadkit
from gadkit.cli.compare import _ending, parse_seeds
from gadkit.comparison.training import Trainings
from gadkit.errors import ConfigError

MEASURED = (
    "--features",
    "random-r3d",
    "--metric",
    "fvd",
    "--metric",
    "prdc",
    "--device",
    "cpu",
    "--videos",
    "4",
    "--clips",
    "12",
    "--curve",
    "0",
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """`data`, and two runs on them: `one` and `two`."""
    root = tmp_path_factory.mktemp("compare")
    write_videos(root / "data", range(36), length=9)
    write_videos(root / "others", range(50, 66), length=9)
    for seed, name in enumerate(("one", "two")):
        own_run(root / name, root / "data", held_out=0.5, frames=8, seed=seed)
    return root


@pytest.fixture
def trainings(monkeypatch):
    """No training is begun; the runs that would have been are kept."""
    asked = []
    monkeypatch.setattr(Trainings, "train", lambda self, jobs, at_once=1: asked.extend(job.name for job in jobs))
    return asked


def test_runs_that_are_there_are_measured_and_put_side_by_side(gadkit_command, root):
    """Two runs of one name are two seeds of it."""
    words = ["compare", f"both={root / 'one'}", f"both={root / 'two'}", f"one={root / 'one'}", *MEASURED]
    words += ["--against", root / "others"]
    done = gadkit_command(*words)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].startswith("data, 16×16, 8 frames")
    table = lines.index("held-out clips, in random-r3d; " + lines[2].partition("; ")[2])
    assert lines[table + 1].split()[:5] == ["name", "fvd", "↓", "fvd", "−"]
    assert {line.split()[0] for line in lines[table + 2 : table + 5]} == {"both", "one", "real"}
    assert lines[-1] == "wrote compare/00001/comparison.html"
    assert "more than" not in done.out  # one seed of `one`
    told = json.loads(open("compare/00001/results.json").read())  # noqa: SIM115
    (both,) = (each for each in told["contenders"] if each["name"] == "both")
    assert [run["seed"] for run in both["runs"]] == [0, 1]
    assert any(line.startswith("others, in random-r3d; fvd") for line in lines)
    values = both["runs"][0]["values"]
    assert values["others, in random-r3d"]["fvd[random-r3d]"]["value"] == by_hand(root).value
    again = gadkit_command(*words)
    assert again.out == done.out  # in the same folder, and nothing is measured anew
    assert "measuring" not in again.err


def by_hand(root):
    """The distance of run `one` to the other videos."""
    sides = {"clips": 12, "real_clips": 12, "frames": 8, "device": "cpu"}
    found = gadkit.evaluate(root / "one", root / "others", metrics=["fvd"], features=["random-r3d"], **sides)
    return found.values["fvd[random-r3d]"]


def test_a_run_that_was_not_trained_ends_with_code_1(gadkit_command, root, trainings):
    words = ["compare", "demo", root / "one", "--data", root / "data", "--steps", 2, "--seeds", 1]
    words += ["--resolution", 16, "--frames", 8, "--held-out", 0.5, *MEASURED, "--out", "out"]
    done = gadkit_command(*words)
    assert trainings == ["demo-seed0", "one"]
    assert done.code == 1
    assert "missing: demo-seed0: not trained yet" in done.out.splitlines()
    assert re.search(r"\bdemo\b.* 0 of 1\b", done.out)
    assert gadkit_command("compare", "--out", "out", "--collect").code == 1
    assert gadkit_command("compare", "--out", "out", "--only", "one", "--device", "cpu").code == 0


def test_commands_are_printed_and_nothing_is_run(gadkit_command, root, trainings):
    words = ["compare", "demo", "dcgan", "--data", root / "data", "--steps", 2, "--seeds", "3,5", "--resolution", 16]
    done = gadkit_command(*words, "--frames", 8, *MEASURED, "--out", "my out", "--print-commands")
    assert done.code == 0
    assert done.out.splitlines() == [
        "gadkit compare --out 'my out' --only demo-seed3 --device cpu",
        "gadkit compare --out 'my out' --only dcgan-seed3 --device cpu",
        "gadkit compare --out 'my out' --only demo-seed5 --device cpu",
        "gadkit compare --out 'my out' --only dcgan-seed5 --device cpu",
        "gadkit compare --out 'my out' --collect",
    ]
    assert trainings == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("gad",), "found no budget"),
        ((), "found nothing to compare"),
        (("--out", "nowhere"), "has no comparison to go on with"),
        (("gad", "--steps", "2", "--seeds", "0"), "--seeds: found '0'"),
        (("gad", "--steps", "0"), "--steps: found 0"),
        (("gad", "--steps", "2", "--only", "a", "--collect"), "found more than one"),
        (("gad", "--minutes", "1", "--resolution", "x"), "--resolution: found 'x'"),
    ],
)
def test_what_cannot_be_asked_ends_with_code_2(gadkit_command, words, told):
    assert told in gadkit_command("compare", *words).error


def test_an_unknown_run_is_refused_with_those_that_there_are(gadkit_command, root):
    gadkit_command("compare", root / "one", *MEASURED, "--out", "out", "--print-commands")
    assert "expected one of one" in gadkit_command("compare", "--out", "out", "--only", "two").error


@pytest.mark.parametrize(("text", "seeds"), [("3", 3), ("0,1,2", (0, 1, 2)), ("7,", (7,)), ("0,", (0,))])
def test_seeds_are_counted_or_named(text, seeds):
    assert parse_seeds(text) == seeds
    with pytest.raises(ConfigError, match="expected how many"):
        parse_seeds("x" + text)


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGUSR1", 143), ("SIGHUP", 129)])
def test_signals_end_it_with_their_codes(name, code, capsys):
    with pytest.raises(typer.Exit) as end, _ending():
        signal.raise_signal(getattr(signal, name))
    assert end.value.exit_code == code
    assert capsys.readouterr().err == "gadkit: stopped; the same command goes on\n"
