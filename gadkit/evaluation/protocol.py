"""Protocols: everything that a number depends on beside the videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gadkit.errors import ConfigError, PluginError, nearest
from gadkit.interfaces.dataset import ENDLESS
from gadkit.layers import toml_value
from gadkit.registry import Registry
from gadkit.signature import check, fields_of
from gadkit.tables import flattened, parse_toml

#: The protocol where nobody names one.
DEFAULT = "gadkit"


class ProtocolSettings(BaseModel):
    """What a protocol fixes. "Generated" videos are those that are judged, "real" ones those they are judged against.

    Args:
        features: The network that clips are measured in.
        frame_features: The network that single frames are measured in.
        metrics: What is measured.
        settings: Settings of metrics, by metric.
        frames: Frames of a clip.
        stride: Every how many frames of a video one is taken.
        fps: Frame rate in Hz that footage is resampled to first; 0 keeps every frame.
        resolution: Side in pixels of the square frames; 0 takes the generator's size, or that of the videos.
        resize: How footage is brought to `resolution`: `lanczos`, widened by the scale, in the decoder (what packs
            and training use); `bilinear` or `bicubic` of the decoded frames, with `-antialias` widened by the scale.
        rounding: How resized values become bytes, for filters but `lanczos`: to the `nearest`, or `down`.
        fit: What becomes of another aspect ratio.
        clips: The most generated clips.
        real_clips: The most real clips; 0 takes one of every video.
        fewer: Which sides may have fewer: `none`, `real` or `both`.
        choice: Which videos, where there are more than that: the `first` in the order of their names, or `random`
            ones.
        clips_per_video: Clips of one video; 0 takes as many as lie in it side by side, where there are too few videos.
        offset: Where a real clip begins in its video: `random`, or at its `start`.
        generated_offset: Where a clip of a generated video begins, where videos are given as files.
        split: Which part of a run's data is real: those `held-out`, the `training` videos, or `all`.
        resamplings: How many times the number is taken of random halves of the clips, to tell its spread; 0 takes it
            once, of all clips.
        floor: Whether the same is measured between disjoint halves of the real clips.
        seed: What every choice depends on.
        quick: Whether this is a quick look that no number should be quoted from.
        comparable: What its numbers may be compared with, in words.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    features: Annotated[str, Field(min_length=1)] = "i3d"
    frame_features: Annotated[str, Field(min_length=1)] = "effnet-lite0"
    metrics: Annotated[list[str], Field(min_length=1)] = ["fvd"]
    settings: dict[str, dict[str, Any]] = {}
    frames: Annotated[int, Field(gt=0, le=1 << 20)] = 16
    stride: Annotated[int, Field(gt=0, le=1 << 20)] = 1
    fps: Annotated[float, Field(ge=0, le=1000)] = 0.0
    resolution: Annotated[int, Field(ge=0, le=8192)] = 0
    resize: Literal["lanczos", "bilinear", "bilinear-antialias", "bicubic", "bicubic-antialias"] = "lanczos"
    rounding: Literal["nearest", "down"] = "nearest"
    fit: Literal["crop", "letterbox", "stretch"] = "crop"
    clips: Annotated[int, Field(gt=1, le=ENDLESS)] = 2048
    real_clips: Annotated[int, Field(ge=0, le=ENDLESS)] = 2048
    fewer: Literal["none", "real", "both"] = "both"
    choice: Literal["first", "random"] = "random"
    clips_per_video: Annotated[int, Field(ge=0)] = 1
    offset: Literal["random", "start"] = "random"
    generated_offset: Literal["random", "start"] = "random"
    split: Literal["held-out", "training", "all"] = "held-out"
    resamplings: Annotated[int, Field(ge=0, le=1000)] = 0
    floor: bool = False
    seed: int = 0
    quick: bool = False
    comparable: str = ""

    @property
    def span(self) -> int:
        """Frames of a video that a clip takes up."""
        return (self.frames - 1) * self.stride + 1


_FLAGS = {"features": "--features", "metrics": "--metric"}
#: The keys that say something about a protocol and change no number.
_WORDS = ("quick", "comparable")


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A protocol by name, with what was changed in it.

    Attributes:
        name: `gadkit:fvd2048_16f`, or `none` for settings of one's own.
        summary: What it is for.
        settings: What it fixes.
        changed: The keys that are not as the protocol of this name has them, with what they are.
    """

    name: str
    summary: str
    settings: ProtocolSettings
    changed: Mapping[str, Any]

    @property
    def title(self) -> str:
        """Its name, and what was changed: `"fvd2048_16f, but clips=366"`."""
        told = ", ".join(f"{key}={_short(value)}" for key, value in flattened(self.changed))
        name = self.name.removeprefix("gadkit:")
        return f"{name}, but {told}" if told else name

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a manifest."""
        kept = {key: value for key, value in self.settings.model_dump().items() if key not in _WORDS}
        return {"name": self.name, "changed": dict(self.changed), **kept}


