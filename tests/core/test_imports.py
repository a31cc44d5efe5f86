"""Imports run one way, plugins stand on public names alone, and nothing loads what could execute.

The rules are in `import_rules.py`; here they are first tried on planted violations, then held against every file.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import gadkit

sys.path.insert(0, str(Path(__file__).parent))
import import_rules as rules

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ["torch", "numpy", "scipy", "av", "PIL", "accelerate", "torchmetrics", "safetensors.torch", "einops"]


def files(top: Path) -> dict[str, tuple[Path, bool]]:
    """Dotted name to file and whether it is a package, for every module under `top`."""
    found = {}
    for path in sorted(top.rglob("*.py")):
        parts = path.relative_to(top.parent).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        found[".".join(parts[:-1] if is_package else parts)] = (path, is_package)
    return found


CORE = files(ROOT / "gadkit")
PLUGINS = files(ROOT / "plugins" / "gadkit_plugins")
MODULES = frozenset(CORE)


def exported() -> dict[str, str]:
    """The public names of gadkit, each with the module that it comes from."""
    tree = ast.parse((ROOT / "gadkit" / "__init__.py").read_text(encoding="utf-8"))
    eager = {
        alias.asname or alias.name: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("gadkit.")
        for alias in node.names
    }
    return eager | dict(gadkit._LAZY)


EXPORTS = exported()
PUBLIC = frozenset(gadkit.__all__)


def core(source: str, module: str) -> list[str]:
    modules = MODULES | {"gadkit.runs.session", "gadkit.cli.app", "gadkit.config", "gadkit.video"}
    return list(rules.core_violations(source, module, modules, {**EXPORTS, "train": "gadkit.runs.api"}))


def plugin(source: str) -> list[str]:
    return list(rules.plugin_violations(source, "gadkit_plugins.dcgan.nets", PUBLIC))


# The rules catch what they are there for.


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("gadkit.video.read", "import gadkit.runs.session"),
        ("gadkit.video.read", "from gadkit import runs"),
        ("gadkit.video.read", "from gadkit.runs import session"),
        ("gadkit.video.read", "from ..runs import session"),
        ("gadkit.video.read", "def f():\n    from gadkit.config import RunConfig"),
        ("gadkit.video.read", "import gadkit\n\ndef f():\n    gadkit.train()"),
        ("gadkit.video.read", "from gadkit import train"),
        ("gadkit.video.read", "import importlib\nimportlib.import_module('gadkit.runs.session')"),
        ("gadkit.config", "if True:\n    import gadkit.cli.app"),
        ("gadkit.runs.session", "from gadkit.cli import app"),
        ("gadkit.interfaces.loss", "from gadkit.video import read"),
        ("gadkit.errors", "from gadkit import VideoSpec"),
        ("gadkit.interfaces.trainer", "from gadkit.runs.session import Session"),
        ("gadkit.interfaces.loss", "if TYPE_CHECKING:\n    from gadkit.runs.session import Session"),
        ("gadkit.config", "import gadkit_plugins.dcgan"),
        ("gadkit.config", "from gadkit_plugins import dcgan"),
        ("gadkit.config", "from gadkit_plugins.dcgan.nets import Generator"),
        ("gadkit.config", "from gadkit.nowhere import x"),
        ("gadkit.nowhere", ""),
    ],
)
def test_core_rule_catches(module: str, source: str) -> None:
    assert core(source, module)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("gadkit.cli.train", "from gadkit.runs import session\nfrom gadkit import train, __version__\nimport torch"),
        ("gadkit.config", "from gadkit.registry import get_registry\nfrom gadkit import ConfigError"),
        ("gadkit.interfaces.trainer", "if TYPE_CHECKING:\n    from gadkit.runs.session import Session"),
        ("gadkit.video.read", "from . import write\nfrom .write import Writer\nfrom gadkit import DataError"),
        ("gadkit.runs.session", "import gadkit\n\ngadkit.__version__"),
    ],
)
def test_core_rule_lets_pass(module: str, source: str) -> None:
    assert core(source, module) == []


@pytest.mark.parametrize(
    "source",
    [
        "from gadkit_plugins.minimax import losses",
        "from gadkit_plugins import minimax",
        "from ..minimax import losses",
        "from .. import minimax",
        "import gadkit_plugins.minimax.losses",
        "from gadkit.interfaces.generator import Generator",
        "import gadkit.config",
        "from gadkit import config",
        "import gadkit\n\ngadkit.registry",
        "from gadkit.cli import app",
        "from gadkit.video import _private",
        "from gadkit.randomness import _multiply",
        "def f():\n    from gadkit.runs.session import Session",
        "if TYPE_CHECKING:\n    from gadkit.runs.session import Session",
        "Component(name='x', summary='', target='gadkit_plugins.minimax.losses:Hinge')",
        "Component(name='x', summary='', target='gadkit_plugins.dcgan_two:Nets')",
    ],
)
def test_plugin_rule_catches(source: str) -> None:
    assert plugin(source)


def test_plugin_rule_lets_pass() -> None:
    source = (
        "import torch\nimport gadkit\nfrom gadkit import Component, Generator, hookimpl\nfrom . import blocks\n"
        "from .blocks import Block\nfrom gadkit_plugins.dcgan import init\nfrom gadkit.video import read\n"
        "from gadkit.randomness import Key\ngadkit.VideoSpec\n"
        "Component(name='x', summary='', target='gadkit_plugins.dcgan.nets:Generator')\n"
    )
    assert plugin(source) == []


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.load('x')",
        "import torch as t\nt.load('x')",
        "from torch import load\nload('x')",
        "from torch import load as read\nread('x')",
        "import torch\nf = torch.load",
        "from torch import serialization\nserialization.load('x')",
        "import torch\ntorch.jit.load('x')",
        "import pickle",
        "from pickle import loads",
        "def f():\n    import dill as d",
        "eval('1')",
        "exec('x = 1')",
        "run = exec",
        "import builtins\nbuiltins.eval('1')",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import yaml\nyaml.load('x')",
    ],
)
def test_unsafe_rule_catches(source: str) -> None:
    assert list(rules.unsafe(source, "m"))


def test_unsafe_rule_lets_pass() -> None:
    source = (
        "import json\nimport numpy as np\nimport torch\nfrom safetensors.torch import load\nload(b'')\nnet.eval()\n"
        "json.load(file)\ntorch.save\nnp.load('x', allow_pickle=False)\nself.exec()\ntable.load('x')\n"
    )
    assert list(rules.unsafe(source, "m")) == []


def test_cycle_is_found() -> None:
    assert rules.cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert rules.cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


# The house keeps them.


def test_core_imports_run_one_way() -> None:
    assert len(CORE) > 15
    found = [
        line
        for module, (path, is_package) in CORE.items()
        if module != "gadkit"
        for line in rules.core_violations(path.read_text(encoding="utf-8"), module, MODULES, EXPORTS, is_package)
    ]
    assert found == []


def test_facade_imports_only_the_ground_floor() -> None:
    """`gadkit/__init__.py` names modules of every floor but the command line, and imports only the lowest."""
    path, _ = CORE["gadkit"]
    for item in rules.imports(path.read_text(encoding="utf-8"), "gadkit", is_package=True):
        assert not rules.within(item.module, "gadkit.cli")
        if rules.within(item.module, "gadkit") and not item.for_types:
            assert rules.floor(item.module) == len(rules.FLOORS) - 1, item
    for name, module in gadkit._LAZY.items():
        assert module in MODULES, f"{name} is said to live in {module}"
        assert not rules.within(module, "gadkit.cli")


def test_core_has_no_import_cycle() -> None:
    graph = {
        module: {
            rules.home(item, MODULES, EXPORTS)
            for item in rules.imports(path.read_text(encoding="utf-8"), module, is_package)
            if not item.for_types and rules.within(item.module, "gadkit")
        }
        - {"gadkit", module}
        for module, (path, is_package) in CORE.items()
        if module != "gadkit"
    }
    assert rules.cycle(graph) == []


def test_plugins_stand_on_public_names() -> None:
    found = [
        line
        for module, (path, is_package) in PLUGINS.items()
        for line in rules.plugin_violations(path.read_text(encoding="utf-8"), module, PUBLIC, is_package)
    ]
    assert found == []


def test_nothing_loads_what_could_execute() -> None:
    found = [
        line
        for module, (path, _) in {**CORE, **PLUGINS}.items()
        for line in rules.unsafe(path.read_text(encoding="utf-8"), module)
    ]
    assert found == []


# Start-up stays light.


def loaded(code: str) -> list[str]:
    """Which heavy modules a fresh interpreter holds after `code`."""
    program = f"{code}\nimport json, sys\nprint(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    paths = [str(ROOT), str(ROOT / "plugins"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout.splitlines()[-1]))


def test_loaded_sees_a_heavy_import() -> None:
    assert loaded("import numpy") == ["numpy"]


@pytest.mark.parametrize("module", ["gadkit", "gadkit.registry", "gadkit.config", "gadkit.cli.app"])
def test_front_imports_nothing_heavy(module: str) -> None:
    assert loaded(f"import {module}") == []


@pytest.mark.parametrize("module", sorted(name for name in PLUGINS if name.endswith(".plugin")))
def test_plugin_record_imports_nothing_heavy(module: str) -> None:
    assert loaded(f"import {module}") == []


@pytest.mark.parametrize(
    "arguments", [["--help"], ["train", "--help"], ["plugins", "list"], ["plugins", "list", "--json"]], ids=" ".join
)
def test_command_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from gadkit.cli.app import main\n"
        f"sys.argv = ['gadkit', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
    )
    assert loaded(code) == []
