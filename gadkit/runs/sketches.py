"""Nets without memory: what a configuration asks for, held against what a file holds, before anything is taken.

On PyTorch's device `meta` a tensor has a shape and no bytes, so a net of any size can be built there at no cost.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from gadkit.checkpoints.store import read_document, read_shapes, tensor_names
from gadkit.config import RunConfig
from gadkit.engine.weightless import weightless
from gadkit.errors import ConfigError, GadkitError, RunError
from gadkit.interfaces.spec import VideoSpec
from gadkit.registry.entry import one_line
from gadkit.runs.folder import ENVIRONMENT
from gadkit.runs.state import STATE, TENSORS

#: Bytes of tensors that a net may have besides those that are saved, such as tables that it computes itself.
MAX_UNSAVED = 1 << 29
_SHOWN = 80

#: Names to dtypes and shapes, as the header of a file declares them.
Shapes = Mapping[str, tuple[torch.dtype, tuple[int, ...]]]

Made = TypeVar("Made")


def made(build: Callable[[], Made], whose: str) -> Made:
    """What `build` makes of settings that may come from anywhere.

    Args:
        build: Makes nets.
        whose: What the settings stand in, for the message.

    Raises:
        GadkitError: As `build` raises it.
        RunError: It raised something else.
    """
    try:
        return build()
    except GadkitError:
        raise
    except Exception as error:
        raise RunError(f"{whose}: its settings make no net ({one_line(error, 120)}); mend them.") from error


def sketch(build: Callable[[], Made], whose: str) -> Made | None:
    """What `build` makes, on the device `meta`; arguments and errors as for `made`.

    Returns:
        `None` where it looks at its numbers while it is built, which is not possible there. Such nets are built with
        memory at once, unchecked: that code is installed, and what it does with its settings is its own to bound.
    """
    try:
        with weightless():
            return made(build, whose)
    except RunError as error:
        if error.__cause__ is not None and re.search(r"\bmeta\b", str(error.__cause__), re.IGNORECASE):
            return None
        raise


def shapes_fault(found: Shapes, net: nn.Module) -> str:
    """Why tensors are not those of a net, as the middle of a sentence; empty where they are.

    Args:
        found: The tensors' dtypes and shapes. A floating-point number may be of another width than the net's.
        net: The net, on any device, `meta` too.
    """
    wanted = {name: value for name, value in net.state_dict().items() if isinstance(value, Tensor)}
    for name in (*wanted, *found):
        if name not in found:
            return f"there is no {name}"
        if name not in wanted:
            return f"{name!r:.80} is nothing that it has"
        (dtype, shape), own = found[name], wanted[name]
        if shape != tuple(own.shape):
            return f"{name} has the shape {shape!s:.80}, not {tuple(own.shape)}"
        if dtype != own.dtype and not (dtype.is_floating_point and own.is_floating_point()):
            return f"{name} is {dtype}, not {own.dtype}"
    unsaved = sum(value.nbytes for name, value in net.named_buffers() if name not in wanted)
    if unsaved > MAX_UNSAVED:
        return f"beside what is saved it would take {unsaved:,} bytes, and {MAX_UNSAVED:,} are the most"
    return ""


def shapes_in(described: Any, shapes: Shapes) -> Shapes:
    """The tensors of a net in a file, by their names in the net.

    Args:
        described: What the state of a checkpoint says of the net.
        shapes: The tensors of the file.
    """
    return {key: shapes[name] for key, name in tensor_names(described).items() if name in shapes}


def check_resumed(config: RunConfig, checkpoint: Path, video: VideoSpec) -> None:
    """Refuses to go on from a checkpoint with a configuration that makes other nets than it holds.

    A run's own configuration is a text that anybody may edit; what the checkpoint was made with stands in it.

    Args:
        config: The configuration to go on with.
        checkpoint: The checkpoint.
        video: What it was trained on, as its description says.

    Raises:
        ConfigError: The clips are of another size.
        RunError: The nets are others.
    """
    for name in ("height", "width", "frames"):
        now, then = getattr(config.video, name), getattr(video, name)
        if now != then:
            raise ConfigError(
                f"video.{name}: found {now}, but {checkpoint} was trained with {then}; put that back, or start a new "
                "run with --out."
            )
    shapes = read_shapes(checkpoint, TENSORS)
    nets = read_document(checkpoint, STATE)["nets"]
    parts: dict[str, Any] = {}
    for kind in ("generator", "assembler", "discriminator"):
        if kind not in config.parts or kind not in nets:
            continue
        part, whose = config.parts[kind], f"{kind}: in the configuration of {checkpoint.parent.parent}"
        arguments: tuple[Any, ...] = (video,)
        if kind == "assembler":
            if parts.get("generator") is None:
                continue
            arguments = (video, parts["generator"].latent_dim, parts["generator"].motion_dim)
        cls = part.entry.load()
        net = parts[kind] = sketch(lambda: cls(*arguments, **part.settings), whose)  # noqa: B023, it is called here
        if net is None:
            continue
        fault = shapes_fault(
            {key: shapes[name] for key, name in tensor_names(nets[kind]).items() if name in shapes}, net
        )
        if fault:
            raise RunError(
                f"{checkpoint}: its {kind} does not fit the one that is installed and set now ({fault}); put the "
                f"settings of [{kind}] back, or install the versions that {ENVIRONMENT} names."
            )
