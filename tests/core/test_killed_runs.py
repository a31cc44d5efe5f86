"""Runs that are killed at any moment, and however often, and go on: in the end they are the unbroken run.

`GADKIT_TEST_KILLS=50 pytest tests/core/test_killed_runs.py` kills so many runs; a few without it.
"""

from __future__ import annotations

import json
import os
import random
import signal
from pathlib import Path

import pytest
import torch
from kills import Kill, kills_of
from small_runs import GENERATOR
from sources import KINDS

import gadkit
from gadkit.checkpoints.store import read_document, read_tensors, verify
from gadkit.registry import get_registry
from gadkit.video.decode import open_video

RUNS = int(os.environ.get("GADKIT_TEST_KILLS", "7"))
CLOCKS = {"seconds", "waited"}

#: A trainer whose weights go bad, as a function of the step and of the try: it goes back twice, and more slowly then.
POISON = '''
import torch
from gadkit import Component, hookimpl
from gadkit_plugins.minimax.trainer import MinimaxTrainer, MinimaxTraining


class Poisoned(MinimaxTrainer):
    """The minimax trainer, and a weight that is no number any more after step 8 of the first two tries."""

    def fit(self, session):
        training = MinimaxTraining(self, session)
        course = session.course(training)
        for step in course:
            training.advance(step)
            if step == 7 and session.attempt.number < 2:
                with torch.no_grad():
                    next(session.generator.parameters()).fill_(float("nan"))
        return course.ended


@hookimpl
def gadkit_trainers():
    return [Component(name="poisoned", summary="goes bad", target="poison:Poisoned")]
'''

#: What runs are of, by name: flags of `gadkit train`, for the trainer of that name's first word.
DISCRIMINATOR = ("--set", "discriminator.width=8")
CASES = {
    "minimax plain": (
        "--data",
        "clips",
        "--checkpoint-every",
        "3",
        "--sample-every",
        "5",
        "--log-every",
        "2",
        "--clips-per-video",
        "length",
    ),
    "minimax batch-norm, accumulated, best": (
        *("--data", "clips", "--flip", "--batch-size", "8", "--accumulate", "2", "--ema", "0", "--loss", "rpgan"),
        *(
            "--set",
            "discriminator.norm=batch",
            "--set",
            "trainer.norm_group=2",
            "--penalty",
            "approx-r1r2",
            "--checkpoint-every",
            "2",
        ),
        *("--log-every", "3", "--sample-every", "4", "--keep", "1", "--set", "run.best=loss/discriminator"),
    ),
    "minimax fresh, two discriminator steps, streamed": (
        *("--data", "shards", "--labels", "own", "--discriminator-steps", "2"),
        *("--set", "direction.fresh=true", "--penalty", "r1r2", "--checkpoint-every", "5", "--keep-every", "10"),
        *("--log-every", "1", "--sample-every", "3", "--keep", "1", "--clips-per-video", "3"),
    ),
    "minimax bf16, best, changing settings": (
        *("--data", "clips", "--precision", "bf16", "--loss", "wasserstein", "--penalty", "wgan-gp", "--ema", "30"),
        *("--checkpoint-every", "1", "--log-every", "1", "--sample-every", "6", "--keep", "2", "--keep-every", "5"),
        *("--set", "run.best=loss/generator", "--set", "run.best_is=highest", "--discriminator", "dcgan-frame"),
        *("--set", "penalty.weight={start = 10, end = 2, shape = 'exponential'}"),
        *("--set", "trainer.generator_betas=[{start = 0, end = 0.5, steps = 7}, 0.99]"),
    ),
    "minimax fp16": (
        *("--data", "clips", "--precision", "fp16", "--loss", "hinge", "--discriminator-steps", "2"),
        *("--checkpoint-every", "4", "--log-every", "3", "--sample-every", "7", "--offset", "fixed"),
    ),
    "poisoned": (
        *("--data", "clips", "--plugin", "poison.py", "--trainer", "poisoned", "--checkpoint-every", "3"),
        *("--sample-every", "2", "--log-every", "1", "--keep", "4", "--set", "run.best=accuracy", "--penalty", "none"),
        *("--set", "trainer.generator_lr={start = 2e-4, end = 2e-3, after = 4}"),
    ),
}
BASE = (
    *("--resolution", "16", "--frames", "8", "--batch-size", "4", "--steps", "12", "--device", "cpu"),
    *("--precision", "fp32", "--set", "run.samples=2", *GENERATOR, *DISCRIMINATOR),
)
#: For trainers that no case is written for.
GENERAL = ("--resolution", "16", "--frames", "8", "--steps", "12", "--device", "cpu", "--checkpoint-every", "3")


