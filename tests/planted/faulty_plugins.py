"""Plugins that break one promise each: of their modules, their records, and files and functions that are no classes."""

from __future__ import annotations

from typing import Any

from planted.table import FAULTS, Fault, Plugin

_HEAD = "from gadkit import Component, hookimpl\n"
_RECIPES = (
    _HEAD
    + """
@hookimpl
def gadkit_recipes():
    return [Component(name="NAME", summary="narrow nets, for a first try", target="NAME:recipe.toml")]
"""
)
_RECIPE = """
[run]
steps = 20

[video]
height = 32
width = 32
frames = 4

[generator]
use = "dcgan"
width = 8

[assembler]
use = "walk"

[discriminator]
use = "dcgan-clip"
width = 8

[loss]
use = "nonsaturating"

[direction]
use = "alternating"

[trainer]
use = "minimax"
batch_size = 2
"""
_PROTOCOLS = (
    _HEAD
    + """
@hookimpl
def gadkit_protocols():
    return [Component(name="NAME", summary="64 clips in a small network", target="NAME:protocol.toml")]
"""
)
_PROTOCOL = """
features = "random-r3d"
metrics = ["fvd"]
clips = 64
real_clips = 64
"""
_LOSSES = (
    _HEAD
    + """
@hookimpl
def gadkit_losses():
    return [Component(name="NAME", summary="a loss", target="gadkit_plugins.minimax.losses:Hinge")]
"""
)


def _recipe(name: str, old: str = "", new: str = "") -> Plugin:
    assert not old or old in _RECIPE
    return Plugin(f"planted_{name}", _RECIPES, {"recipe.toml": _RECIPE.replace(old, new) if old else _RECIPE})


def _protocol(name: str, old: str = "", new: str = "") -> Plugin:
    assert not old or old in _PROTOCOL
    return Plugin(f"planted_{name}", _PROTOCOLS, {"protocol.toml": _PROTOCOL.replace(old, new) if old else _PROTOCOL})


_SOUND_RECIPE, _SOUND_PROTOCOL = _recipe("recipe"), _protocol("protocol")
_SOUND_LOSS = Plugin("planted_loss", _LOSSES)
_SOUND_PACKAGE = Plugin("planted_package", _LOSSES, installed=True)


def _enter(
    kind: str,
    fault: str,
    faulty: Plugin,
    sound: Plugin,
    promised: str,
    mend: str,
    aspect: str = "contract",
    **settings: Any,
) -> None:
    FAULTS.append(Fault(kind, fault, faulty, sound, aspect, promised, mend, settings))


for _row in (
    (
        "an unknown key",
        ("key", "steps = 20", "stpes = 20"),
        "is a configuration that can be trained",
        "mend the recipe",
    ),
    ("an unknown part", ("part", '"dcgan"', '"dcgann"'), "is a configuration that can be trained", "mend the recipe"),
    ("a setting out of range", ("range", "width = 8", "width = -8"), "is a configuration", "tells the settings"),
    (
        "a size that its nets refuse",
        ("size", "height = 32", "height = 2"),
        "can be built at its own size",
        "mend the recipe",
    ),
    (
        "a part that nobody uses",
        ("idle", 'use = "minimax"', 'use = "vae"'),
        "names parts that its trainer uses",
        "leave it out of the recipe",
    ),
    ("no TOML", ("toml", "[run]", "[run"), "is a configuration", "mend the recipe's file"),
):
    _fault, _change, _promised, _mend = _row
    _enter("recipe", _fault, _recipe(*_change), _SOUND_RECIPE, _promised, _mend)

for _row in (
    (
        "an unknown metric",
        ("metric", '["fvd"]', '["fdv"]'),
        "says how a number is measured",
        "mend the protocol's file",
    ),
    (
        "an unknown key",
        ("entry", "clips = 64\n", "clip = 64\n"),
        "says how a number is measured",
        "mend the protocol's file",
    ),
    (
        "settings of a metric that is not measured",
        ("idle_metric", "real_clips = 64", "real_clips = 64\n[settings.kvd]\n"),
        "has settings of the metrics that it measures",
        "leave its settings out",
    ),
    (
        "a network of frames for clips",
        ("network", '"random-r3d"', '"effnet-lite0"'),
        "names a network of clips",
        "name another network",
    ),
):
    _fault, _change, _promised, _mend = _row
    _enter("protocol", _fault, _protocol(*_change), _SOUND_PROTOCOL, _promised, _mend)

_enter(
    "loss",
    "a summary of a page",
    Plugin("planted_summary", _LOSSES.replace('"a loss"', '"a loss " * 40')),
    _SOUND_LOSS,
    "says in one line what it does",
    "write a few words",
    aspect="record",
)
_enter(
    "plugin",
    "a summary of nothing",
    Plugin("planted_nothing", _LOSSES.replace('"a loss"', '""'), installed=True),
    _SOUND_PACKAGE,
    "hands over its records",
    "mend it until",
    aspect="loads",
)
_enter(
    "loss",
    "a target that there is not",
    Plugin("planted_target", _LOSSES.replace(":Hinge", ":Hinges")),
    _SOUND_LOSS,
    "can be imported and is a loss",
    "the record's target",
    aspect="record",
)
_enter(
    "loss",
    "a target of another kind",
    Plugin("planted_kind", _LOSSES.replace("losses:Hinge", "penalties:R1")),
    _SOUND_LOSS,
    "is a loss",
    "the record's target",
    aspect="record",
)
_enter(
    "plugin",
    "a module that imports torch",
    Plugin("planted_torch", "import torch\n" + _LOSSES, installed=True),
    _SOUND_PACKAGE,
    "imports no torch",
    "keep the records in a module of their own",
    aspect="imports",
)
_enter(
    "plugin",
    "a module that raises",
    Plugin("planted_raises", "import nothing_of_this_name\n" + _LOSSES, installed=True),
    _SOUND_PACKAGE,
    "can be imported and hands over its records",
    "mend it until",
    aspect="loads",
)
_SIDE_EFFECT = """
import torch
from gadkit_plugins.minimax.losses import Hinge

CHANGE
"""
for _number, (_fault, _change, _promised, _mend) in enumerate(
    (
        ("torch.set_default_dtype at import", "torch.set_default_dtype(torch.float64)", "default dtype", "`dtype=`"),
        (
            "torch.backends at import",
            "torch.backends.cudnn.benchmark = True",
            "cudnn.benchmark",
            "the choice of kernels",
        ),
        (
            "numpy.random.seed at import",
            "import numpy; numpy.random.seed(0)",
            "NumPy's global generator",
            "gadkit.randomness",
        ),
    )
):
    _enter(
        "plugin",
        _fault,
        Plugin(
            f"planted_side_{_number}",
            _LOSSES.replace("gadkit_plugins.minimax.losses", f"planted_effect_{_number}"),
            {f"planted_effect_{_number}.py": _SIDE_EFFECT.replace("CHANGE", _change)},
            installed=True,
        ),
        _SOUND_PACKAGE,
        _promised,
        _mend,
        aspect="imports",
    )
