"""What is measured in what: metrics, and the networks that they take rows from."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from gadkit.errors import ConfigError, PluginError
from gadkit.evaluation.networks import Network, open_network
from gadkit.evaluation.protocol import ProtocolSettings
from gadkit.evaluation.rows import Extractor
from gadkit.interfaces.features import Features
from gadkit.interfaces.metric import VideoMetric
from gadkit.registry import Registry
from gadkit.registry.entry import Entry
from gadkit.signature import validate
from gadkit.words import count_text

PIXELS = "pixels"
LOGITS = "logits"
#: Packages whose code is told by their versions, or makes no rows.
_SETTLED = ("abc", "builtins", "gadkit", "torch", "torchmetrics", "typing")
_SLOTS = {"clip": "features", "frame": "frame_features"}


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A metric and where its rows come from.

    Attributes:
        entry: Its component.
        cls: Its class.
        settings: All of its settings.
        of: What its rows describe, `clip` or `frame`, where a network makes them; empty where it does itself.
    """

    entry: Entry
    cls: type[VideoMetric]
    settings: Mapping[str, Any]
    of: str

    @property
    def name(self) -> str:
        """Its name."""
        return self.entry.name

    @property
    def source(self) -> str:
        """What its rows are kept under, shared with the metrics that take the same."""
        if self.cls.rows_from == "pixels":
            return f"{PIXELS} {self.name}"
        return f"{self.of} {LOGITS}" if self.cls.rows_from == "logits" else self.of

    def make(self) -> VideoMetric:
        """An empty metric, of this process alone: while a run goes on, the others are not asked for theirs."""
        metric = self.cls(**self.settings)
        metric.distributed_available_fn = _alone
        return metric

    def label(self, value: str, networks: Mapping[str, Network]) -> str:
        """A value's name with its network's: `"fvd[i3d]"`."""
        return f"{value}[{networks[self.of].entry.name}]" if self.of else value

    def literature(self, networks: Mapping[str, Network]) -> str:
        """What its values may be compared with; empty for nothing published."""
        return networks[self.of].net.literature if self.of else ""

    def extractor(self, networks: Mapping[str, Network], device: torch.device) -> Extractor:
        """What makes its rows."""
        if not self.of:
            key = _key(self.cls, [self.entry.qualified, self.entry.version, dict(self.settings)])
            return Extractor(f"metric {self.name!r}", key, self.make().rows, torch.device("cpu"), self.cls.of)
        network = networks[self.of]
        net = network.net
        key = _key(type(net), [network.to_dict(), device.type, self.source])
        rows = (lambda video: net.logits(net(video))) if self.cls.rows_from == "logits" else net
        return Extractor(f"features {network.entry.name!r}", key, rows, device, self.of)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a manifest."""
        return {"name": self.entry.qualified, "version": self.entry.version, "settings": dict(self.settings)}


def _key(cls: type[Any], told: list[Any]) -> str | None:
    """What rows of a class depend on: what is told of it, and its code; `None` where its code lies in no file."""
    code = {}
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] in _SETTLED:
            continue
        try:
            code[base.__module__] = hashlib.sha256(Path(inspect.getfile(base)).read_bytes()).hexdigest()
        except (OSError, TypeError):
            return None
    return json.dumps([told, code], sort_keys=True, default=str)


def _alone() -> bool:
    return False


def _slot(kind: str, name: str, of: str) -> str:
    """The setting of a protocol for networks of clips or frames."""
    if of not in _SLOTS:
        raise PluginError(f"{kind} {name!r} has of = {of!r}, expected 'clip' or 'frame'; mend or upgrade its plugin.")
    return _SLOTS[of]


def networks_of(registry: Registry, names: Sequence[str] | None) -> dict[str, str]:
    """The settings of a protocol that networks stand for: `features` for one of clips, `frame_features` of frames.

    Raises:
        ConfigError: Two are of one sort.
        PluginError: There is none of that name.
    """
    found: dict[str, str] = {}
    for name in names or ():
        cls = cast(type[Features], registry.find("features", name).load())
        slot = _slot("features", name, cls.of)
        if slot in found:
            raise ConfigError(
                f"features: {found[slot]} and {name} are both networks of {cls.of}s, and an evaluation takes one of "
                "clips and one of frames; name one, and measure again in the other."
            )
        found[slot] = name
    return found


def open_measures(
    registry: Registry, settings: ProtocolSettings, device: str
) -> tuple[list[Measure], dict[str, Network]]:
    """The metrics of a protocol, and the networks that they need, loaded.

    Raises:
        ConfigError: A setting does not fit, a metric is named twice, or clips are too short or long for a network.
        PluginError: A component cannot be found or loaded.
        DataError: Weights are missing or altered.
    """
    names = {registry.find("metric", name).qualified: name for name in reversed(settings.metrics)}
    own = {registry.find("metric", name).qualified: values for name, values in settings.settings.items()}
    measures = [_measure(registry, names[name], settings, own.get(name, {})) for name in reversed(names)]
    networks: dict[str, Network] = {}
    for measure in measures:
        if measure.of and measure.of not in networks:
            networks[measure.of] = open_network(registry, getattr(settings, _SLOTS[measure.of]), device=device)
            _check_frames(settings, networks[measure.of])
    return measures, networks


def _measure(registry: Registry, name: str, settings: ProtocolSettings, values: Mapping[str, Any]) -> Measure:
    entry = registry.find("metric", name)
    cls = cast(type[VideoMetric], entry.load())
    own = validate(cls, values, f"protocol.settings.{name}", f"metric {name!r}")
    of = ""
    if cls.rows_from != "pixels":
        of = "clip" if cls.of == "any" else cls.of
        _slot("metric", name, of)
        if cls.of == "any" and cls.rows_from == "logits" and not _class_of(registry, settings, "clip").labels:
            of = "frame"
        found = _class_of(registry, settings, of)
        chosen = getattr(settings, _SLOTS[of])
        if found.of != of:
            raise ConfigError(
                f"protocol.{_SLOTS[of]}: found {chosen!r}, a network of {found.of}s, but {name} is about {of}s; name a "
                f"network of {of}s."
            )
        if cls.rows_from == "logits" and found.logits is Features.logits:
            raise ConfigError(
                f"protocol.{_SLOTS[of]}: found {chosen!r}, which tells no classes apart, but {name} needs class "
                "scores; take i3d or effnet-lite0."
            )
    return Measure(entry=entry, cls=cls, settings=own, of=of)


def _class_of(registry: Registry, settings: ProtocolSettings, of: str) -> type[Features]:
    return cast(type[Features], registry.find("features", getattr(settings, _SLOTS[of])).load())


def check_split(measures: Sequence[Measure], settings: ProtocolSettings, way: str) -> None:
    """Refuses to hold the training clips of a run against themselves; `way` is how held-out ones are asked for.

    Raises:
        ConfigError: A metric needs training clips beside held-out ones, and the protocol takes others.
    """
    needing = [measure.name for measure in measures if measure.cls.needs_training]
    if needing and settings.split != "held-out":
        raise ConfigError(
            f"protocol.split: found {settings.split!r}, but {needing[0]} holds training clips against held-out ones; "
            f"take these with {way}."
        )


def _check_frames(settings: ProtocolSettings, network: Network) -> None:
    fewest, most = network.net.frames
    if settings.frames < fewest or (most is not None and settings.frames > most):
        wants = f"{fewest} or more" if most is None else f"{fewest} to {most}" if fewest != most else f"{fewest}"
        raise ConfigError(
            f"protocol.frames: found {count_text(settings.frames, 'frame')}, but {network.entry.name} takes {wants}; "
            "set --frames, or take another network with --features."
        )