def _short(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)


def open_protocol(registry: Registry, name: str, changes: Mapping[str, Any] | None = None) -> Protocol:
    """A protocol by name, with changes.

    Args:
        registry: The components.
        name: Such as `"fvd2048_16f"`; `gadkit plugins list` names what there is.
        changes: Settings that are to be others; `None` among them means not given.

    Raises:
        PluginError: There is none of that name, or its file cannot be used.
        ConfigError: A changed key is unknown or out of range, or changes what the protocol's name stands for.
    """
    entry = registry.find("protocol", name)
    origin = f"Protocol {entry.qualified!r}"
    try:
        table = parse_toml(entry.text().encode())
    except ValueError as error:
        raise PluginError(f"{origin} {error}.") from error
    fields = fields_of(ProtocolSettings)
    own = check(fields, table, "", origin)
    base = ProtocolSettings(**own)
    wanted = {key: value for key, value in (changes or {}).items() if value is not None}
    checked = check(fields, {**own, **wanted}, "protocol", "a protocol")
    for key, kind in _NAMES.items():
        checked[key] = _same(registry, kind, getattr(base, key), checked[key])
    if "settings" in wanted:
        checked["settings"] = _merged(registry, base.settings, checked["settings"], checked["metrics"])
    settings = ProtocolSettings(**checked)
    changed = {key: getattr(settings, key) for key in wanted if getattr(settings, key) != getattr(base, key)}
    if "settings" in changed:
        other = {metric: _others(each, base.settings.get(metric, {})) for metric, each in settings.settings.items()}
        changed["settings"] = {metric: each for metric, each in other.items() if each}
    _check_name(entry.name, base, changed)
    return Protocol(name=entry.qualified, summary=entry.component.summary, settings=settings, changed=changed)


#: The keys that name components, and their kinds.
_NAMES = {"features": "features", "frame_features": "features", "metrics": "metric"}


def _same(registry: Registry, kind: str, old: Any, new: Any) -> Any:
    """What a protocol names, as it does, where a change names the same: `gadkit:i3d` is `i3d`."""

    def entries(names: Any) -> list[str]:
        return [registry.find(kind, name).qualified for name in ([names] if isinstance(names, str) else names)]

    return old if old == new or entries(old) == entries(new) else new


def _merged(
    registry: Registry, own: Mapping[str, dict[str, Any]], given: Mapping[str, dict[str, Any]], metrics: list[str]
) -> dict[str, dict[str, Any]]:
    """Settings of metrics, those that are given over the protocol's own."""
    measured = {registry.find("metric", name).qualified for name in metrics}
    names = {registry.find("metric", name).qualified: name for name in own}
    merged = dict(own)
    for name, values in given.items():
        qualified = registry.find("metric", name).qualified
        if qualified not in measured:
            raise ConfigError(
                f"protocol.settings.{name}: {name} is not among what is measured, {', '.join(metrics)}; leave its "
                f"settings out, or measure it with --metric {name}."
            )
        known = names.setdefault(qualified, name)
        merged[known] = {**merged.get(known, {}), **values}
    return merged


def _others(values: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in before or before[key] != value}


def from_sets(sets: Sequence[str]) -> dict[str, Any]:
    """Changes from texts `key=value`, the value in TOML or a bare string; `settings.fvd.divisor=n` sets a metric's.

    Raises:
        ConfigError: A text is no such thing.
    """
    changes: dict[str, Any] = {}
    for text in sets:
        key, equals, value = text.partition("=")
        parts = key.strip().split(".")
        if not equals or not all(parts) or len(parts) not in (1, 3) or (len(parts) == 3 and parts[0] != "settings"):
            raise ConfigError(f"--set {text!r}: expected key=value, such as seed=1 or settings.fvd.divisor=n.")
        if parts[0] in _FLAGS:
            raise ConfigError(f"--set {text!r}: name {parts[0]} with {_FLAGS[parts[0]]}.")
        if parts[0] not in ProtocolSettings.model_fields:
            found = nearest(parts[0], ProtocolSettings.model_fields)
            raise ConfigError(f"--set {text!r}: {parts[0]} is no setting of a protocol.{found}")
        if len(parts) == 1:
            changes[parts[0]] = toml_value(value.strip())
        else:
            changes.setdefault("settings", {}).setdefault(parts[1], {})[parts[2]] = toml_value(value.strip())
    return changes


def _check_name(name: str, base: ProtocolSettings, changed: Mapping[str, Any]) -> None:
    """A protocol of the literature stands for its network: in another it is not a variant of it, but something else."""
    if base.comparable and "features" in changed:
        raise ConfigError(
            f"protocol.features: found {changed['features']!r}, but {name} is defined with {base.features}, and a "
            f"number of this name in another network would be compared with what it is not; leave --features out, or "
            f"take --protocol {DEFAULT} with it."
        )
