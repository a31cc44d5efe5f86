"""Every kind has a page with a method of the literature: short, tidy, conforming, and its command does what it says."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import SkipTest

import numpy as np
import pytest
from documented import TUTORIALS, documented, files_of, plugin_of
from small_runs import DISCRIMINATOR, GENERATOR, SMALL, CommandLine, folder_of_clips, small
from test_docs import BLOCK, ROOT, blocks

from gadkit.component import KINDS
from gadkit.testing import conformance

#: Pages that are about plugins as a whole.
GENERAL = {"publishing", "contracts"}
PAGES = sorted(path.stem for path in TUTORIALS.glob("*.md") if path.stem not in GENERAL)
#: Settings that make the page's component small for the conformance kit.
CHECKED: dict[str, dict[str, Any]] = {
    "generator": {"width": 4, "latent_dim": 8},
    "assembler": {"waves": 8},
    "discriminator": {"width": 8, "layers": 2},
    "loss": {"margin": 2.0},
    "penalty": {},
    "augmentation": {},
    "direction": {},
    "refiner": {"steps": 3},
    "trainer": {"critics": 1, "batch_size": 4},
    "dataset": {"data": "data"},
    "features": {},
    "metric": {},
    "protocol": {},
    "recipe": {"generator.width": 8, "discriminator.width": 8, "trainer.batch_size": 4},
}
#: What makes the page's `gadkit train` small, in place of `GENERATOR` and `DISCRIMINATOR`.
NETS = {
    "generator": ("--set", "generator.width=4", "--set", "generator.latent_dim=8", *DISCRIMINATOR),
    "discriminator": (*GENERATOR, "--set", "discriminator.width=8"),
    "trainer": (*GENERATOR, *DISCRIMINATOR, "--set", "trainer.critics=1"),
}
#: Pages that are tried otherwise than by a training of the usual clips.
OTHERWISE = {"refiner", "dataset", "features", "metric", "protocol", "command"}
MEASURED = {"features": "kid[hog]", "metric": "c2st[random-r3d]"}

pages = pytest.mark.parametrize("page", PAGES)


@pytest.fixture
def plugin(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with documented(monkeypatch, tmp_path, page) as file:
        yield file


@pytest.fixture
def gadkit_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def command_of(page: str, name: str) -> list[str]:
    """The words of a page's first `gadkit NAME ...`, without the two."""
    for block in blocks(TUTORIALS / f"{page}.md", "sh"):
        for line in block.splitlines():
            words = shlex.split(line)
            if words[:2] == ["gadkit", name]:
                return words[2:]
    raise AssertionError(f"{page}.md shows no gadkit {name}")


def without(words: list[str], *flags: str) -> list[str]:
    """A command's words without some flags and their values."""
    kept, skip = [], False
    for word in words:
        if not skip and word not in flags:
            kept.append(word)
        skip = word in flags
    return kept


def test_every_kind_has_a_page_that_the_entrance_links() -> None:
    assert set(PAGES) == set(KINDS) - {"tracker"}
    entrance = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")
    for name, kind in KINDS.items():
        assert re.search(rf"^\| \[{name}\]\(\S+\.md\) \| `{kind.hook}` \|", entrance, re.MULTILINE), name


@pages
def test_a_page_tells_the_contract_shows_a_short_method_and_names_its_source(page: str) -> None:
    text = (TUTORIALS / f"{page}.md").read_text(encoding="utf-8")
    assert [
        head
        for head in re.findall(r"^## (.*)$", text, re.MULTILINE)
        if head in {"The contract", "What to look out for"}
    ] == ["The contract", "What to look out for"]
    plugin = files_of(page)[plugin_of(page)]
    assert len(plugin.splitlines()) < 100, "a tutorial's plugin is under a hundred lines"
    assert f"def {KINDS[page].hook}()" in plugin
    cited = re.findall(r"arXiv:\d{4}\.\d{5}|doi:10\.\S+\w|Rahimi & Recht 2007", plugin)
    assert cited, "the code cites its source"
    assert cited[0] in BLOCK.sub("", text), "and the page's prose does"


