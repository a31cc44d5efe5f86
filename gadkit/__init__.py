"""gadkit trains, samples and measures adversarial video generators, and every part of it is a plugin.

The names below are gadkit's public face, for users and for plugins alike. They load on first use: `import gadkit`
imports neither torch nor a plugin.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gadkit.component import API_VERSION, Component
from gadkit.deprecations import NAMES as _DEPRECATED
from gadkit.deprecations import deprecated_name as _deprecated_name
from gadkit.errors import (
    ConfigError,
    DataError,
    DeviceError,
    GadkitError,
    PluginError,
    RunError,
    UnavailableError,
)
from gadkit.hookspecs import hookimpl

if TYPE_CHECKING:
    from gadkit.comparison.compare import compare as compare
    from gadkit.evaluation.evaluate import evaluate as evaluate
    from gadkit.evaluation.networks import load_features as load_features
    from gadkit.interfaces.assembler import VideoAssembler as VideoAssembler
    from gadkit.interfaces.augmentation import Augmentation as Augmentation
    from gadkit.interfaces.dataset import Dataset as Dataset
    from gadkit.interfaces.dataset import Footage as Footage
    from gadkit.interfaces.dataset import Source as Source
    from gadkit.interfaces.direction import Direction as Direction
    from gadkit.interfaces.direction import Game as Game
    from gadkit.interfaces.direction import Player as Player
    from gadkit.interfaces.discriminator import Discriminator as Discriminator
    from gadkit.interfaces.discriminator import Logits as Logits
    from gadkit.interfaces.features import Features as Features
    from gadkit.interfaces.footprint import Footprint as Footprint
    from gadkit.interfaces.generator import Generator as Generator
    from gadkit.interfaces.loss import Loss as Loss
    from gadkit.interfaces.metric import VideoMetric as VideoMetric
    from gadkit.interfaces.penalty import Critic as Critic
    from gadkit.interfaces.penalty import Penalty as Penalty
    from gadkit.interfaces.refiner import Refiner as Refiner
    from gadkit.interfaces.refiner import Score as Score
    from gadkit.interfaces.spec import VideoSpec as VideoSpec
    from gadkit.interfaces.tracker import Tracker as Tracker
    from gadkit.interfaces.trainer import Trainer as Trainer
    from gadkit.interfaces.training import Training as Training
    from gadkit.interfaces.weights import Weights as Weights
    from gadkit.randomness import Key as Key
    from gadkit.randomness import Noise as Noise
    from gadkit.runs.folder import Run as Run
    from gadkit.runs.loading import load as load
    from gadkit.runs.model import Model as Model
    from gadkit.runs.reporter import Reporter as Reporter
    from gadkit.runs.session import Session as Session
    from gadkit.runs.training import train as train
    from gadkit.schedules import Scheduled as Scheduled
    from gadkit.video.encode import write_video as write_video

#: The version of gadkit.
__version__ = "0.1.0"

_LAZY = {
    "Augmentation": "gadkit.interfaces.augmentation",
    "Critic": "gadkit.interfaces.penalty",
    "Dataset": "gadkit.interfaces.dataset",
    "Direction": "gadkit.interfaces.direction",
    "Discriminator": "gadkit.interfaces.discriminator",
    "Features": "gadkit.interfaces.features",
    "Footage": "gadkit.interfaces.dataset",
    "Footprint": "gadkit.interfaces.footprint",
    "Game": "gadkit.interfaces.direction",
    "Generator": "gadkit.interfaces.generator",
    "Key": "gadkit.randomness",
    "Logits": "gadkit.interfaces.discriminator",
    "Loss": "gadkit.interfaces.loss",
    "Noise": "gadkit.randomness",
    "Penalty": "gadkit.interfaces.penalty",
    "Model": "gadkit.runs.model",
    "Player": "gadkit.interfaces.direction",
    "Refiner": "gadkit.interfaces.refiner",
    "Reporter": "gadkit.runs.reporter",
    "Run": "gadkit.runs.folder",
    "Scheduled": "gadkit.schedules",
    "Score": "gadkit.interfaces.refiner",
    "Session": "gadkit.runs.session",
    "Source": "gadkit.interfaces.dataset",
    "Tracker": "gadkit.interfaces.tracker",
    "Trainer": "gadkit.interfaces.trainer",
    "Training": "gadkit.interfaces.training",
    "VideoAssembler": "gadkit.interfaces.assembler",
    "VideoMetric": "gadkit.interfaces.metric",
    "VideoSpec": "gadkit.interfaces.spec",
    "Weights": "gadkit.interfaces.weights",
    "compare": "gadkit.comparison.compare",
    "evaluate": "gadkit.evaluation.evaluate",
    "load": "gadkit.runs.loading",
    "load_features": "gadkit.evaluation.networks",
    "train": "gadkit.runs.training",
    "write_video": "gadkit.video.encode",
}

__all__ = [
    "API_VERSION",
    "Component",
    "ConfigError",
    "DataError",
    "DeviceError",
    "GadkitError",
    "PluginError",
    "RunError",
    "UnavailableError",
    "__version__",
    "hookimpl",
    *_LAZY,
]


def __getattr__(name: str) -> Any:
    if name in _DEPRECATED:
        return _deprecated_name(name)
    if name not in _LAZY:
        raise AttributeError(f"module 'gadkit' has no attribute {name!r}")
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
