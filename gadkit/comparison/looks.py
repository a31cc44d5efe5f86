"""How a run is looked at: which evaluations are made of it, in which networks, against what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, cast

from gadkit.comparison.plan import Measuring
from gadkit.errors import ConfigError, DataError
from gadkit.evaluation.networks import open_network
from gadkit.evaluation.protocol import DEFAULT, open_protocol
from gadkit.evaluation.subjects import shown
from gadkit.interfaces.features import Features
from gadkit.interfaces.metric import VideoMetric
from gadkit.registry import Registry

#: What is measured where nobody says: distances, diversity, copies and motion.
METRICS = ("fvd", "kvd", "prdc", "memorisation", "motion")
#: The most clips of each side where nobody says, in the default protocol.
CLIPS = 512
#: The networks of clips to choose from where nobody says: the literature's where it is installed, else one that needs
#: no download.
_NETWORKS = ("i3d", "random-r3d")


@dataclass(frozen=True, kw_only=True)
class Look:
    """One evaluation of every run.

    Attributes:
        key: The name of its files.
        title: What it is against, and in which networks.
        against: The videos; `None` for the run's own held-out ones.
        features: The networks that are named for it, of clips, of frames, or both.
        metrics: What is measured.
    """

    key: str
    title: str
    against: str | None
    features: tuple[str, ...]
    metrics: tuple[str, ...]


def looks(registry: Registry, measuring: Measuring) -> list[Look]:
    """The evaluations of a comparison, the first of them the one that ranks.

    A metric that needs no network is measured once; one that holds clips against those of the training, against the
    run's own data alone.

    Raises:
        PluginError: A metric or a network cannot be found or loaded.
    """
    metrics = {name: cast(type[VideoMetric], registry.find("metric", name).load()) for name in measuring.metrics}
    kinds = {name: _sort(registry, name) for name in measuring.features}
    of_clips = [name for name, of in kinds.items() if of == "clip"]
    of_frames = [name for name, of in kinds.items() if of == "frame"]
    pairs = list(zip_longest(of_clips, of_frames)) or [(None, None)]
    found = []
    for place, against in enumerate((None, *measuring.against)):
        where = "held-out clips" if against is None else shown(against)
        for number, (clip, frame) in enumerate(pairs):
            own = tuple(
                name
                for name, cls in metrics.items()
                if _wanted(cls, first=number == 0, clip=clip, frame=frame)
                and not (cls.needs_training and against is not None)
            )
            if own:
                named = tuple(each for each in (clip, frame) if each is not None)
                key = f"{'held-out' if against is None else f'against-{place}'}-{number + 1}"
                title = f"{where}, in {' and '.join(named)}" if named else where
                found.append(Look(key=key, title=title, against=against, features=named, metrics=own))
    return found


def _wanted(cls: type[VideoMetric], *, first: bool, clip: str | None, frame: str | None) -> bool:
    """Whether a metric is measured in a pair of networks; in the first it is, whatever it needs."""
    if first:
        return True
    if cls.rows_from == "pixels":
        return False
    return frame is not None if cls.of == "frame" else clip is not None


def _sort(registry: Registry, name: str) -> str:
    return cast(type[Features], registry.find("features", name).load()).of


def choose_measuring(
    registry: Registry,
    *,
    protocol: str | None,
    metrics: Sequence[str] | None,
    features: Sequence[str] | None,
    against: Sequence[str],
    clips: int | None,
    changes: dict[str, Any],
    device: str,
    curve: int,
    videos: int,
) -> Measuring:
    """How runs are measured, once it is sure that they can be: protocol, metrics and weights are there.

    Args:
        registry: The components.
        protocol: Its name; `None` for the default.
        metrics: What is measured; `None` for `METRICS`.
        features: The networks; `None` for the literature's where it is installed.
        against: Videos beside the held-out ones.
        clips: The most of each side; `None` for 512 in the default protocol, and else what the protocol says.
        changes: What is another in the protocol.
        device: Where it is measured.
        curve: Points of the curve.
        videos: How many videos are shown.

    Raises:
        ConfigError: A setting does not fit.
        DataError: Weights are missing.
        PluginError: A component cannot be found or loaded.
    """
    name = protocol or DEFAULT
    clips = clips or (CLIPS if name == DEFAULT else None)
    settings = open_protocol(registry, name, changes).settings
    if features is None:
        features = [_installed(registry, device)] if name == DEFAULT else [settings.features]
    if len(set(features)) < len(features):
        raise ConfigError(f"--features: found {', '.join(features)}, expected each of them once.")
    for each in features:
        fewest, most = open_network(registry, each, device=device).net.frames
        if settings.frames < fewest or (most is not None and settings.frames > most):
            raise ConfigError(
                f"--features: {each} takes clips of {fewest} {'or more' if most is None else f'to {most}'} frames, and "
                f"these have {settings.frames}; choose --frames, or another network."
            )
    found = Measuring(
        protocol=name,
        changes={**changes, **({} if clips is None else {"clips": clips, "real_clips": clips})},
        metrics=tuple(dict.fromkeys(metrics or METRICS)),
        features=tuple(features),
        against=tuple(against),
        curve=curve,
        videos=videos,
    )
    for look in looks(registry, found):  # names, ranges, and what a protocol's name stands for
        slots = {"frame_features" if _sort(registry, each) == "frame" else "features": each for each in look.features}
        open_protocol(registry, name, {**found.changes, **slots, "metrics": list(look.metrics)})
    return found


def _installed(registry: Registry, device: str) -> str:
    for name in _NETWORKS[:-1]:
        try:
            open_network(registry, name, device=device)
        except DataError:
            continue
        return name
    return _NETWORKS[-1]
