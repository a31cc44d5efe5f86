"""`gadkit plugins new`: what it makes is a plugin that is found, trains, samples and measures, for every kind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from plugins_fixtures import importable, write_metadata
from small_runs import DISCRIMINATOR, GENERATOR, NETS, CommandLine, config, environment, own_registry

import gadkit
from gadkit.component import KINDS
from gadkit.runs.folder import Run
from gadkit.testing import conformance

#: The parts of a run that are chosen by a flag of their own name, each with the settings of the others.
PARTS = {
    "generator": DISCRIMINATOR,
    "assembler": NETS,
    "discriminator": GENERATOR,
    "loss": NETS,
    "penalty": NETS,
    "augmentation": NETS,
    "direction": NETS,
    "refiner": NETS,
    "tracker": NETS,
}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of `gadkit-sparkle` with all kinds, made by the command in a process of its own, and installed."""
    folder = tmp_path_factory.mktemp("packages")
    kinds = [word for kind in KINDS for word in ("--kind", kind)]
    command = [sys.executable, "-m", "gadkit", "plugins", "new", "sparkle", *kinds, "--author", "Ada Lovelace"]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    install(folder / "gadkit-sparkle")
    with importable(folder / "gadkit-sparkle") as site:
        yield site


def install(folder: Path) -> None:
    """The metadata that pip would lay beside the package."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    points = project["entry-points"]["gadkit"]
    write_metadata(folder, project["name"], project["version"], points, tuple(project["dependencies"]))


def installed_environment(package: Path) -> dict[str, str]:
    """What a process in which the package is installed finds set."""
    return environment() | {"PYTHONPATH": os.pathsep.join([str(package), environment()["PYTHONPATH"]])}


@pytest.fixture
def installed(package: Path, gadkit_command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line where the package is installed, for the processes that it starts too."""
    monkeypatch.setenv("GADKIT_STRICT_PLUGINS", "1")
    monkeypatch.setenv("PYTHONPATH", installed_environment(package)["PYTHONPATH"])
    return gadkit_command


def used(run: str, kind: str) -> str:
    found: str = config(run)[kind]["use"]
    return found


def test_what_to_do_next_is_said(gadkit_command: CommandLine) -> None:
    done = gadkit_command("plugins", "new", "gadkit-my-cool-gan", "--out", "my packages/gan")
    assert done.code == 0
    assert [line.strip() for line in done.out.splitlines() if line.startswith("  ")] == [
        f'cd "{Path("my packages/gan")}"',
        'pip install -e ".[test]"',
        "pytest",
        "gadkit train --generator my-cool-gan --steps 20",
    ]
    assert Path("my packages/gan/gadkit_my_cool_gan/generator.py").is_file()


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("Sparkle",), "NAME: found 'Sparkle', expected lower-case letters"),
        (("train", "--kind", "command"), "gadkit itself has a command of this name"),
        (("dcgan",), "gadkit itself has a generator of this name"),
        (("sparkle", "--kind", "generators"), "--kind: found 'generators'. Did you mean 'generator'?"),
        (("sparkle", "--license", "gpl"), "--license: found 'gpl'. Expected one of apache-2.0"),
        (("sparkle", "--out", "."), "is there already, and stays as it is"),
    ],
)
def test_mistakes_are_told_in_a_sentence(gadkit_command: CommandLine, arguments: tuple[str, ...], found: str) -> None:
    assert found in gadkit_command("plugins", "new", *arguments).error
    assert list(Path().iterdir()) == []


def test_every_kind_is_found_and_ready(installed: CommandLine) -> None:
    listed = json.loads(installed("plugins", "list", "--json").out)
    own = {each["kind"]: each for each in listed["components"] if each["distribution"] == "gadkit-sparkle"}
    assert list(own) == list(KINDS)
    assert {(each["name"], each["version"]) for each in own.values()} == {("sparkle", "0.1.0")}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_keeps_its_contract(installed: CommandLine, kind: str) -> None:
    with own_registry():
        checks = [each for each in conformance("gadkit-sparkle", kind=kind) if each.aspect in {"record", "contract"}]
        assert [each.aspect for each in checks] == ["record", "contract"]
        for check in checks:
            check()


def test_what_a_package_promises_beyond_its_interfaces_is_tested_in_it(package: Path) -> None:
    """Its own tests; those of the conformance kit are above, and in CI."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not conformance"]
    done = subprocess.run(command, cwd=package, env=installed_environment(package), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    tested = [kind for kind in KINDS if (package / f"tests/test_{kind}.py").is_file()]
    assert tested == [kind for kind in KINDS if not KINDS[kind].is_file]


@pytest.mark.parametrize("kind", PARTS)
def test_every_part_trains(installed: CommandLine, clips: Path, kind: str) -> None:
    done = installed.train(clips, f"--{kind}", "sparkle", "--steps", "20", "--out", "run", nets=PARTS[kind])
    assert done.code == 0, done.err
    values = Run(Path("run")).read_log()[-1]
    assert values["step"] == 20
    if kind == "tracker":
        assert 'gadkit_step{run="run"} 20.0' in Path("run/run.prom").read_text(encoding="utf-8")
        return
    assert used("run", kind) == "gadkit-sparkle:sparkle"
    if kind == "refiner":
        done = installed("sample", "run", "--refine", "3", "--device", "cpu", "--out", "refined.mp4")
        assert done.code == 0, done.err
        assert Path("refined.mp4").stat().st_size > 0


def test_the_dataset_trains(installed: CommandLine) -> None:
    small = ("--resolution", "16", "--frames", "8", "--batch-size", "4", "--device", "cpu")
    choices = ("--recipe", "demo", "--dataset", "sparkle", "--labels", "own", "--set", "data.side=16")
    done = installed("train", *choices, *small, *NETS, "--steps", "20", "--out", "run")
    assert done.code == 0, done.err
    assert used("run", "data") == "gadkit-sparkle:sparkle"
    assert gadkit.load("run", device="cpu").video.classes == 8


def test_the_trainer_lowers_its_loss(installed: CommandLine, clips: Path) -> None:
    choices = ("--trainer", "sparkle", "--steps", "20", "--set", "run.log_every=1", "--out", "run")
    done = installed.train(clips, *choices, nets=GENERATOR)
    assert done.code == 0, done.err
    losses = [line["loss/generator"] for line in Run(Path("run")).read_log() if "loss/generator" in line]
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_the_recipe_trains_and_the_command_draws_it(installed: CommandLine, clips: Path) -> None:
    small = ("--resolution", "16", "--frames", "8", "--batch-size", "4", "--device", "cpu", "--set", "run.samples=2")
    done = installed("train", "--data", clips, "--recipe", "sparkle", *small, "--steps", "20", "--out", "run")
    assert done.code == 0, done.err
    assert config("run")["recipe"] == "gadkit-sparkle:sparkle"
    drawn = installed("sparkle", "run")
    assert drawn.code == 0, drawn.err
    assert drawn.out.startswith("loss/generator  ")


def test_measures_and_protocol_measure(installed: CommandLine, clips: Path) -> None:
    asked = ("--protocol", "sparkle", "--features", "sparkle", "--metric", "sparkle", "--metric", "fvd")
    small = ("--frames", "8", "--resolution", "16", "--resamplings", "2", "--clips", "4")
    done = installed("evaluate", clips, "--against", clips, *asked, *small, "--json")
    assert done.code == 0, done.err
    values = json.loads(done.out)["values"]
    assert set(values) >= {"sharpness", "fvd[sparkle]"}
    assert values["sharpness"]["value"] < 1