def cases() -> dict[str, tuple[str, ...]]:
    """The flags of every case; every trainer that is registered has one."""
    found = {name: (*BASE, *flags) for name, flags in CASES.items()}
    covered = {name.split()[0] for name in CASES}
    for trainer in set(get_registry().names("trainer")) - covered:
        found[trainer] = (*GENERAL, "--data", "clips", "--trainer", trainer)
    return found


@pytest.fixture(scope="module", autouse=True)
def _parts(place) -> None:
    """What the cases name beside the clips."""
    (place / "shards").mkdir()
    KINDS["webdataset"](place / "shards")
    (place / "poison.py").write_text(POISON)


@pytest.fixture(scope="module")
def unbroken(zygote):
    """The unbroken run of a case, which is made once."""
    made = {}

    def find(name: str):
        if name not in made:
            run = f"unbroken-{len(made)}"
            done = zygote.run("train", *cases()[name], "--out", run, run=run)
            assert done.code == 0, done.printed
            made[name] = (run, done)
        return made[name]

    return find


def without_clocks(document):
    return {key: value for key, value in document.items() if key not in CLOCKS}


def same_run(one: Path, other: Path) -> None:
    """Whether two runs are equal in all that lasts, but for clocks and the bytes of videos."""
    files = [{path.relative_to(run) for path in run.rglob("*") if path.is_file()} for run in (one, other)]
    assert files[0] - {Path(".lock")} == files[1] - {Path(".lock")}
    for name in sorted(files[0]):
        paths = one / name, other / name
        if name.suffix == ".safetensors":
            tensors = [read_tensors(path.parent, path.name) for path in paths]
            assert tensors[0].keys() == tensors[1].keys()
            for key, value in tensors[0].items():
                assert value.dtype == tensors[1][key].dtype, (name, key)
                assert value.view(-1).view(torch.uint8).equal(tensors[1][key].view(-1).view(torch.uint8)), (name, key)
        elif name.name == "log.jsonl":
            lines = [[without_clocks(json.loads(line)) for line in path.read_text().splitlines()] for path in paths]
            assert lines[0] == lines[1]
        elif name.name == "state.json":
            documents = [without_clocks(read_document(path.parent, path.name)) for path in paths]
            assert documents[0] == documents[1], name
        elif name.suffix == ".mp4":
            shapes = [[frame.shape for frame in open_video(path).frames] for path in paths]
            assert shapes[0] == shapes[1], name
        elif name.name == "environment.json":  # what was free when it began is told in the plan
            described = [{**json.loads(path.read_text()), "plan": None} for path in paths]
            assert described[0] == described[1]
        elif name.name == "report.html":  # with clocks, and written when there is time
            assert all("finished" in path.read_text() for path in paths)
        elif name.name == "manifest.json":
            for path in paths:
                verify(path.parent)
        else:
            assert paths[0].read_bytes() == paths[1].read_bytes(), name


def same_samples(one: Path, other: Path, plugins) -> None:
    """Whether the models make the same videos; x264 itself is not the same twice once in a thousand times."""
    made = [gadkit.load(run, device="cpu", plugins=plugins).sample(num=2, length=8) for run in (one, other)]
    assert torch.equal(*made)


def killed(zygote, place, name, run, kills, unbroken) -> list[int]:
    """Makes a run that is killed at the given moments and goes on to the end; the exit codes until then."""
    line = ("train", *cases()[name], "--resume", "auto", "--out", run)
    codes = []
    for kill in kills:
        done = zygote.run(*line, run=run, kill=kill)
        assert done.code in (0, -signal.SIGKILL), done.printed
        codes.append(done.code)
    done = zygote.run(*line, run=run)
    assert done.code == 0, done.printed
    same_run(place / run, place / unbroken)
    return codes


@pytest.mark.parametrize("number", range(RUNS))
def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(zygote, place, unbroken, number):
    chance = random.Random(number)
    name = list(cases())[number % len(cases())]
    whole, done = unbroken(name)
    kills = kills_of(chance, done)
    run = f"killed-{number}"
    print(f"{name}: {', '.join(map(str, kills))}")  # which pytest shows where it fails
    killed(zygote, place, name, run, kills, whole)
    same_samples(place / run, place / whole, [place / "poison.py"] if name == "poisoned" else [])


def test_what_a_kill_leaves_half_written_is_gone_in_the_end(zygote, place, unbroken):
    """A video, a file that is synced, a line of the log."""
    whole, _ = unbroken("minimax plain")
    kills = [Kill("sync", 12), Kill("sample", 1), Kill("tear", 5), Kill("sample", 2), Kill("line", 2)]
    codes = killed(zygote, place, "minimax plain", "killed-halfway", kills, whole)
    assert codes == [-signal.SIGKILL] * len(kills)
    same_samples(place / "killed-halfway", place / whole, [])
