"""Building the components of a run, deterministically in its seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gadkit.config import RunConfig
from gadkit.interfaces.spec import VideoSpec
from gadkit.randomness import Key, seeded


def build_part(
    config: RunConfig, kind: str, root: Key, video: VideoSpec, parts: Mapping[str, Any], name: str | None = None
) -> Any:
    """A component as it is when a run begins.

    Args:
        config: The run's, which has the kind.
        kind: Of component.
        root: What the run's random keys are made from.
        video: The shape of the clips.
        parts: Those that are built: an assembler needs the generator.
        name: What its first weights are drawn for; by default the kind.
    """
    arguments: tuple[Any, ...] = (video,) if kind in {"generator", "discriminator"} else ()
    if kind == "assembler":
        arguments = (video, parts["generator"].latent_dim, parts["generator"].motion_dim)
    part = config.parts[kind]
    with seeded(root.fold("init", name or kind)):
        return part.entry.load()(*arguments, **part.settings)
