"""A trained model: a generator and an assembler that make videos from seeds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from gadkit.engine.devices import lay_out, resolve_device
from gadkit.errors import ConfigError, RunError
from gadkit.interfaces.assembler import VideoAssembler
from gadkit.interfaces.generator import Generator
from gadkit.interfaces.spec import VideoSpec
from gadkit.randomness import Key, Noise
from gadkit.registry import Registry, get_registry
from gadkit.runs.checkpoint import read_document, read_tensors, write_folder
from gadkit.runs.folder import CONFIG, Run
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
            ConfigError: A number is not positive, a class is unknown, or the generator cannot make that length.
        """
        for name, value in (("length", length), ("num", num), ("chunk", chunk)):
            if value < 1:
                raise ConfigError(f"{name}: found {value}, expected at least 1.")
        device = next(self.generator.parameters()).device
        classes = self._labels(labels, num, first)
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
        return torch.cat(list(self.stream(length or self.video.frames, num, seed, labels, first=first)), dim=1)

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
        if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
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
            {"README.md": model_card(self.document)},
        )
        return dest

    def _labels(self, labels: Sequence[int | str] | None, num: int, first: int) -> list[int] | None:
        if not self.video.classes:
            if labels:
                raise ConfigError("labels: this model was trained without classes; leave them out.")
            return None
        if labels is None:
            return [index % self.video.classes for index in range(first, first + num)]
        if len(labels) != num:
            raise ConfigError(f"labels: found {len(labels)} for {num} videos, expected one for each.")
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


def load(
    path: str | Path, *, checkpoint: str = "latest", device: str = "auto", registry: Registry | None = None
) -> Model:
    """Loads a model. Nothing in its files is executed.

    Args:
        path: A run's folder, a checkpoint's, an exported model's, or `owner/name` on the Hugging Face Hub.
        checkpoint: For a run: `latest`, a step, or a checkpoint's name.
        device: As for `gadkit train --device`.
        registry: Where components are looked up; by default the process's own.

    Raises:
        RunError: There is no model, or its files are damaged.
        PluginError: A component's package is not installed; the sentence names it.
    """
    folder = Path(path)
    if (folder / CONFIG).is_file():
        folder = Run.open(folder).find_checkpoint(checkpoint)
    elif not folder.exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", str(path)):
        folder = _from_hub(str(path))
    if not (folder / DESCRIPTION).is_file():
        found = "a folder without config.json" if folder.is_dir() else "no folder"
        raise RunError(f"{path}: found {found}, expected a run, an exported model, or owner/name on the Hub.")
    document = read_document(folder, DESCRIPTION)
    if document.get("format") != FORMAT:
        raise RunError(
            f"{folder / DESCRIPTION}: format is {document.get('format')!r}, "
            f"and this gadkit reads {FORMAT}; update gadkit."
        )
    video = VideoSpec(**document["video"])
    generator = _build(registry or get_registry(), document, "generator", video)
    assembler = _build(
        registry or get_registry(), document, "assembler", video, generator.latent_dim, generator.motion_dim
    )
    assert isinstance(generator, Generator)
    assert isinstance(assembler, VideoAssembler)
    weights = read_tensors(folder, WEIGHTS)
    for name, module in (("generator", generator), ("assembler", assembler)):
        own = {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}
        try:
            module.load_state_dict(own)
        except RuntimeError as error:
            raise RunError(f"{folder / WEIGHTS}: does not fit {document[name]['use']} ({error}).") from error
    target = resolve_device(device)
    return Model(generator.float().to(target), assembler.float().to(target), video, document["classes"], document)


def _build(registry: Registry, document: dict[str, Any], kind: str, *args: Any) -> Any:
    described = document[kind]
    return registry.find(kind, described["use"]).load()(*args, **described["settings"])


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(name, allow_patterns=[DESCRIPTION, WEIGHTS, "manifest.json"]))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise RunError(f"{name}: is no folder here and cannot be had from the Hub ({error}).") from error


def model_card(document: dict[str, Any]) -> str:
    """The README of an exported model: YAML front matter that the Hub reads, and how to use the model."""
    video = document["video"]
    provider = document["generator"]["use"].partition(":")[0]
    install = "pip install gadkit" + ("" if provider == "gadkit" else f" {provider}")
    classes = f"\nClasses: {', '.join(document['classes'])}.\n" if document["classes"] else ""
    return f"""---
library_name: gadkit
tags: [gadkit, video-generation, gan]
---

# A video generator made with gadkit

Generator `{document["generator"]["use"]}`, assembler `{document["assembler"]["use"]}`, {document["step"]} steps.
{video["width"]}×{video["height"]} pixels, trained on clips of {video["frames"]} frames at {video["fps"]:g} Hz.
{classes}
```sh
{install}
gadkit sample . --num 16 --grid --length {video["frames"] * 3} --out videos.mp4
```

```python
import gadkit

model = gadkit.load(".")
videos = model.sample(num=4, length={video["frames"] * 3}, seed=0)  # uint8 (4, T, C, H, W)
```
"""
