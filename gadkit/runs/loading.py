"""Loading a model: what its files say is held against the code that is here, before memory is taken for it.

A model that somebody else made may say anything. Its numbers have bounds; its components are looked up among those that
are installed; and its nets are built on PyTorch's device `meta` first, where tensors have a shape and take no memory,
so that a description which its weights do not fit is refused at no cost.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gadkit.checkpoints.store import read_document, read_shapes, read_tensors
from gadkit.engine.devices import resolve_device
from gadkit.entry import one_line
from gadkit.errors import DamagedError, GadkitWarning, PluginError, RunError
from gadkit.interfaces.assembler import VideoAssembler
from gadkit.interfaces.generator import Generator
from gadkit.interfaces.spec import VideoSpec
from gadkit.registry import Registry, get_registry
from gadkit.runs.folder import CONFIG, Run
from gadkit.runs.model import DESCRIPTION, FORMAT, WEIGHTS, Model
from gadkit.runs.sketches import made, shapes_fault, sketch
from gadkit.signature import validate
from gadkit.video.limits import MAX_PIXELS

#: What no model reaches, and what keeps the product of a clip's sizes within 64 bits.
MAX_CHANNELS = 1 << 8
MAX_FRAMES = 1 << 20
MAX_CLASSES = 1 << 20
MAX_FPS = 1e9
MAX_STEP = 1 << 53

_KINDS = ("generator", "assembler")
_LEAST = {"channels": 1, "height": 1, "width": 1, "frames": 1, "classes": 0}
_MOST = {
    "channels": MAX_CHANNELS,
    "height": MAX_PIXELS,
    "width": MAX_PIXELS,
    "frames": MAX_FRAMES,
    "classes": MAX_CLASSES,
}
_SHOWN = 80


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
        checkpoint: For a run: `latest`, `best`, a step, or a checkpoint's name. Where the latest is damaged, the one
            before it is taken, with a warning; one that is named is not replaced by another.
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
    own: dict[str, type[Any] | None] = {"generator": generator, "assembler": assembler}
    folder, checkpoint = Path(path), str(checkpoint)
    if (folder / CONFIG).is_file():
        run = Run.open(folder)
        if checkpoint == "latest":
            return _newest(registry, run, own, device)
        return _load(registry, run.find_checkpoint(checkpoint), own, device)
    if not folder.exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", str(path)):
        folder = from_hub(str(path))
    if not (folder / DESCRIPTION).is_file():
        found = f"a folder without {DESCRIPTION}" if folder.is_dir() else "a file" if folder.exists() else "no folder"
        raise RunError(f"{path}: found {found}, expected a run, an exported model, or owner/name on the Hub.")
    model = _load(registry, folder, own, device)
    step = (model.document or {})["step"]
    if checkpoint not in ("latest", folder.name) and not (checkpoint.isdigit() and int(checkpoint) == step):
        raise RunError(
            f"checkpoint: found {checkpoint!r}, but {path} is one model, of step {step}, and no run; "
            "leave the checkpoint out, or name the run's folder."
        )
    return model


def _newest(registry: Registry, run: Run, own: Mapping[str, type[Any] | None], device: str) -> Model:
    """The newest checkpoint that is whole; what is damaged stays where it is, for `--resume` to move aside."""
    first: DamagedError | None = None
    run.find_checkpoint()  # which says that there is none
    for path in reversed(run.checkpoints()):
        try:
            model = _load(registry, path, own, device)
        except DamagedError as error:
            first = first or error
            continue
        if first is not None:
            warnings.warn(f"{first} {path.name} is loaded in its place.", GadkitWarning, stacklevel=3)
        return model
    raise RunError(f"{run.path}: none of its checkpoints is whole; the newest: {first}") from first


def _load(registry: Registry, folder: Path, own: Mapping[str, type[Any] | None], device: str) -> Model:
    """The model in a folder that has a `config.json`."""
    document, video = read_description(folder)
    parts = {kind: _part(registry, document, kind, own[kind]) for kind in _KINDS}
    _check(folder, document, parts, video)
    nets = made(lambda: _make(parts, video), str(folder / DESCRIPTION))
    weights = read_tensors(folder, WEIGHTS)
    for name, net in nets.items():
        try:
            net.load_state_dict(_below(name, weights))
        except RuntimeError as error:
            raise _misfit(folder, document, name, one_line(error)) from error
    target = resolve_device(device)
    generator, assembler = (net.float().to(target) for net in nets.values())
    return Model(generator, assembler, video, document["classes"], document)


# --- the description -------------------------------------------------------------------------------------------------


def read_description(folder: Path) -> tuple[dict[str, Any], VideoSpec]:
    """`config.json` of a model or checkpoint, and its video, once all that is needed of it is there and within bounds.

    Raises:
        DamagedError: The file is missing, altered or cut.
        RunError: It describes no model.
    """
    document = read_document(folder, DESCRIPTION)
    if isinstance(document, dict) and document.get("format", FORMAT) != FORMAT:
        raise RunError(
            f"{folder / DESCRIPTION}: format is {document['format']!r:.80}, and this gadkit reads {FORMAT}; "
            "upgrade gadkit."
        )
    if fault := _fault(document):
        raise RunError(f"{folder / DESCRIPTION}: does not describe a model of gadkit: {fault}; export it again.")
    return document, VideoSpec(**document["video"])


def _fault(document: Any) -> str:
    if not isinstance(document, dict) or type(document.get("format")) is not int:
        return "it has no format"
    if fault := _video_fault(document.get("video")):
        return fault
    if not _whole(document.get("step"), 0, MAX_STEP):
        return f"its step is {_shown(document.get('step'))}, and must be an integer from 0 on"
    classes = document.get("classes")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        return "its classes are no list of names"
    if len(classes) != document["video"]["classes"]:
        return f"it names {len(classes)} classes, and its video.classes is {document['video']['classes']}"
    for name in ("gadkit", "recipe"):
        if not isinstance(document.get(name, ""), str):
            return f"its {name} is {_shown(document[name])}, and must be text"
    for kind in _KINDS:
        part = document.get(kind)
        if not (isinstance(part, Mapping) and isinstance(part.get("use"), str)):
            return f"its {kind}.use names no component"
        if not isinstance(part.get("version", ""), str):
            return f"its {kind}.version is {_shown(part['version'])}, and must be text"
        if not isinstance(part.get("settings"), Mapping):
            return f"its {kind} has no settings"
    return ""


def _video_fault(video: Any) -> str:
    if not isinstance(video, Mapping) or video.keys() != _LEAST.keys() | {"fps"}:
        return f"its video does not have the fields {', '.join((*_LEAST, 'fps'))}"
    for name, least in _LEAST.items():
        if not _whole(video[name], least, _MOST[name]):
            return f"its video.{name} is {_shown(video[name])}, and must be an integer from {least} to {_MOST[name]}"
    if video["height"] * video["width"] > MAX_PIXELS:
        return f"its frames are {video['width']}×{video['height']} pixels, more than {MAX_PIXELS:,}"
    fps = video["fps"]
    if type(fps) not in (int, float) or not (0 < fps < MAX_FPS and math.isfinite(fps)):
        return f"its video.fps is {_shown(fps)}, and must be a positive number below {MAX_FPS:g}"
    return ""


def _whole(value: Any, least: int, most: int) -> bool:
    """Whether a value is an integer, and neither `true` nor `false`, within bounds."""
    return type(value) is int and least <= value <= most


def _shown(value: Any) -> str:
    """A value in a sentence; an integer of a thousand digits has no use there."""
    if type(value) is int and abs(value) >= 1 << 64:
        return "an integer beyond 64 bits"
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


# --- the nets --------------------------------------------------------------------------------------------------------


def _part(
    registry: Registry, document: Mapping[str, Any], kind: str, cls: type[Any] | None
) -> tuple[type[Any], dict[str, Any]]:
    """The class that is installed under the name in the description, and its settings, validated."""
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
    return found, validate(found, document[kind]["settings"], kind, f"{kind} {entry.name!r}")


def _make(parts: Mapping[str, tuple[type[Any], Mapping[str, Any]]], video: VideoSpec) -> dict[str, Any]:
    """Builds the nets on the device that tensors are made on."""
    cls, settings = parts["generator"]
    generator = cls(video, **settings)
    cls, settings = parts["assembler"]
    return {"generator": generator, "assembler": cls(video, generator.latent_dim, generator.motion_dim, **settings)}


def _check(
    folder: Path,
    document: Mapping[str, Any],
    parts: Mapping[str, tuple[type[Any], Mapping[str, Any]]],
    video: VideoSpec,
) -> None:
    """Raises `RunError` where the nets that a description asks for are not those whose weights are in the file."""
    found = read_shapes(folder, WEIGHTS)
    nets = sketch(lambda: _make(parts, video), str(folder / DESCRIPTION))
    for name, net in (nets or {}).items():
        if fault := shapes_fault(_below(name, found), net):
            raise _misfit(folder, document, name, fault)


def _below(name: str, tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors of one net, by their names in it."""
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}


def _misfit(folder: Path, document: Mapping[str, Any], name: str, why: str) -> RunError:
    return RunError(
        f"{folder / WEIGHTS}: does not fit {name} {document[name]['use']!r} as it is here ({why}); "
        f"it was made with version {document[name].get('version') or 'unknown'}."
    )


def from_hub(name: str) -> Path:
    """The files of a model on the Hugging Face Hub, in its cache; `RunError` where it does not give them."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(name, allow_patterns=[DESCRIPTION, WEIGHTS, "manifest.json"]))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise RunError(
            f"{name}: is no folder here, and the Hugging Face Hub does not give it ({one_line(error, 80)}); check the "
            "name and the connection."
        ) from error
