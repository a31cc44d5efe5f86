"""Do recipes and protocols resolve: is every key known, every component there, and does all of it fit together?"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gadkit.config import RunConfig
from gadkit.engine.weightless import weightless
from gadkit.errors import ConfigError, GadkitError, PluginError
from gadkit.evaluation.protocol import ProtocolSettings, open_protocol
from gadkit.interfaces.features import Features
from gadkit.interfaces.spec import VideoSpec
from gadkit.interfaces.trainer import Trainer
from gadkit.randomness import Key
from gadkit.registry import Registry
from gadkit.registry.entry import Entry
from gadkit.runs.parts import build_part
from gadkit.runs.plan import check_fit, check_rules
from gadkit.signature import validate
from gadkit.testing.promises import promise

_MEND = "mend the {kind}'s file; `gadkit plugins show` tells the settings of each part"


def check_recipe(entry: Entry, registry: Registry, **settings: Any) -> None:
    """Checks a recipe: every part is known and built at the recipe's own size, and they fit each other.

    Its configuration, written as a run writes it, is read back the same; every part that it names is used by its
    trainer, so that nobody is told of one that does nothing.

    Args:
        entry: The recipe.
        registry: Where its parts are looked up.
        **settings: Keys of a configuration over the recipe.

    Raises:
        AssertionError: A broken promise.
    """
    name = entry.qualified
    try:
        config = RunConfig.resolve(registry, recipe=name, flags=settings)
    except (ConfigError, PluginError) as error:
        _broken("recipe", f"recipe {name} is a configuration that can be trained", error)
        raise
    trainer = config.parts["trainer"].entry.load()
    used = {"trainer", *trainer.needs, *trainer.takes}
    idle = [kind for kind in config.parts if kind not in used and kind != "refiner"]
    promise(
        not idle,
        f"recipe {name} names parts that its trainer uses",
        f"{config.parts['trainer'].entry.name} uses no {' and no '.join(idle)}",
        "leave it out of the recipe",
    )
    with TemporaryDirectory(prefix="gadkit-check-") as folder:
        file = Path(folder, "config.toml")
        file.write_text(config.to_toml(), encoding="utf-8")
        promise(
            RunConfig.resolve(registry, file=file).to_dict() == config.to_dict(),
            f"recipe {name}, written as a run's config.toml, is read back the same",
            "it is another configuration",
            "give settings that TOML can hold",
        )
    precision = "fp32" if config.precision == "auto" else config.precision
    try:
        check_rules(config, precision)
        check_fit(config, _sketched(config, trainer))
    except GadkitError as error:
        _broken("recipe", f"the parts of recipe {name} can be built at its own size, and fit each other", error)
        raise


def _sketched(config: RunConfig, trainer: type[Trainer]) -> dict[str, Any]:
    """The parts of a run, without memory for their weights."""
    shape = config.video
    video = VideoSpec(height=shape.height, width=shape.width, frames=shape.frames, fps=25.0)
    parts: dict[str, Any] = {}
    with weightless():
        for kind in ("trainer", *trainer.needs, *trainer.takes):
            if kind in config.parts:
                parts[kind] = build_part(config, kind, Key.of(config.seed), video, parts)
    return parts


def check_protocol(entry: Entry, registry: Registry, **settings: Any) -> None:
    """Checks a protocol: every key is known, and so is every network and metric, with its settings.

    Args:
        entry: The protocol.
        registry: Where metrics and networks are looked up.
        **settings: Settings over the protocol's.

    Raises:
        AssertionError: A broken promise.
    """
    name = entry.qualified
    try:
        fixed = open_protocol(registry, name, settings).settings
        metrics = {each: registry.find("metric", each).load() for each in fixed.metrics}
        for each, own in fixed.settings.items():
            validate(registry.find("metric", each).load(), own, f"settings.{each}", f"metric {each!r}")
        networks = {slot: registry.find("features", getattr(fixed, slot)).load() for slot in _OF}
    except (ConfigError, PluginError) as error:
        _broken("protocol", f"protocol {name} says how a number is measured", error)
        raise
    idle = fixed.settings.keys() - metrics.keys()
    promise(
        not idle,
        f"protocol {name} has settings of the metrics that it measures",
        f"{' and '.join(sorted(idle))} is not among {', '.join(metrics)}",
        "add it to `metrics`, or leave its settings out",
    )
    for slot, network in networks.items():
        _check_network(name, slot, network, fixed)


#: What a network of a protocol has to describe.
_OF = {"features": "clip", "frame_features": "frame"}


def _check_network(name: str, slot: str, network: type[Features], fixed: ProtocolSettings) -> None:
    promise(
        network.of == _OF[slot],
        f"protocol {name} names a network of {_OF[slot]}s in `{slot}`",
        f"{getattr(fixed, slot)} describes a {network.of}",
        "name another network",
    )
    fewest, most = network.frames
    fits = _OF[slot] == "frame" or (fewest <= fixed.frames and (most is None or fixed.frames <= most))
    promise(
        fits,
        f"protocol {name} takes clips that its network {getattr(fixed, slot)} can look at",
        f"they have {fixed.frames} frames, and it takes {fewest} to {'any number' if most is None else most}",
        "set `frames` to another number, or name another network",
    )


def _broken(kind: str, promised: str, error: GadkitError) -> None:
    promise(False, promised, str(error).rstrip("."), _MEND.format(kind=kind))
