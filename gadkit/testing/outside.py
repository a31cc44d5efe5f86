"""What is promised of a plugin as a whole, looked at in a fresh process: cheap to import, and shown by listings."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from gadkit.component import KINDS
from gadkit.registry.entry import Entry
from gadkit.registry.installed import installed_plugins
from gadkit.testing.promises import promise

#: What a plugin's own module has no need for, and what takes a second or more to import.
HEAVY = ("torch", "torchvision", "torchmetrics", "transformers", "accelerate", "tensorflow", "jax")
_PATIENCE = 120.0

_IMPORTING = """
import contextlib, importlib, json, sys
names, heavy = json.loads(sys.argv[1])
found = {}
with contextlib.redirect_stdout(sys.stderr):
    for name in names:
        importlib.import_module(name)
        new = [each for each in heavy if each in sys.modules]
        if new:
            found[name] = new
            break
print(json.dumps(found))
"""
_LOADING = """
import contextlib, importlib, json, sys
told = ""
with contextlib.redirect_stdout(sys.stderr):
    from gadkit.testing.surroundings import surroundings
    for name in json.loads(sys.argv[1]):
        try:
            with surroundings(f"the module {name}, when it is imported,", environment=False):
                with contextlib.suppress(Exception, SystemExit):  # told where the component is loaded
                    importlib.import_module(name)
        except AssertionError as error:
            told = str(error)
            break
print(json.dumps(told))
"""
_SHOWING = """
import contextlib, io, json, sys
from gadkit.cli.app import app, run
found = []
for kind, name in json.loads(sys.argv[1]):
    sys.argv = ["gadkit", "plugins", "show", kind, name, "--json"]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(app)
    try:
        json.loads(out.getvalue())
    except ValueError:
        code = code or "no JSON came"
    if code:
        told = (err.getvalue() or out.getvalue()).strip().splitlines()
        found.append([kind, name, str(code), (told or [""])[-1]])
print(json.dumps(found))
"""

_HELPING = """
import contextlib, io, json, sys
from gadkit.cli.app import app, run
from gadkit.registry import get_registry
file, name = json.loads(sys.argv[1])
if file:
    get_registry().load_file(file)
sys.argv = ["gadkit", name, "--help"]
out, err = io.StringIO(), io.StringIO()
with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    code = run(app)
print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""


def check_help(entry: Entry) -> None:
    """`gadkit NAME --help` works, for a command.

    Raises:
        AssertionError: A broken promise.
    """
    file = "" if entry.file is None else str(entry.file)
    code, out, err = _outside(_HELPING, [file, entry.qualified], f"runs `gadkit {entry.qualified} --help`")
    told = (err.strip().splitlines() or ["nothing was said"])[-1].removeprefix("gadkit: error: ").rstrip(".")
    promise(
        code == 0 and "usage" in out.lower(),
        f"`gadkit {entry.qualified} --help` says how it is used, and ends with exit code 0",
        f"{told} (exit code {code})",
        "let the target be a Typer application, or a function whose parameters Typer can take",
    )


def check_imports(entries: Sequence[Entry]) -> None:
    """The modules that a distribution's entry points name import neither torch nor anything as slow.

    And the modules of its components change nothing, when they are imported, that the whole process shares.

    Args:
        entries: Components of one distribution.

    Raises:
        AssertionError: A broken promise.
    """
    wanted = {(entry.distribution, entry.plugin) for entry in entries}
    modules = [each.point.module for each in installed_plugins()[0] if (each.distribution, each.plugin) in wanted]
    found = _outside(_IMPORTING, [modules, HEAVY], "imports the modules of its entry points")
    for module, imported in found.items():
        promise(
            False,
            "the module that an entry point names imports no torch, for it is imported by every `gadkit --help`",
            f"{module} imports {' and '.join(imported)}",
            "keep the records in a module of their own, and let their targets name the modules with the networks",
        )
    classes = [entry for entry in entries if KINDS[entry.kind].form == "class"]
    targets = dict.fromkeys(entry.component.target.partition(":")[0] for entry in classes)
    told = _outside(_LOADING, list(targets), "imports the modules of its components")
    if told:
        raise AssertionError(told)


def check_shown(entries: Sequence[Entry]) -> None:
    """`gadkit plugins show` works for every component of a distribution that can be loaded here.

    Args:
        entries: Components of one distribution.

    Raises:
        AssertionError: A broken promise.
    """
    names = [[entry.kind, entry.qualified] for entry in entries if not entry.lacking()]
    for kind, name, code, told in _outside(_SHOWING, names, "is shown by `gadkit plugins show`"):
        promise(
            False,
            f"`gadkit plugins show {kind} {name}` describes it",
            f"{told.removeprefix('gadkit: error: ').rstrip('.')} (exit code {code})",
            "mend its record, its target or its docstring",
        )


def _outside(program: str, argument: Any, what: str) -> Any:
    """What a program of Python prints as JSON in a process of its own."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", program, json.dumps(argument)],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        promise(
            False, f"a fresh process {what}", f"it had not ended after {_PATIENCE:g} s", "do nothing slow at import"
        )
        raise
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        told = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        promise(
            False,
            f"a fresh process {what}",
            f"it ended with {done.returncode}: {told.rstrip('.')}",
            "import the module by hand, and mend what it raises",
        )
        raise