def test_the_code_of_the_pages_is_as_tidy_as_the_house(tmp_path: Path) -> None:
    for page in PAGES:
        (tmp_path / plugin_of(page)).write_text(files_of(page)[plugin_of(page)], encoding="utf-8")
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--config", str(ROOT / "pyproject.toml"), str(tmp_path)]
        done = subprocess.run(ruff, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", sorted(CHECKED))
def test_the_method_keeps_every_promise_of_its_kind(page: str, plugin: str) -> None:
    if page == "dataset":
        moving_digits(Path("data"))
    checks = conformance(Path(plugin).absolute(), **CHECKED[page])
    assert {check.kind for check in checks} == {page}
    assert {"record", "contract"} <= {check.aspect for check in checks}
    for check in checks:
        with contextlib.suppress(SkipTest):  # of a device that is not here
            check()


@pytest.mark.parametrize("page", sorted(set(PAGES) - OTHERWISE))
def test_the_command_of_the_page_trains(page: str, plugin: str, gadkit_command: CommandLine) -> None:
    words = without(command_of(page, "train"), "--data")
    nets = NETS.get(page, (*GENERATOR, *DISCRIMINATOR))
    folder_of_clips(Path("clips"), count=2)
    done = gadkit_command("train", "--data", "clips", *words, *SMALL, *nets, "--out", "run")
    assert done.code == 0, done.err
    config = Path("run/config.toml").read_text(encoding="utf-8")
    assert plugin in config
    lines = [json.loads(line) for line in Path("run/log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert np.isfinite(lines[-1]["loss/generator"])


@pytest.mark.parametrize("page", ["dataset"])
def test_the_command_of_the_dataset_trains_on_its_file(page: str, plugin: str, gadkit_command: CommandLine) -> None:
    moving_digits(Path("data"))
    words = without(command_of(page, "train"), "--data")
    done = gadkit_command("train", "--data", "data", *words, *SMALL, *GENERATOR, *DISCRIMINATOR, "--out", "run")
    assert done.code == 0, done.err
    assert 'use = "moving_mnist.py:moving-mnist"' in Path("run/config.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["refiner"])
def test_the_command_of_the_refiner_samples(page: str, plugin: str, gadkit_command: CommandLine) -> None:
    small("run", steps=1)
    words = without(command_of(page, "sample")[1:], "--refine")
    for name, more in (("plain", ("--refine", 0)), ("refined", ("--refine", 2))):
        done = gadkit_command("sample", "run", *words, *more, "--num", 1, "--device", "cpu", "--out", f"{name}.mp4")
        assert done.code == 0, done.err
    assert Path("plain.mp4").read_bytes() != Path("refined.mp4").read_bytes()


@pytest.mark.parametrize("page", sorted(MEASURED))
def test_the_command_of_the_page_measures(page: str, plugin: str, gadkit_command: CommandLine) -> None:
    videos(made=40, real=200)
    words = command_of(page, "evaluate")
    more = ("--set", "settings.kid.subset_size=50") if page == "features" else ()
    done = gadkit_command("evaluate", *words, "--protocol", "quick", *more, "--clips", 16, "--out", "result.json")
    assert done.code == 0, done.err
    found = json.loads(Path("result.json").read_text(encoding="utf-8"))
    assert MEASURED[page] in found["values"]


@pytest.mark.parametrize("page", ["protocol"])
def test_the_protocol_of_the_page_is_followed(page: str, plugin: str, gadkit_command: CommandLine) -> None:
    videos(made=40, real=200)
    words = ["made", "--against", "real", *command_of(page, "evaluate")[1:]]
    changed = ("--features", "random-r3d", "--clips", 6, "--resolution", 16, "--set", "real_clips=6")
    done = gadkit_command("evaluate", *words, *changed, "--out", "result.json")
    assert done.code == 0, done.err
    found = json.loads(Path("result.json").read_text(encoding="utf-8"))
    protocol = found["manifest"]["protocol"]
    assert protocol["name"] == "digan.py:digan"
    assert protocol["changed"].keys() == {"features", "clips", "real_clips", "resolution"}
    assert (protocol["frames"], protocol["resize"], protocol["rounding"]) == (16, "bilinear", "down")
    assert {name.partition("[")[0] for name in found["values"]} == {"fvd", "kvd"}


def moving_digits(folder: Path) -> None:
    """A file such as that of Moving MNIST, of noise."""
    folder.mkdir()
    clips = np.random.default_rng(0).integers(0, 256, (20, 5, 64, 64), dtype=np.uint8)
    np.save(folder / "mnist_test_seq.npy", clips)


def videos(**heights: int) -> None:
    """Folders of arrays of noise, each up to a brightness of its own."""
    rng = np.random.default_rng(0)
    for name, height in heights.items():
        Path(name).mkdir()
        np.save(f"{name}/clips.npy", rng.integers(0, height, (20, 20, 16, 16, 3), dtype=np.uint8))
