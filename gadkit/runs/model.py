"""A trained model: a generator and an assembler that make videos from seeds."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from gadkit.checkpoints.store import write_folder
from gadkit.engine.devices import lay_out, resolve_precision
from gadkit.errors import ConfigError, RunError
from gadkit.interfaces.assembler import VideoAssembler
from gadkit.interfaces.discriminator import Discriminator
from gadkit.interfaces.generator import Generator
from gadkit.interfaces.refiner import Refiner
from gadkit.interfaces.spec import VideoSpec
from gadkit.registry import Registry, get_registry
from gadkit.runs.card import model_card
from gadkit.runs.refining import RefinedAssembler, Refinement, choose_refinement, own_refinement
from gadkit.runs.sampling import Draw, Variation, Videos, noises, settled, shaped

if TYPE_CHECKING:
    from gadkit.config import RunConfig

WEIGHTS = "model.safetensors"
JUDGE = "discriminator.safetensors"
DESCRIPTION = "config.json"
FORMAT = 1

#: How latents are refined: the number of steps, settings, a refiner, or one with what tells it from others.
Refine = int | Mapping[str, Any] | Refiner | Refinement


class Model:
    """Makes videos. A seed and a number mean one video, whatever the length, the chunks or the videos beside it.

    Args:
        generator: In evaluation mode, float32.
        assembler: The same.
        video: The shape of the videos.
        classes: Names of the classes; empty without labels.
        document: What `config.json` says, where the model was read from a folder.
        judge: Makes the discriminator that it was trained against, once that is asked for.
        registry: Where refiners are looked up; by default the process's own.
    """

    def __init__(
        self,
        generator: Generator,
        assembler: VideoAssembler,
        video: VideoSpec,
        classes: Sequence[str] = (),
        document: dict[str, Any] | None = None,
        judge: Callable[[], Discriminator] | None = None,
        registry: Registry | None = None,
    ) -> None:
        # The layout that training uses, so that its samples and those of the loaded model are the same to the last bit.
        lay_out(generator)
        self.generator = generator.eval().requires_grad_(False)
        self.assembler = assembler.eval().requires_grad_(False)
        self.video = video
        self.classes = tuple(classes)
        self.document = document
        self._judge = judge
        self._registry = registry
        self._discriminator: Discriminator | None = None
        self._precision = "fp32"

    @classmethod
    def frozen(
        cls,
        models: Mapping[str, nn.Module],
        video: VideoSpec,
        classes: Sequence[str] = (),
        discriminator: Discriminator | None = None,
    ) -> Model:
        """A copy of what is being trained, as it is now.

        Args:
            models: `generator` and `assembler` with the weights to sample from.
            video: The shape of the videos.
            classes: Names of the classes.
            discriminator: What they are trained against, where samples are to be refined.
        """
        generator, assembler = (copy.deepcopy(models[name]).float() for name in ("generator", "assembler"))
        assert isinstance(generator, Generator)
        assert isinstance(assembler, VideoAssembler)
        judge = copy.deepcopy(discriminator)
        return cls(generator, assembler, video, classes, judge=None if judge is None else lambda: judge)

    @property
    def device(self) -> torch.device:
        """Where the videos are rendered."""
        tensors = (itertools.chain(net.parameters(), net.buffers()) for net in (self.generator, self.assembler))
        first = next(itertools.chain(*tensors), None)
        return torch.device("cpu") if first is None else first.device

    @property
    def has_discriminator(self) -> bool:
        """Whether the model brings a discriminator, as far as its description says; nothing is loaded."""
        return self._judge is not None and (self.document is None or "discriminator" in self.document)

    @property
    def discriminator(self) -> Discriminator:
        """What the model was trained against: frozen, in float32, on the model's device. Loaded on its first use.

        Raises:
            RunError: There is none, its files are damaged, or its weights are those of another net.
            PluginError: Its package is not installed.
            ConfigError: Its settings do not fit the one that is installed.
        """
        if self._discriminator is None:
            if self._judge is None:
                raise RunError(
                    "this model was made in Python without a discriminator, along whose gradient samples are refined; "
                    "load a run with gadkit.load, or make the model with judge=."
                )
            judge = self._judge().float().to(self.device)
            lay_out(judge)
            self._discriminator = judge.eval().requires_grad_(False)
        return self._discriminator

    @property
    def precision(self) -> str:
        """Of the nets' arithmetic while videos are rendered: `fp32`, or `bf16`, which is another model of its own."""
        return self._precision

    @precision.setter
    def precision(self, value: str) -> None:
        if value not in ("fp32", "bf16"):
            raise ConfigError(f"precision: found {value!r}, expected fp32 or bf16.")
        self._precision = resolve_precision(value, self.device)

    @property
    def longest(self) -> int | None:
        """The most frames that a video can have; `None` for any number."""
        return self.video.frames if self.generator.context == "fixed" else None

    def videos(
        self,
        num: int = 1,
        seed: int = 0,
        labels: Sequence[int | str] | None = None,
        first: int = 0,
        refine: Refine | None = None,
        **how: Unpack[Variation],
    ) -> Videos:
        """Videos that are determined and not rendered yet, `videos[3]` one of them; arguments as for `stream`."""
        refinement = self.refinement(refine)
        chosen = settled(how, self.generator, self.assembler, refinement is not None)
        drawn = noises(chosen, num, seed, first, self.device)
        classes: list[int] = []
        if chosen["class_grid"]:
            classes = self._columns(labels)
            draws = [Draw(noise, label) for noise in drawn for label in classes]
        else:
            held = chosen["interpolate"] is not None or chosen["same"] == "content"
            if labels is None and held and self.video.classes:
                labels = [first % self.video.classes] * num
            numbers: Sequence[int | None] = self.class_numbers(labels, num, first) or [None] * num
            draws = [Draw(noise, label) for noise, label in zip(drawn, numbers, strict=True)]
        generator, assembler = shaped(chosen, self.generator, self.assembler)
        if refinement is not None:
            assembler = RefinedAssembler(assembler, generator, self.discriminator, refinement.refiner, self._forward)
        return Videos(generator, assembler, draws, self._forward, chosen["start"], classes)

    def stream(
        self,
        length: int,
        num: int = 1,
        seed: int = 0,
        labels: Sequence[int | str] | None = None,
        chunk: int = 16,
        first: int = 0,
        refine: Refine | None = None,
        **how: Unpack[Variation],
    ) -> Iterator[Tensor]:
        """Renders videos piece by piece, in memory that does not grow with the length.

        Args:
            length: Frames of each video.
            num: How many videos; with `class_grid`, how many rows of them.
            seed: With a video's number, all that its noise depends on.
            labels: A class (its number or name) for each video; by default the classes in turn, or where videos share
                their content or are interpolated, the first video's. With `class_grid`, the classes of the columns.
            chunk: Frames at a time; the pixels do not depend on it.
            first: The number of the first video: videos 4 and 5 of a seed are `first=4, num=2`.
            refine: How latents are refined along the discriminator's gradient: the number of steps, by the model's
                refiner or else `proximal`; settings, such as `{"use": "flow", "steps": 25}`; or a refiner. 0 is for
                none; by default, what the model brings. What is truncated or interpolated is where they begin.
            **how: How videos are varied: `truncation`, `motion_truncation`, `interpolate`, `same`, `class_grid`,
                `speed`, `start`; see `gadkit.runs.sampling.Variation`.

        Returns:
            Pieces, uint8 `(num, n, C, H, W)`, n = `chunk` but for the last.

        Raises:
            ConfigError: A number is out of range, a class is unknown, the generator cannot make that length, or the
                model cannot be varied so.
            RunError: Latents are to be refined, and the model comes without its discriminator.
        """
        return self.videos(num, seed, labels, first, refine, **how).stream(length, chunk)

    def sample(
        self,
        num: int = 1,
        length: int | None = None,
        seed: int = 0,
        labels: Sequence[int | str] | None = None,
        first: int = 0,
        refine: Refine | None = None,
        **how: Unpack[Variation],
    ) -> Tensor:
        """Renders videos, uint8 `(num, length, C, H, W)`; arguments as for `stream`, `length` the training length."""
        videos = self.videos(num, seed, labels, first, refine, **how)
        return torch.cat(list(videos.stream(videos.usual if length is None else length)), dim=1)

    def grid(
        self,
        num: int,
        length: int,
        seed: int = 0,
        labels: Sequence[int | str] | None = None,
        first: int = 0,
        refine: Refine | None = None,
        **how: Unpack[Variation],
    ) -> Iterator[np.ndarray]:
        """Renders videos side by side in one picture; arguments as for `stream`.

        Yields:
            Chunks of frames, uint8 `(n, rows * H, columns * W, C)`.
        """
        return self.videos(num, seed, labels, first, refine, **how).grid(length)

    def refinement(self, refine: Refine | None = None) -> Refinement | None:
        """How latents are refined; see `stream`. `None` where they are not.

        Raises:
            ConfigError, PluginError: The refiner that the model names cannot be used.
        """
        if isinstance(refine, Refinement):
            return refine
        if isinstance(refine, Refiner):
            return own_refinement(refine)
        if isinstance(refine, int) and refine < 0:
            raise ConfigError(f"refine: found {refine}, expected the number of steps, 0 or more.")
        if refine is None and not self.has_discriminator:
            return None
        return choose_refinement(self._registry or get_registry(), self.document, refine)

    def _forward(self) -> AbstractContextManager[None]:
        """The context of forward passes."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16) if self.precision == "bf16" else nullcontext()

    def export(self, dest: Path | str, discriminator: bool = False) -> Path:
        """Writes the model into a new folder in the Hub's shape: `config.json`, `model.safetensors`, `README.md`.

        Args:
            dest: The folder.
            discriminator: Whether to write what it was trained against too, as `discriminator.safetensors`, so that
                samples can be refined along its gradient.

        Raises:
            RunError: The folder exists and is not empty, or cannot be written; or there is no discriminator.
            GadkitError: As for `Model.discriminator`.
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
        document = self.document
        files = {WEIGHTS: _weights(generator=self.generator, assembler=self.assembler)}
        if discriminator:
            files[JUDGE] = _weights(discriminator=self.discriminator)
        else:
            document = {key: value for key, value in document.items() if key not in ("discriminator", "refiner")}
        write_folder(dest, files, {DESCRIPTION: document}, {"README.md": model_card(document, self.longest)})
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

    def _columns(self, labels: Sequence[int | str] | None) -> list[int]:
        """The classes of a grid's columns."""
        if not self.video.classes:
            raise ConfigError("class_grid: this model was trained without classes; leave it out.")
        return [self._class(label) for label in labels or range(self.video.classes)]

    def _class(self, label: int | str) -> int:
        if isinstance(label, str) and label in self.classes:
            return self.classes.index(label)
        if str(label).isdigit() and int(label) < self.video.classes:
            return int(label)
        raise ConfigError(f"labels: found {label!r}, expected one of {', '.join(self.classes)}, or its number.")


