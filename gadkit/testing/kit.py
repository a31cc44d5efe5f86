"""The conformance kit: every promise of a component, or of a whole package, as a list of checks.

```python
import pytest
from gadkit.testing import conformance

@pytest.mark.parametrize("check", conformance("gadkit-sparkle"), ids=str)
def test_conformance(check):
    check()
```

The list is made without importing a network, and one component that cannot be loaded costs its own checks alone.
"""

from __future__ import annotations

import importlib
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import SkipTest

from gadkit.errors import UnavailableError
from gadkit.registry import get_registry
from gadkit.registry.entry import one_line
from gadkit.testing.outside import check_imports, check_shown
from gadkit.testing.subjects import Trial, find, share_out

#: Aspect to the function that checks it, `"module:function"`: called with a `Trial`.
_RUN = {
    "record": "gadkit.testing.records:check_record",
    "contract": "gadkit.testing.contracts:check_contract",
    "gradients": "gadkit.testing.slopes:check_slopes",
    "devices": "gadkit.testing.placement:check_placement",
    "training": "gadkit.testing.training:check_training",
    "sampling": "gadkit.testing.sampled:check_sampling",
    "measuring": "gadkit.testing.sampled:check_measuring",
}
#: The aspects of each kind, beside `record` and `contract`, which all have.
_ASPECTS: dict[str, tuple[str, ...]] = {
    "generator": ("devices", "training"),
    "assembler": ("devices", "training"),
    "discriminator": ("devices", "training"),
    "loss": ("gradients", "devices", "training"),
    "penalty": ("devices", "training"),
    "augmentation": ("devices", "training"),
    "direction": ("gradients", "devices", "training"),
    "refiner": ("devices", "sampling"),
    "trainer": ("training",),
    "dataset": ("training",),
    "features": ("devices", "measuring"),
    "metric": ("measuring",),
    "protocol": (),
    "recipe": ("training",),
    "tracker": ("training",),
    "command": (),
}
_BROKEN = re.compile(r"Promised: (.*?)\. Found: (.*)\. To mend it: (.*)\.", re.DOTALL)


class Broken(AssertionError):
    """A promise that was not kept.

    Attributes:
        promised: What was promised.
        found: What happened.
        mend: What to do.
    """

    def __init__(self, promised: str, found: str, mend: str) -> None:
        super().__init__(f"Promised: {promised}. Found: {found}. To mend it: {mend}.")
        self.promised, self.found, self.mend = promised, found, mend


@dataclass(frozen=True)
class Check:
    """One promise, or a few that belong together. Calling it checks them.

    Raises `Broken`, an `AssertionError` that says what was promised, what was found and how to mend it, or
    `unittest.SkipTest` with the reason where it cannot be tried here; pytest shows both as what they are.

    Attributes:
        kind: Of the component; `plugin` for what is promised of a plugin as a whole.
        name: Of the component, such as `acme-gan:sparkle`.
        aspect: What is checked: `record`, `contract`, `gradients`, `devices`, `training`, ...
    """

    kind: str
    name: str
    aspect: str
    run: Callable[[], None] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.aspect}"

    def __call__(self) -> None:
        __tracebackhide__ = True  # what pytest shows is the promise, not the kit's own lines
        try:
            self.run()
        except (SkipTest, Broken):
            raise
        except UnavailableError as error:
            raise SkipTest(str(error)) from error
        except AssertionError as error:
            told = _BROKEN.fullmatch(str(error))
            if told is not None:
                raise Broken(*told.groups()) from error
            raise _raised(self, error) from error
        except (Exception, SystemExit) as error:
            raise _raised(self, error) from error


def _raised(check: Check, error: BaseException) -> Broken:
    """What an exception that nobody expected stands for, with the last line of somebody else's code that led to it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [each for each in frames if not {"torch", "testing"} & set(Path(each.filename).parts)] or frames
    place = f"{Path(own[-1].filename).name}, line {own[-1].lineno}"
    return Broken(
        f"{check.kind} {check.name} goes through its {check.aspect} without an exception",
        f"{one_line(error).rstrip('.')} (in {place})",
        "look at the traceback: pytest shows it, and `gadkit --verbose plugins check` does",
    )


def conformance(
    what: type[Any] | str | Path, *, kind: str | None = None, data: str | Path | None = None, **settings: Any
) -> list[Check]:
    """Everything that is promised of a component, or of all components of a package, as checks to call.

    Args:
        what: A class; a component's name (`"sparkle"`, `"acme-gan:sparkle"`); an installed distribution
            (`"gadkit-sparkle"`); the path of a plugin file; or the folder of a package with its `pyproject.toml`.
        kind: Only components of this kind; for a class that derives from no interface, what it is to be.
        data: What datasets are tried on: a file, a folder, or whatever they take.
        **settings: What components are built with, small ones where the defaults are slow: `width=8`. Where `what`
            has several components, a key says whose setting it is: `**{"generator.width": 8}`, or by its name.
            For a recipe, keys of a configuration.

    Returns:
        Checks whose text names the component and the aspect: `"generator acme-gan:sparkle: contract"`.

    Raises:
        PluginError: There is nothing of that name here, or it is not installed; the sentence says what to do.
        ConfigError: It is not said whose setting is meant.
    """
    registry = get_registry()
    found = find(what, kind, registry)
    checks = [Check("plugin", name, "loads", _failing(name, reason)) for name, reason in found.broken]
    installed = [entry for entry in found.entries if entry.cls is None and entry.file is None]
    for distribution in dict.fromkeys(entry.distribution for entry in installed):
        own = tuple(entry for entry in installed if entry.distribution == distribution)
        checks.append(Check("plugin", distribution, "imports", lambda own=own: check_imports(own)))  # type: ignore[misc]
        checks.append(Check("plugin", distribution, "shown", lambda own=own: check_shown(own)))  # type: ignore[misc]
    for entry, share in zip(found.entries, share_out(settings, found.entries), strict=True):
        trial = Trial(entry=entry, registry=registry, settings=share, data=data)
        for aspect in ("record", "contract", *_ASPECTS[entry.kind]):
            checks.append(Check(entry.kind, trial.name, aspect, _running(aspect, trial)))
    return checks


def _failing(name: str, reason: str) -> Callable[[], None]:
    def run() -> None:
        raise Broken(
            f"plugin {name} can be imported and hands over its records",
            reason,
            "mend it until `gadkit plugins list` shows its components",
        )

    return run


def _running(aspect: str, trial: Trial) -> Callable[[], None]:
    module, _, name = _RUN[aspect].partition(":")

    def run() -> None:
        if lacking := trial.entry.lacking():
            raise SkipTest(f"{trial.kind} {trial.name} needs {' and '.join(lacking)}, which is not installed here")
        getattr(importlib.import_module(module), name)(trial)

    return run
