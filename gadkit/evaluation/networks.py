"""Feature networks: built, given their weights, verified, frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gadkit.engine.devices import resolve_device
from gadkit.interfaces.features import Features
from gadkit.registry import Registry, get_registry
from gadkit.registry.entry import Entry
from gadkit.signature import validate
from gadkit.weights.state import digest
from gadkit.weights.store import read


@dataclass(frozen=True, kw_only=True)
class Network:
    """A feature network, ready to be used.

    Attributes:
        entry: Its component.
        settings: All of its settings.
        net: The network, frozen, on its device.
        digest: `gadkit.weights.state.digest` of its tensors.
    """

    entry: Entry
    settings: Mapping[str, Any]
    net: Features
    digest: str

    def to_dict(self) -> dict[str, Any]:
        """What a manifest says of it."""
        return {
            "name": self.entry.qualified,
            "version": self.entry.version,
            "settings": dict(self.settings),
            "weights": self.digest,
            "preparation": dict(self.net.preparation),
            "literature": self.net.literature,
            **({"code": self.entry.sha256} if self.entry.sha256 else {}),
        }


def open_network(
    registry: Registry, name: str, settings: Mapping[str, Any] | None = None, device: str = "auto"
) -> Network:
    """A feature network by name.

    Args:
        registry: The components.
        name: Such as `"i3d"`.
        settings: Its settings.
        device: As for `gadkit train --device`.

    Raises:
        DataError: Its weights are not installed, or altered.
        PluginError: There is none of that name.
        ConfigError: A setting does not fit.
    """
    entry = registry.find("features", name)
    cls = entry.load()
    complete = validate(cls, settings or {}, "features", f"features {entry.name!r}")
    net = cls(**complete)
    assert isinstance(net, Features)
    with_weights(net)
    used = digest(net.state_dict())
    net = net.eval().requires_grad_(False).to(resolve_device(device))
    return Network(entry=entry, settings=complete, net=net, digest=used)


def with_weights(net: Features) -> Features:
    """The network with the tensors that its class names, verified; raises `DataError` where they are not installed."""
    if net.weights is not None:
        net.load_state_dict(read(net.weights))
    return net


def load_features(name: str, *, device: str = "auto", registry: Registry | None = None, **settings: Any) -> Features:
    """A feature network, to be handed to a metric or used by itself.

    Args:
        name: Such as `"i3d"`; `gadkit plugins list` names what there is.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        registry: Where it is looked up; by default the process's own.
        **settings: The network's settings.

    Raises:
        DataError: Its weights are not installed, or altered; the sentence says how to get them.
        PluginError: There is none of that name.
        ConfigError: A setting does not fit.
    """
    return open_network(registry or get_registry(), name, settings, device).net
