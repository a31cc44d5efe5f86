"""What `config.json` says of a model: numbers within bounds, and components that are looked up where they are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gadkit.checkpoints.store import read_document
from gadkit.errors import PluginError, RunError
from gadkit.interfaces.spec import VideoSpec
from gadkit.registry import Registry
from gadkit.runs.model import DESCRIPTION, FORMAT
from gadkit.signature import validate
from gadkit.video.limits import MAX_PIXELS

#: What no model reaches, and what keeps the product of a clip's sizes within 64 bits.
MAX_CHANNELS = 1 << 8
MAX_FRAMES = 1 << 20
MAX_CLASSES = 1 << 20
MAX_FPS = 1e9
MAX_STEP = 1 << 53

#: What makes videos; and what a model may bring besides, to refine them.
KINDS = ("generator", "assembler")
MORE = ("discriminator", "refiner")
#: Letters of the name and of the version of a component.
MAX_NAME = 1 << 10

_LEAST = {"channels": 1, "height": 1, "width": 1, "frames": 1, "classes": 0}
_MOST = {
    "channels": MAX_CHANNELS,
    "height": MAX_PIXELS,
    "width": MAX_PIXELS,
    "frames": MAX_FRAMES,
    "classes": MAX_CLASSES,
}
_SHOWN = 80


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
    for kind in (*KINDS, *(kind for kind in MORE if kind in document)):
        if fault := _part_fault(kind, document.get(kind)):
            return fault
    return ""


def _part_fault(kind: str, part: Any) -> str:
    if not (isinstance(part, Mapping) and isinstance(part.get("use"), str)):
        return f"its {kind}.use names no component"
    if not isinstance(part.get("version", ""), str):
        return f"its {kind}.version is {_shown(part['version'])}, and must be text"
    if not isinstance(part.get("settings"), Mapping):
        return f"its {kind} has no settings"
    for name in ("use", "version"):
        if len(part.get(name, "")) > MAX_NAME:
            return f"its {kind}.{name} has {len(part[name]):,} letters, more than {MAX_NAME:,}"
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


# --- its components --------------------------------------------------------------------------------------------------


def component(
    registry: Registry, document: Mapping[str, Any], kind: str, cls: type[Any] | None
) -> tuple[type[Any], dict[str, Any]]:
    """The class that is installed under the name in a description, and its settings, validated.

    Args:
        registry: Where it is looked up.
        document: The description.
        kind: Which of its components.
        cls: The class, where a program passed its own.

    Raises:
        PluginError: It is not installed, or cannot be loaded.
        ConfigError: A setting does not fit.
    """
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


def below(name: str, tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors of one net, by their names in it."""
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}


def misfit(file: Path, document: Mapping[str, Any], kind: str, why: str) -> RunError:
    """The error where the weights in a file are not those of the net that a description names."""
    return RunError(
        f"{file}: does not fit {kind} {document[kind]['use']!r} as it is here ({why}); "
        f"it was made with version {document[kind].get('version') or 'unknown'}."
    )
