"""A trained model: a generator and an assembler that make videos from seeds."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from gadkit.checkpoints.store import write_folder
from gadkit.engine.devices import lay_out
from gadkit.errors import ConfigError, RunError
from gadkit.interfaces.assembler import VideoAssembler
from gadkit.interfaces.generator import Generator
from gadkit.interfaces.spec import VideoSpec
from gadkit.randomness import Key, Noise
from gadkit.runs.card import model_card
from gadkit.video.encode import tile
from gadkit.video.pixels import to_uint8

if TYPE_CHECKING:
    from gadkit.config import RunConfig

WEIGHTS = "model.safetensors"
DESCRIPTION = "config.json"
FORMAT = 1


class Model:
    """Makes videos. A seed and a number mean one video, whatever the length, the chunks or the videos beside it.

    Args:
        generator: In evaluation mode, float32.
        assembler: The same.
        video: The shape of the videos.
        classes: Names of the classes; empty without labels.
        document: What `config.json` says, where the model was read from a folder.
    """

    def __init__(
        self,
        generator: Generator,
        assembler: VideoAssembler,
        video: VideoSpec,
        classes: Sequence[str] = (),
        document: dict[str, Any] | None = None,
    ) -> None:
        # The layout that training uses, so that its samples and those of the loaded model are the same to the last bit.
        lay_out(generator)
        self.generator = generator.eval().requires_grad_(False)
        self.assembler = assembler.eval().requires_grad_(False)
        self.video = video
        self.classes = tuple(classes)
        self.document = document

    @classmethod
    def frozen(cls, models: Mapping[str, nn.Module], video: VideoSpec, classes: Sequence[str] = ()) -> Model:
        """A copy of what is being trained, as it is now.

        Args:
            models: `generator` and `assembler` with the weights to sample from.
            video: The shape of the videos.
            classes: Names of the classes.
        """
        generator, assembler = (copy.deepcopy(models[name]).float() for name in ("generator", "assembler"))
        assert isinstance(generator, Generator)
        assert isinstance(assembler, VideoAssembler)
        return cls(generator, assembler, video, classes)

    @property
    def device(self) -> torch.device:
        """Where the videos are rendered."""
        tensors = (itertools.chain(net.parameters(), net.buffers()) for net in (self.generator, self.assembler))
        first = next(itertools.chain(*tensors), None)
        return torch.device("cpu") if first is None else first.device

    @property
    def longest(self) -> int | None:
        """The most frames that a video can have; `None` for any number."""
        return self.video.frames if self.generator.context == "fixed" else None

    def stream(
        self,
        length: int,
        num: int = 1,
        seed: int = 0,
        labels: Sequence[int | str] | None = None,
        chunk: int = 16,
        first: int = 0,
    ) -> Iterator[Tensor]:
        """Renders videos piece by piece, in memory that does not grow with the length.

        Args:
            length: Frames of each video.
            num: How many videos.
            seed: With a video's number, all that its noise depends on.
            labels: A class (its number or name) for each video; by default the classes in turn.
            chunk: Frames at a time; the pixels do not depend on it.
            first: The number of the first video: videos 4 and 5 of a seed are `first=4, num=2`.

        Yields:
            uint8 `(num, n, C, H, W)`, n = `chunk` but for the last.

        Raises:
            ConfigError: A number is out of range, a class is unknown, or the generator cannot make that length.
        """
        for name, value in (("length", length), ("num", num), ("chunk", chunk)):
            if value < 1:
                raise ConfigError(f"{name}: found {value}, expected at least 1.")
        if first < 0:
            raise ConfigError(f"first: found {first}, expected 0 or more.")
        device = self.device
        classes = self.class_numbers(labels, num, first)
        streams = [
            self.assembler.stream(
                self.generator,
                Noise(Key.of(seed, "sample"), torch.tensor([first + index]), device=device),
                length,
                None if classes is None else torch.tensor([classes[index]], device=device),
            )
            for index in range(num)
        ]
        held: list[Tensor] = []
        count = 0
        while True:
            with torch.no_grad():
                blocks = [next(stream, None) for stream in streams]  # one video at a time: its pixels are its own
            if blocks[0] is None:
                break
            block = to_uint8(torch.cat([b for b in blocks if b is not None]))
            held.append(block)
            count += block.shape[1]
            while count >= chunk:
                joined = torch.cat(held, dim=1)
                yield joined[:, :chunk]
                held, count = [joined[:, chunk:]], count - chunk
        if count:
            yield torch.cat(held, dim=1)

    def sample(
        self,
        num: int = 1,
        length: int | None = None,
        seed: int = 0,
        labels: Sequence[int | str] | None = None,
        first: int = 0,
    ) -> Tensor:
        """Renders videos, uint8 `(num, length, C, H, W)`; arguments as for `stream`, `length` the training length."""
        frames = self.video.frames if length is None else length
        return torch.cat(list(self.stream(frames, num, seed, labels, first=first)), dim=1)

    def grid(
        self, num: int, length: int, seed: int = 0, labels: Sequence[int | str] | None = None, first: int = 0
    ) -> Iterator[np.ndarray]:
        """Renders videos side by side in one picture: chunks of uint8 `(n, rows * H, columns * W, C)`."""
        for piece in self.stream(length, num, seed, labels, first=first):
            yield tile(piece.permute(0, 1, 3, 4, 2))

    def export(self, dest: Path | str) -> Path:
        """Writes the model into a new folder in the Hub's shape: `config.json`, `model.safetensors`, `README.md`.

        Raises:
            RunError: The folder exists and is not empty, or cannot be written.
        """
        dest = Path(dest)
        if dest.exists() and not dest.is_dir():
            raise RunError(f"{dest}: is a file, expected a new folder for the model; choose another name.")
        if dest.exists() and any(dest.iterdir()):
            raise RunError(f"{dest}: exists and is not empty, expected a new folder for the model; choose another one.")
        if self.document is None:
            raise RunError(
                "a model that was not read from a run has no description to export; load it with gadkit.load."
            )
        parts = {"generator": self.generator, "assembler": self.assembler}
        weights = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}
        write_folder(
            dest,
            {WEIGHTS: {key: value.cpu().contiguous() for key, value in weights.items()}},
            {DESCRIPTION: self.document},
            {"README.md": model_card(self.document, self.longest)},
        )
        return dest

    def class_numbers(self, labels: Sequence[int | str] | None, num: int, first: int = 0) -> list[int] | None:
        """The class of each of `num` videos, from number `first` on; `None` where the model has no classes.

        Args:
            labels: A class (its number or name) for each video; `None` takes the classes in turn.
            num: How many videos.
            first: The number of the first video.

        Raises:
            ConfigError: A class is unknown, there are too few or too many, or the model has none.
        """
        if not self.video.classes:
            if labels:
                raise ConfigError("labels: this model was trained without classes; leave them out.")
            return None
        if labels is None:
            return [index % self.video.classes for index in range(first, first + num)]
        if len(labels) != num:
            raise ConfigError(f"labels: found {len(labels)} for {num} videos, expected one label for each.")
        return [self._class(label) for label in labels]

    def _class(self, label: int | str) -> int:
        if isinstance(label, str) and label in self.classes:
            return self.classes.index(label)
        if str(label).isdigit() and int(label) < self.video.classes:
            return int(label)
        raise ConfigError(f"labels: found {label!r}, expected one of {', '.join(self.classes)}, or its number.")


def model_document(config: RunConfig, video: VideoSpec, classes: Sequence[str], step: int) -> dict[str, Any]:
    """What `config.json` of a model says: all that `gadkit.load` needs besides the weights."""
    from gadkit import __version__

    document: dict[str, Any] = {
        "format": FORMAT,
        "gadkit": __version__,
        "step": step,
        "recipe": config.recipe,
        "video": asdict(video),
        "classes": list(classes),
    }
    for kind in ("generator", "assembler"):
        part = config.parts[kind]
        document[kind] = {"use": part.entry.qualified, "version": part.entry.version, "settings": part.settings}
    return document
