"""Runs, models, configurations and packs that mean harm, or were hurt: seeded mutations of small good ones."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
from hostile_harms import HARMS, PLACES
from small_runs import folder_of_clips

import gadkit
from gadkit.cli.app import app

SETTINGS = {
    "generator.width": 4,
    "generator.latent_dim": 4,
    "generator.motion_dim": 2,
    "generator.max_width": 8,
    "discriminator.width": 4,
    "discriminator.max_width": 8,
    "run.samples": 1,
    "run.best": "loss/generator",
    "run.log_every": 1,
    "run.checkpoint_every": 1,
    "run.keep": 9,
    "run.sample_every": 1000,
    "refiner.use": "proximal",
    "refiner.steps": 1,
}
#: The steps of the run that the cases are made from, and its newest checkpoint.
STEPS = 2
NEWEST = f"checkpoints/step-{STEPS:06d}"
HASHED = ("config.json", "model.safetensors", "state.json", "training.safetensors")
#: The file of a discriminator that was exported.
JUDGE = "discriminator.safetensors"


def material(root: Path) -> Path:
    """A run of three checkpoints, exported models, a recipe's text, and the pack that the run was trained on."""
    folder_of_clips(root / "clips", 3, 10)
    arguments = ["data", "pack", str(root / "clips"), str(root / "pack"), "--resolution", "16"]
    app(arguments, standalone_mode=False)
    choices: dict[str, Any] = {"recipe": "demo", "data": root / "pack", "resolution": 16, "frames": 4, "batch_size": 2}
    choices |= {"steps": STEPS, "device": "cpu", "precision": "fp32", "set": SETTINGS}
    gadkit.train(out=root / "run", **choices)
    gadkit.load(root / "run", device="cpu").export(root / "model")
    gadkit.load(root / "run", device="cpu").export(root / "judged", discriminator=True)
    (root / "recipe").mkdir()
    short = {"recipe": "dcgan", "seed": 3, "video": {"height": 32, "width": 32}, "generator": {"width": 8}}
    (root / "recipe" / "recipe.toml").write_text(tomli_w.dumps(short | {"loss": "hinge", "trainer": {"ema": 0.5}}))
    shutil.rmtree(root / "clips")
    return root


@dataclass(frozen=True)
class Case:
    """Something hurt.

    Attributes:
        name: What was done, to what.
        way: How it is to be tried: `load`, `judge`, `resume`, `resolve` or `pack`.
        subject: Which part of the material it is a copy of.
        file: The file that was hurt.
        hurt: Does it, to a folder that holds the copy.
        sealed: Whether manifests were made to fit afterwards, as whoever means it would.
    """

    name: str
    way: str
    subject: str
    file: str
    hurt: Callable[[Path], None]
    sealed: bool

    def make(self, source: Path, folder: Path) -> Path:
        """Makes the copy in a new folder and hurts it; where it lies."""
        place = folder / self.subject
        shutil.copytree(source / self.subject, place)
        self.hurt(place)
        if self.sealed:
            seal((place / self.file).parent)
        return place


def seal(folder: Path) -> None:
    """Makes a manifest fit the files beside it."""
    path = folder / "manifest.json"
    named = json.loads(path.read_bytes())["sha256"]
    sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in named}
    path.write_text(json.dumps({"sha256": sums}))


def cases(source: Path, count: int, seed: int) -> list[Case]:
    """`count` cases, evenly over the kinds of harm, a function of the material and the seed."""
    drawn = [(_PLANS[number % len(_PLANS)], random.Random(f"{seed} {number}")) for number in range(count)]
    return [_case(source, plan, draw, number) for number, (plan, draw) in enumerate(drawn)]


# --- what is hurt, and how it is tried -------------------------------------------------------------------------------

#: Way, part of the material, file, kind of harm, and whether the manifest is made to fit.
Plan = tuple[str, str, str, str, bool]


def _plans() -> Iterator[Plan]:
    for subject, folder in (("run", f"{NEWEST}/"), ("model", "")):
        for name, kinds in (
            ("model.safetensors", ("bytes", "bytes", "header", "header", "tensors")),
            ("config.json", ("bytes", "leaf", "leaf", "leaf", "shape", "text")),
        ):
            for kind in kinds:
                yield "load", subject, folder + name, kind, True
            yield "load", subject, folder + name, kinds[0], False
            yield "load", subject, folder + name, kinds[-1], False
        for kind in ("bytes", "leaf", "shape", "text"):
            yield "load", subject, folder + "manifest.json", kind, False
        yield "load", subject, folder + "model.safetensors", "place", False
    for kind in ("leaf", "text"):
        yield "load", "run", "best.json", kind, False
    for name, kinds in (
        (f"judged/{JUDGE}", ("bytes", "header", "header", "tensors", "tensors")),
        ("judged/config.json", ("guidance", "guidance", "guidance", "guidance", "shape")),
        (f"run/{NEWEST}/training.safetensors", ("bytes", "header", "tensors")),
        (f"run/{NEWEST}/state.json", ("leaf", "shape", "text")),
        (f"run/{NEWEST}/config.json", ("guidance", "guidance")),
    ):
        subject, _, file = name.partition("/")
        for kind in kinds:
            yield "judge", subject, file, kind, True
        if not file.endswith("config.json"):
            yield "judge", subject, file, "bytes", False
            yield "judge", subject, file, "place", False
    for name, kinds in (
        ("training.safetensors", ("bytes", "header", "tensors")),
        ("state.json", ("leaf", "leaf", "shape", "text")),
        ("config.json", ("leaf",)),
        ("model.safetensors", ("tensors",)),
    ):
        for kind in kinds:
            yield "resume", "run", f"{NEWEST}/{name}", kind, True
    yield "resume", "run", f"{NEWEST}/state.json", "bytes", False
    yield "resume", "run", f"{NEWEST}/training.safetensors", "bytes", False
    yield "resume", "run", "config.toml", "leaf", False
    yield "resume", "run", "log.jsonl", "leaf", False
    yield "resume", "run", "environment.json", "leaf", False
    yield "resume", "run", "best.json", "leaf", False
    yield "resume", "run", "log.jsonl", "place", False
    for kind in ("bytes", "leaf", "leaf", "leaf", "leaf", "leaf", "leaf", "shape", "shape", "text", "text"):
        yield "resolve", "run", "config.toml", kind, False
    for kind in ("bytes", "leaf", "leaf", "leaf", "shape", "text"):
        yield "resolve", "recipe", "recipe.toml", kind, False
    for kind in ("bytes", "bytes", "leaf", "leaf", "leaf", "leaf", "shape", "text"):
        yield "pack", "pack", "index.json", kind, False
    for kind in ("bytes", "bytes", "frames", "header", "header", "place"):
        yield "pack", "pack", "shard-00000.safetensors", kind, False


_PLANS = tuple(_plans())


def _case(source: Path, plan: Plan, draw: random.Random, number: int) -> Case:
    way, subject, file, kind, sealed = plan
    path = source / subject / file
    if kind == "place":
        what, hurt = draw.choice(list(PLACES.items()))
        return Case(f"{number} {file}: {what}", way, subject, file, lambda folder: hurt(folder / file), False)
    content = changed = path.read_bytes()
    while changed == content:
        what, changed = HARMS[kind](content, draw, path)

    def write(folder: Path) -> None:
        (folder / file).write_bytes(changed)

    return Case(f"{number} {file}: {what}", way, subject, file, write, sealed)
