"""How many parameters one component has at a size, counted without their bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from torch import nn

from gadkit.config import Part, RunConfig
from gadkit.engine.weightless import weightless
from gadkit.errors import ConfigError, GadkitError, PluginError
from gadkit.interfaces.spec import VideoSpec
from gadkit.randomness import Key
from gadkit.registry.entry import Entry, one_line
from gadkit.runs.parts import build_part
from gadkit.signature import validate

#: The kinds that are built for a video and have parameters.
COUNTED = ("generator", "discriminator", "assembler")


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a net is.

    Attributes:
        parameters: All of them.
        trained: Those that learn.
        latent_dim: Entries of a code, of a generator; else 0.
        motion_dim: How many of them change over time.
    """

    parameters: int
    trained: int
    latent_dim: int = 0
    motion_dim: int = 0


def size_of(entry: Entry, video: VideoSpec, settings: Mapping[str, Any] = {}, *, codes: Size | None = None) -> Size:
    """Builds a net on PyTorch's device `meta`, or, where it cannot be built there, in memory, and counts.

    Args:
        entry: A generator, a discriminator or an assembler.
        video: The clips that it is for.
        settings: Its settings, as far as they differ from their defaults.
        codes: The generator's, for an assembler.

    Raises:
        ConfigError: A setting is unknown or out of range, the kind has no parameters, or the net is not for this size.
        PluginError: The component cannot be loaded, or building it raises.
    """
    if entry.kind not in COUNTED:
        raise ConfigError(
            f"{entry.kind} {entry.qualified!r} has no parameters that a video's size decides; that have "
            f"{', '.join(COUNTED[:-1])} and {COUNTED[-1]}."
        )
    label = f"{entry.kind} {entry.qualified!r}"
    complete = validate(entry.load(), settings, entry.kind, label)
    config = RunConfig(recipe="none", parts={entry.kind: Part(entry=entry, settings=complete)})
    parts = (
        {}
        if codes is None
        else {"generator": SimpleNamespace(latent_dim=codes.latent_dim, motion_dim=codes.motion_dim)}
    )
    key = Key.of(0, "train")
    try:
        try:
            with weightless():
                net = build_part(config, entry.kind, key, video, parts)
        except GadkitError:
            raise
        except Exception:  # it may look at numbers, which weightless tensors have none of
            net = build_part(config, entry.kind, key, video, parts)
    except GadkitError:
        raise
    except Exception as error:
        raise PluginError(f"{label} of {entry.provider} cannot be built: {one_line(error)}.") from error
    if not isinstance(net, nn.Module):
        return Size(parameters=0, trained=0)
    counts = [(each.numel(), each.requires_grad) for each in net.parameters()]
    return Size(
        parameters=sum(count for count, _ in counts),
        trained=sum(count for count, learns in counts if learns),
        latent_dim=int(getattr(net, "latent_dim", 0)) if entry.kind == "generator" else 0,
        motion_dim=int(getattr(net, "motion_dim", 0)) if entry.kind == "generator" else 0,
    )
