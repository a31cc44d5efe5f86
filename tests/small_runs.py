"""Runs of a second: small nets on small clips, by command line and in Python."""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from clips import encode, moving
from synthetic import Squares

import gadkit
from gadkit.checkpoints.store import read_tensors
from gadkit.cli.app import app, run
from gadkit.registry import get_registry
from gadkit.runs.folder import Run
from gadkit.runs.training import Outcome

#: Flags that make `gadkit train` small; the clips of `folder_of_clips` fit them.
SMALL = (
    *("--resolution", "16", "--frames", "8", "--batch-size", "4", "--steps", "2", "--device", "cpu"),
    *("--precision", "fp32", "--set", "run.samples=2"),
)
#: The same for the nets of the dcgan plugin.
GENERATOR = ("--set", "generator.width=8", "--set", "generator.latent_dim=8", "--set", "generator.motion_dim=4")
DISCRIMINATOR = ("--set", "discriminator.width=8")
NETS = GENERATOR + DISCRIMINATOR

#: Settings of `gadkit.train` that make the nets small.
SETTINGS = {
    "generator.width": 8,
    "generator.latent_dim": 8,
    "generator.motion_dim": 4,
    "discriminator.width": 8,
    "run.samples": 2,
}

#: A plugin file with a generator, and with parts that fit nothing.
PLUGIN = '''
import torch
from gadkit import Component, Discriminator, Generator, Loss, hookimpl


class Linear(Generator):
    """One linear map a frame.

    Args:
        scale: Times the map.
    """

    def __init__(self, video, *, scale: float = 1.0):
        super().__init__(video)
        self.latent_dim, self.scale = 4, scale
        self.map = torch.nn.Linear(4, video.channels * video.height * video.width)

    def forward(self, codes, labels=None):
        video = self.video
        pixels = torch.tanh(self.scale * self.map(codes))
        return pixels.view(*codes.shape[:2], video.channels, video.height, video.width)


class ChannelsLast(Linear):
    """Gives its channels at the end."""

    def forward(self, codes, labels=None):
        return super().forward(codes).movedim(2, -1)


class TenLogits(Loss):
    """Wants ten logits a clip."""

    logits = 10

    def discriminator(self, real, fake):
        return (fake - real).mean()

    def generator(self, fake, real):
        return -fake.mean()


class Flat(Discriminator):
    """Gives `(B,)` where `(B, 1)` is due."""

    def __init__(self, video):
        super().__init__(video)
        self.map = torch.nn.Linear(3, 1)

    def features(self, video, labels=None, times=None):
        return video.mean((1, 3, 4))

    def forward(self, video, labels=None, times=None):
        return self.map(self.features(video))[:, 0]


class One(Flat):
    """Gives one clip's logit for all."""

    def forward(self, video, labels=None, times=None):
        return self.map(self.features(video))[:1]


class Listed(Flat):
    """Gives a list."""

    def forward(self, video, labels=None, times=None):
        return [self.map(self.features(video))]


def _offer(**targets):
    return [Component(name=name, summary=name, target=f"parts:{target}") for name, target in targets.items()]


@hookimpl
def gadkit_generators():
    return _offer(linear="Linear", last="ChannelsLast")


@hookimpl
def gadkit_losses():
    return _offer(ten="TenLogits")


@hookimpl
def gadkit_discriminators():
    return _offer(flat="Flat", one="One", listed="Listed")
'''


@dataclass
class Done:
    """What a command did: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one sentence of an error that the user can mend; fails where there is another outcome."""
        assert self.code == 2, (self.code, self.out, self.err)
        assert "Traceback" not in self.err + self.out
        (line,) = self.err.splitlines()
        assert line.startswith("gadkit: error: ")
        assert line.endswith(".")
        return line.removeprefix("gadkit: error: ")


class CommandLine:
    """Runs `gadkit` in this process, each command with a registry of its own, as in a process of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Done:
        self._capsys.readouterr()
        self._monkeypatch.setattr(sys, "argv", ["gadkit", *map(str, arguments)])
        with own_registry():
            code = run(app)
        printed = self._capsys.readouterr()
        return Done(code, printed.out, printed.err)

    def train(self, data: Path, *arguments: object, nets: tuple[str, ...] = NETS) -> Done:
        """`gadkit train` on `data`, small."""
        return self("train", "--data", data, *SMALL, *nets, *arguments)


@contextmanager
def own_registry() -> Iterator[None]:
    """A block with a registry of its own, as a process of its own has it; what plugin files imported is forgotten."""
    _forget()
    try:
        yield
    finally:
        _forget()


def _forget() -> None:
    if get_registry.cache_info().currsize:
        for file in get_registry().files:
            sys.modules.pop(file.stem, None)
    get_registry.cache_clear()


def folder_of_clips(folder: Path, count: int = 4, length: int = 12) -> Path:
    """Videos `c0.mp4`, `c1.mp4`, ... of 24x24 pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        encode(folder / f"c{number}.mp4", moving(length, 24, 24, seed=number))
    return folder


def environment(**variables: str) -> dict[str, str]:
    """What a command in a process of its own finds set."""
    root = Path(__file__).parents[1]
    path = os.pathsep.join(map(str, (root, root / "plugins")))
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"} | variables


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its name there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def same_tensors(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two sets of named tensors are equal, bit for bit."""
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


def tensors_at_ends(run: str | Path) -> list[dict[str, Any]]:
    """What training keeps at each checkpoint of a run, in order."""
    return [read_tensors(path, "training.safetensors") for path in Run(Path(run)).checkpoints()]


def small(out: str | Path, **choices: Any) -> Outcome:
    """`gadkit.train` for a moment on 16×16 squares."""
    base = {"dataset": Squares, "resolution": 16, "frames": 8, "steps": 2, "batch_size": 4}
    base |= {"device": "cpu", "precision": "fp32", "recipe": "dcgan", "set": SETTINGS}
    return gadkit.train(out=out, **(base | choices))


def config(run: str | Path) -> dict[str, Any]:
    """A run's configuration."""
    return tomllib.loads((Path(run) / "config.toml").read_text())
