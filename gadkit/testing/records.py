"""Does a component's record say all that a user needs: a line, a class that loads, settings with types and meanings?"""

from __future__ import annotations

import importlib
import inspect
import typing
from collections.abc import Mapping
from typing import Any

from gadkit.component import KINDS
from gadkit.config import plain
from gadkit.errors import ConfigError, GadkitError, PluginError
from gadkit.registry.entry import Entry, interface_fault
from gadkit.signature import Setting, check, settings_of, validate
from gadkit.testing.promises import promise
from gadkit.testing.subjects import Trial

#: Letters of a summary that a listing of 80 columns or so still shows in two lines.
_LONGEST = 160


def check_record(trial: Trial) -> None:
    """Checks a component's record, and what is read from its class without building it.

    Raises:
        AssertionError: A broken promise.
    """
    entry = trial.entry
    summary = entry.component.summary.strip()
    promise(
        bool(summary) and len(summary) <= _LONGEST and summary != entry.name,
        f"{entry.kind} {trial.name} says in one line what it does, for listings",
        f"its summary is {summary[: _LONGEST + 40]!r}, of {len(summary)} letters",
        f"write a few words, at most {_LONGEST} letters",
    )
    form = KINDS[entry.kind].form
    if form == "class":
        check_settings(_loaded(entry, trial.name), trial.settings, entry.kind)
    elif form == "file":
        try:
            entry.text()
        except PluginError as error:
            promise(False, f"the file of {entry.kind} {trial.name} can be read", _short(error), "ship it as data")
    else:
        _loaded(entry, trial.name)


def _loaded(entry: Entry, name: str) -> Any:
    """What a record's target names."""
    try:
        loaded = entry.load()
    except PluginError as error:
        promise(
            False,
            f"the target of {entry.kind} {name}, {entry.component.target!r}, can be imported and is a {entry.kind}",
            _short(error),
            "mend the import, or the record's target",
        )
        raise
    fault = interface_fault(entry.kind, loaded) if entry.cls is not None else ""
    promise(not fault, f"{name} is a {entry.kind}", f"it {fault}", "see the docstring of its interface")
    return loaded


def _short(error: GadkitError) -> str:
    return str(error).rstrip(".")


def check_settings(cls: type[Any], settings: Mapping[str, Any], kind: str) -> None:
    """Checks what a class says of its settings, and that some values are right.

    Each setting has a type and a meaning, and a default that is right by its own type and range; `settings` are right
    too.

    Args:
        cls: The class.
        settings: What it is to be built with.
        kind: What it is, for messages.

    Raises:
        AssertionError: A broken promise.
    """
    name = cls.__name__
    promise(
        bool(inspect.cleandoc(vars(cls).get("__doc__") or "").strip()),
        f"{name} says in its docstring what it does, for `gadkit plugins show`",
        "it has none of its own",
        "write one, with the paper and an `Args:` for its settings",
    )
    try:
        own = settings_of(cls)
    except PluginError as error:
        promise(False, f"{name}'s settings can be read from its signature", _short(error), "import or rename it")
        raise
    _check_arguments(cls, kind)
    for setting in own.values():
        _check_setting(cls, setting)
    required = {setting.name for setting in own.values() if setting.required}
    promise(
        required <= settings.keys(),
        f"{name}'s settings have defaults with which it works",
        f"{' and '.join(sorted(required - settings.keys()))} must be given",
        "give each a default, or hand the check a value",
    )
    try:
        validate(cls, settings, kind)
    except ConfigError as error:
        promise(False, f"{name} takes the settings {dict(settings)}", _short(error), "give others")


def _check_arguments(cls: type[Any], kind: str) -> None:
    """Settings are keyword-only; what is handed over by place is the interface's."""
    module, _, attribute = KINDS[kind].interface.partition(":")
    interface = getattr(importlib.import_module(module), attribute)
    given = _places(interface)
    own = _places(cls)
    extra = own[len(given) :]
    promise(
        not extra or cls.__init__ is interface.__init__,
        f"{cls.__name__} takes its settings as keyword-only arguments, after what every {kind} is handed"
        f"{': ' + ', '.join(given) if given else ', which is nothing'}",
        f"{' and '.join(extra)} can be given by place, so no setting is seen in them",
        "write a `*` before the settings in __init__",
    )
    promise(
        _takes_any(interface) or not _takes_any(cls),
        f"{cls.__name__} names all of its settings, so that they are listed, and one that is misspelt is refused",
        "its __init__ takes any, by `**`",
        "name each setting in the signature, those of the base class too, and hand them on",
    )


def _takes_any(cls: type[Any]) -> bool:
    """Whether `__init__` takes arguments of any name."""
    if cls.__init__ is object.__init__:
        return False
    kinds = {parameter.kind for parameter in inspect.signature(cls.__init__).parameters.values()}
    return inspect.Parameter.VAR_KEYWORD in kinds


def _places(cls: type[Any]) -> list[str]:
    """The names of what is handed over by place."""
    if cls.__init__ is object.__init__:
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    return [parameter.name for parameter in parameters if parameter.kind in kinds]


def _check_setting(cls: type[Any], setting: Setting) -> None:
    name, told = cls.__name__, f"{setting.name!r}"
    promise(
        setting.annotation is not Any and not _is_bare(setting.annotation),
        f"{name}'s setting {told} has a type, by which values are checked",
        "it has none",
        f"annotate it, such as `{setting.name}: int = 3` or with Annotated[int, Field(gt=0)]",
    )
    promise(
        bool(setting.description),
        f"{name}'s setting {told} has a meaning, for `gadkit plugins show`",
        "the docstring's `Args:` does not name it",
        f"add `{setting.name}: What it does.` under `Args:` in the docstring of the class",
    )
    if setting.required:
        return
    try:
        default = None if setting.default is None else plain(setting.default, setting.name)
        check({setting.name: setting}, {setting.name: default}, "", name)
    except ConfigError as error:
        promise(
            False,
            f"the default of {name}'s setting {told} is one of its own values",
            _short(error),
            "change the default, the type or the range; `| None` lets it be nothing",
        )


def _is_bare(annotation: Any) -> bool:
    """Whether a type says nothing: `Any`, or `Annotated[Any, ...]`."""
    return typing.get_origin(annotation) is typing.Annotated and typing.get_args(annotation)[0] is Any