def model_document(
    config: RunConfig, video: VideoSpec, classes: Sequence[str], step: int, nets: Container[str] = ()
) -> dict[str, Any]:
    """What `config.json` of a model says: all that `gadkit.load` needs besides the weights.

    Args:
        config: The run's configuration.
        video: The shape of the videos.
        classes: Names of the classes.
        step: Steps done.
        nets: The nets whose weights are kept; with a `discriminator` among them it is named, and so is the refiner.
    """
    from gadkit import __version__

    document: dict[str, Any] = {
        "format": FORMAT,
        "gadkit": __version__,
        "step": step,
        "recipe": config.recipe,
        "video": asdict(video),
        "classes": list(classes),
    }
    kinds = ("generator", "assembler", *(("discriminator", "refiner") if "discriminator" in nets else ()))
    for kind in kinds:
        if (part := config.parts.get(kind)) is not None:
            document[kind] = {"use": part.entry.qualified, "version": part.entry.version}
            document[kind]["settings"] = part.at(step, config.run.steps)
    return document


def _weights(**nets: nn.Module) -> dict[str, Tensor]:
    """The tensors of nets as a file holds them, each below the name of its net."""
    found = {}
    for name, net in nets.items():
        for key, value in net.state_dict().items():
            if not isinstance(value, Tensor):
                raise RunError(
                    f"{name}: keeps {key!r}, which is no tensor, and a model's files hold nothing else; mend its class."
                )
            found[f"{name}.{key}"] = value.cpu().contiguous()
    return found
