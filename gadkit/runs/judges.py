"""The discriminator that a model brings: read, held against the code that is here, and built once it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gadkit.checkpoints.store import (
    read_document,
    read_manifest,
    read_shapes,
    read_tensors,
    tensor_names,
    unflatten,
)
from gadkit.errors import DamagedError, RunError
from gadkit.interfaces.discriminator import Discriminator
from gadkit.interfaces.spec import VideoSpec
from gadkit.registry import Registry
from gadkit.registry.entry import one_line
from gadkit.runs.description import below, component, misfit
from gadkit.runs.folder import CONFIG
from gadkit.runs.model import DESCRIPTION, JUDGE
from gadkit.runs.sketches import Shapes, made, shapes_fault, shapes_in, sketch
from gadkit.runs.state import STATE, TENSORS

_KIND = "discriminator"


def judge_of(
    registry: Registry,
    folder: Path,
    document: Mapping[str, Any],
    video: VideoSpec,
    cls: type[Discriminator] | None = None,
) -> Callable[[], Discriminator]:
    """What makes the discriminator of a model; nothing of it is read before that.

    A checkpoint has its weights among those of the training, and an exported model in a file of their own.

    Args:
        registry: Where it is looked up.
        folder: The checkpoint or the exported model.
        document: What it says of itself.
        video: The shape of its videos.
        cls: The class, where a program passed its own.

    Returns:
        A function that raises `RunError` where there is no discriminator, its files are damaged, or not those of then;
        `PluginError` where it is not installed, and `ConfigError` where its settings do not fit.

    Raises:
        PluginError: `cls` is no discriminator.
    """
    if cls is not None:
        registry.adopt(_KIND, cls)
    folder = folder.absolute()  # wherever the process stands by then
    files = read_manifest(folder)

    def make() -> Discriminator:
        if read_manifest(folder) != files:
            raise RunError(
                f"{folder}: holds other files than when the model was loaded, so that its discriminator may be "
                "another's; load the model again."
            )
        if _KIND not in document or not {STATE, JUDGE} & files.keys():
            raise _none(folder, files)
        found, settings = component(registry, document, _KIND, cls)
        return _made(found, settings, _trained(folder) if STATE in files else _exported(folder), document, video)

    return make


@dataclass(frozen=True)
class _Stored:
    """Where the weights lie.

    Attributes:
        file: For messages.
        shapes: What its header says of them, by their names in the net.
        read: Gives the net's state.
    """

    file: Path
    shapes: Shapes
    read: Callable[[], dict[str, Any]]


def _exported(folder: Path) -> _Stored:
    """The discriminator of an exported model."""
    return _Stored(
        folder / JUDGE, below(_KIND, read_shapes(folder, JUDGE)), lambda: below(_KIND, read_tensors(folder, JUDGE))
    )


def _trained(folder: Path) -> _Stored:
    """The discriminator of a checkpoint; what else the training keeps takes no memory."""
    described = _nets(folder).get(_KIND)
    if not isinstance(described, dict):
        raise RunError(f"{folder / STATE}: holds no {_KIND}, though {DESCRIPTION} names one; take another checkpoint.")

    def read() -> dict[str, Any]:
        tensors = read_tensors(folder, TENSORS, only=set(tensor_names(described).values()))
        try:
            state: dict[str, Any] = unflatten(described, tensors)
        except DamagedError as error:
            raise DamagedError(f"{folder / STATE}: {error}") from error
        return state

    return _Stored(folder / TENSORS, shapes_in(described, read_shapes(folder, TENSORS)), read)


def _nets(folder: Path) -> Mapping[str, Any]:
    """What the state of a checkpoint says of its nets: the names of their tensors, and other values."""
    state = read_document(folder, STATE)
    nets = state.get("nets") if isinstance(state, dict) else None
    return nets if isinstance(nets, dict) else {}


def _made(
    found: type[Any], settings: Mapping[str, Any], stored: _Stored, document: Mapping[str, Any], video: VideoSpec
) -> Discriminator:
    """The discriminator on the CPU, with its weights."""

    def build() -> Discriminator:
        net: Discriminator = found(video, **settings)
        return net

    whose = f"{stored.file.with_name(DESCRIPTION)}: {_KIND}"
    if (light := sketch(build, whose)) is not None and (fault := shapes_fault(stored.shapes, light)):
        raise misfit(stored.file, document, _KIND, fault)
    net = made(build, whose)
    state = stored.read()
    try:
        net.load_state_dict(state)
    except Exception as error:  # a state that somebody made up can make anything of a net
        raise misfit(stored.file, document, _KIND, one_line(error)) from error
    return net


def _none(folder: Path, files: Mapping[str, str]) -> RunError:
    """Why there is no discriminator, and what to do."""
    if STATE not in files:
        return RunError(
            f"{folder}: was exported without its discriminator; export the run again with "
            "`gadkit export RUN DEST --discriminator`."
        )
    if _KIND not in _nets(folder):
        return RunError(
            f"{folder}: comes from a training without a discriminator, along whose gradient samples are refined; "
            "leave the refinement out, or train with a trainer that has one, such as minimax."
        )
    run = folder.parent.parent
    return RunError(
        f"{folder}: was saved by a gadkit that did not write down which discriminator it has; go on for a step with "
        f"`gadkit train --resume {run if (run / CONFIG).is_file() else 'RUN'}`, whose next checkpoint says so."
    )
