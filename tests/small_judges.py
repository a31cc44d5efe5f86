"""Discriminators of a program's own, what they say, and what is done to the files that hold them."""

import json

import torch
from hostile_runs import seal
from small_runs import SETTINGS
from torch import nn

import gadkit
from gadkit import Discriminator, Key, Noise, Refiner
from gadkit.engine import judge

STATE, TENSORS, JUDGE = "state.json", "training.safetensors", "discriminator.safetensors"
#: Settings of a run whose model brings a refiner.
REFINER = {"refiner.use": "proximal", "refiner.steps": 3}
#: Settings of small nets, whatever the discriminator.
GENERATOR = {name: value for name, value in SETTINGS.items() if not name.startswith("discriminator")}


class Own(Discriminator):
    """Keeps something that is no tensor, and lies in a layout of its own.

    Args:
        width: Channels.
    """

    memory_format = torch.channels_last

    def __init__(self, video, *, width: int = 4):
        super().__init__(video)
        self.first, self.last = nn.Conv2d(video.channels, width, 3), nn.Linear(width, 1)

    def features(self, video, labels=None, times=None):
        frames = self.first(video.flatten(0, 1)).relu().mean((2, 3))
        return frames.view(*video.shape[:2], -1).mean(1)

    def forward(self, video, labels=None, times=None):
        return {"": self.last(self.features(video))}


class Looks(Own):
    """Looks at its numbers while it is built."""

    def __init__(self, video, *, width: int = 4):
        super().__init__(video, width=width)
        self.scale = float(self.first.weight.detach().std())


class Pulls(Refiner):
    """Does nothing, and is no component of a package."""

    def __init__(self, *, steps: int = 1):
        self.steps = steps

    def refine(self, score, start, noise):
        return start


class Unsaid(Own):
    """Has a part of its state that is no tensor."""

    def get_extra_state(self):
        return {"count": 7}

    def set_extra_state(self, state):
        self.count = state["count"]


def clips(model, count=3, seed=0):
    """Something to judge."""
    video = model.video
    shape = (count, video.frames, video.channels, video.height, video.width)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def said(discriminator, video):
    """Its logits of all heads, of the frames that it wants to see."""
    times = discriminator.times(Noise(Key.of(3, "said"), torch.arange(len(video))))
    if times is not None:
        video = video[torch.arange(len(video))[:, None], times]
    with torch.no_grad():
        return judge(discriminator, video, None, times)


def file_of(folder):
    return folder / (JUDGE if (folder / JUDGE).exists() else TENSORS)


def flip(path, sealed):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    if sealed:
        seal(path.parent)


def cut(path, sealed):
    path.write_bytes(path.read_bytes()[:-20])
    if sealed:
        seal(path.parent)


def rewritten(folder, change):
    """A checkpoint whose description and state are others."""
    document, state = json.loads((folder / "config.json").read_bytes()), json.loads((folder / STATE).read_bytes())
    change(document, state)
    (folder / "config.json").write_text(json.dumps(document))
    (folder / STATE).write_text(json.dumps(state))
    seal(folder)
    return gadkit.load(folder, device="cpu")
