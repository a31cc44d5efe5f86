"""A trained model: a generator and an assembler that make videos from seeds."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from gadkit.engine.devices import lay_out, resolve_device
from gadkit.entry import one_line
from gadkit.errors import ConfigError, PluginError, RunError
from gadkit.interfaces.assembler import VideoAssembler
from gadkit.interfaces.generator import Generator
from gadkit.interfaces.spec import VideoSpec
from gadkit.randomness import Key, Noise
from gadkit.registry import Registry, get_registry
from gadkit.runs.card import model_card
from gadkit.runs.checkpoint import read_document, read_tensors, write_folder
from gadkit.runs.folder import CONFIG, Run
from gadkit.signature import validate
from gadkit.video.encode import tile
from gadkit.video.pixels import to_uint8

if TYPE_CHECKING:
    from gadkit.config import RunConfig

WEIGHTS = "model.safetensors"
DESCRIPTION = "config.json"
FORMAT = 1
_NUMBER = (int, float)
_VIDEO_FIELDS: dict[str, type | tuple[type, ...]] = {
    "channels": int,
    "height": int,
    "width": int,
    "frames": int,
    "fps": _NUMBER,
    "classes": int,
}


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


def load(
    path: str | Path,
    *,
    checkpoint: str | int = "latest",
    device: str = "auto",
    plugins: Sequence[str | Path] = (),
    generator: type[Generator] | None = None,
    assembler: type[VideoAssembler] | None = None,
    registry: Registry | None = None,
) -> Model:
    """Loads a model. Nothing in its files is executed.

    Args:
        path: A run's folder, a checkpoint's, an exported model's, or `owner/name` on the Hugging Face Hub.
        checkpoint: For a run: `latest`, a step, or a checkpoint's name.
        device: As for `gadkit train --device`.
        plugins: Python files that are loaded as plugins.
        generator: The class, for a model that was trained with a class of your own.
        assembler: The same.
        registry: Where components are looked up; by default the process's own.

    Raises:
        RunError: There is no model, or its files are damaged.
        PluginError: A component's package is not installed; the sentence names it.
        ConfigError: A setting in the model does not fit the component that is installed.
    """
    registry = registry or get_registry()
    for file in plugins:
        registry.load_file(Path(file))
    folder, checkpoint = Path(path), str(checkpoint)
    if (folder / CONFIG).is_file():
        folder = Run.open(folder).find_checkpoint(checkpoint)
    elif not folder.exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", str(path)):
        folder = _from_hub(str(path))
    if not (folder / DESCRIPTION).is_file():
        found = f"a folder without {DESCRIPTION}" if folder.is_dir() else "a file" if folder.exists() else "no folder"
        raise RunError(f"{path}: found {found}, expected a run, an exported model, or owner/name on the Hub.")
    document, video = _read_description(folder)
    if checkpoint not in ("latest", folder.name) and not (checkpoint.isdigit() and int(checkpoint) == document["step"]):
        raise RunError(
            f"checkpoint: found {checkpoint!r}, but {path} is one model, of step {document['step']}, and no run; "
            "leave the checkpoint out, or name the run's folder."
        )
    made = _build(registry, document, "generator", generator, video)
    joining = _build(registry, document, "assembler", assembler, video, made.latent_dim, made.motion_dim)
    weights = read_tensors(folder, WEIGHTS)
    for name, module in (("generator", made), ("assembler", joining)):
        own = {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}
        try:
            module.load_state_dict(own)
        except RuntimeError as error:
            raise RunError(
                f"{folder / WEIGHTS}: does not fit {name} {document[name]['use']!r} as it is here ({one_line(error)}); "
                f"it was made with version {document[name].get('version') or 'unknown'}."
            ) from error
    target = resolve_device(device)
    return Model(made.float().to(target), joining.float().to(target), video, document["classes"], document)


def _read_description(folder: Path) -> tuple[dict[str, Any], VideoSpec]:
    """`config.json` of a model and its video, once all that is needed of it is there."""
    document = read_document(folder, DESCRIPTION)
    if isinstance(document, dict) and document.get("format", FORMAT) != FORMAT:
        raise RunError(
            f"{folder / DESCRIPTION}: format is {document['format']!r}, and this gadkit reads {FORMAT}; upgrade gadkit."
        )
    if fault := _description_fault(document):
        raise RunError(f"{folder / DESCRIPTION}: does not describe a model of gadkit: {fault}; export it again.")
    return document, VideoSpec(**document["video"])


def _description_fault(document: Any) -> str:
    if not isinstance(document, dict) or "format" not in document:
        return "it has no format"
    video = document.get("video")
    if not isinstance(video, Mapping) or video.keys() != _VIDEO_FIELDS.keys():
        return f"its video does not have the fields {', '.join(_VIDEO_FIELDS)}"
    for name, type_ in _VIDEO_FIELDS.items():
        if not isinstance(video[name], type_):
            return f"its video.{name} is {video[name]!r}"
    if not isinstance(document.get("step"), int) or not isinstance(document.get("classes"), list):
        return "it has no step or no classes"
    for kind in ("generator", "assembler"):
        part = document.get(kind)
        if not (isinstance(part, Mapping) and isinstance(part.get("use"), str)):
            return f"its {kind}.use names no component"
        if not isinstance(part.get("settings"), Mapping):
            return f"its {kind} has no settings"
    return ""


def _build(registry: Registry, document: dict[str, Any], kind: str, cls: type[Any] | None, *args: Any) -> Any:
    name = document[kind]["use"]
    try:
        entry = registry.find(kind, name) if cls is None else registry.adopt(kind, cls)
    except PluginError as error:
        if not name.startswith("python:"):
            raise
        raise PluginError(
            f"{kind} {name!r} is a class that a Python program passed to gadkit: pass it to "
            f"gadkit.load(..., {kind}=...), or publish it as a plugin."
        ) from error
    found = entry.load()
    return found(*args, **validate(found, document[kind]["settings"], kind, f"{kind} {entry.name!r}"))


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(name, allow_patterns=[DESCRIPTION, WEIGHTS, "manifest.json"]))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise RunError(
            f"{name}: is no folder here, and the Hugging Face Hub does not give it ({one_line(error, 80)}); check the "
            "name and the connection."
        ) from error
