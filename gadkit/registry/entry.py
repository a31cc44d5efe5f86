"""Entries of the registry: a component's record together with where it comes from, and how its code is loaded."""

from __future__ import annotations

import importlib
import inspect
import re
import shlex
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from gadkit.component import API_VERSION, KINDS, OLDEST_API, Component
from gadkit.errors import PluginError
from gadkit.registry.importing import quiet
from gadkit.words import printable

#: The distribution whose names need no prefix.
BUNDLED = "gadkit"

#: Keys of the section [data] that are not its dataset's.
_OWN_KEYS = frozenset({"path", "use", "labels"})

_NAME = re.compile(r"[a-z][a-z0-9_.-]*")
_CLASS_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_FILE_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[\w-]+([./][\w-]+)*\.toml")


def one_line(error: BaseException, limit: int = 300) -> str:
    """`"TypeName: message"` of an exception, printable on one line, at most about `limit` characters."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # its own words may fail, too
        text = ""
    text = printable(f"{type(error).__name__}: {text}" if text else type(error).__name__)
    return text if len(text) <= limit else text[:limit] + "…"


def shown(value: object, limit: int = 200) -> str:
    """The `repr` of what a plugin handed over, on one line, at most about `limit` characters; it may fail, too."""
    try:
        text = printable(repr(value))
    except Exception:
        return f"something of the type {type(value).__name__}"
    return text if len(text) <= limit else text[:limit] + "…"


def record_fault(kind: str, component: Component) -> str:
    """What is wrong with a record, as the end of a sentence; empty where nothing is."""
    for field in ("name", "summary", "target", "source"):
        if not isinstance(getattr(component, field), str):
            return f"a {kind} has {field} = {shown(getattr(component, field))}, which is no string"
    label = f"{kind} {component.name!r}"
    if not _NAME.fullmatch(component.name):
        return f"{label} has a bad name: use lower-case letters, digits, '-', '_' and '.', beginning with a letter"
    if component.name == "none":
        return f"{label} has a bad name: 'none' means that a part is left out"
    if not isinstance(component.api, int) or isinstance(component.api, bool) or component.api < 1:
        return f"{label} has api = {shown(component.api)}, expected a whole number from 1 on"
    if component.api > API_VERSION:
        return (
            f"{label} is written for version {component.api} of the plugin interface and this gadkit has version "
            f"{API_VERSION}; upgrade gadkit"
        )
    if component.api < OLDEST_API:
        return (
            f"{label} is written for version {component.api} of the plugin interface and this gadkit takes versions "
            f"from {OLDEST_API} on; upgrade the plugin"
        )
    if len(component.summary.splitlines()) != 1:
        return f"{label} needs a summary of one line, found {shown(component.summary)}"
    requires = component.requires
    if not isinstance(requires, list | tuple) or not all(isinstance(each, str) for each in requires):
        return f"{label} has requires = {shown(requires)}, expected a tuple such as ('tensorboard>=2.16',)"
    is_file = KINDS[kind].is_file
    pattern, expected = (_FILE_TARGET, "package:file.toml") if is_file else (_CLASS_TARGET, "module:Attribute")
    if not pattern.fullmatch(component.target):
        return f"{label} has the target {shown(component.target)}, expected '{expected}'"
    return ""


def interface_fault(kind: str, cls: object) -> str:
    """Why `cls` is no component of `kind`, as the end of a sentence; empty where it is one. Imports the interface.

    A command is a Typer application or a function.
    """
    if KINDS[kind].form == "command":
        import typer

        fits = isinstance(cls, typer.Typer) or inspect.isfunction(cls)
        return "" if fits else f"is {shown(cls)}, which is neither a Typer application nor a function"
    if not isinstance(cls, type):
        return f"is {shown(cls)}, which is no class"
    module, _, attribute = KINDS[kind].interface.partition(":")
    interface = getattr(importlib.import_module(module), attribute)
    if not issubclass(cls, interface):
        return f"does not implement gadkit.{attribute}; derive it from that class"
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        return f"does not define {' and '.join(missing)}, which gadkit.{attribute} asks for"
    if kind == "dataset" and (taken := _OWN_KEYS & set(inspect.signature(cls).parameters) - {"path"}):
        return f"has a setting {min(taken)!r}, which is a key of the section [data] itself; give it another name"
    return ""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A component and its provenance.

    Attributes:
        component: The plugin's record.
        kind: A key of `gadkit.component.KINDS`.
        distribution: The installed distribution that offers it, in its normalised spelling (`"gadkit"`); the file's
            name for a plugin file; empty for a class that a program passed itself.
        version: The distribution's version; empty where there is none.
        plugin: The name of the entry point; empty where there is none.
        file: The plugin file, absolute, or `None`.
        sha256: Hash of the plugin file's content in hexadecimal; empty where there is no file.
        cls: The class that a program passed itself, or `None`.
    """

    component: Component
    kind: str
    distribution: str
    version: str = ""
    plugin: str = ""
    file: Path | None = None
    sha256: str = ""
    cls: type[Any] | None = None

    @property
    def name(self) -> str:
        """The component's name."""
        return self.component.name

    @property
    def qualified(self) -> str:
        """The name that is never ambiguous: `"gadkit:dcgan"`, `"my.py:sparkle"`, `"python:package.module.Class"`."""
        if self.cls is not None:
            return "python:" + self.component.target.replace(":", ".")
        return f"{self.distribution}:{self.name}"

    @property
    def provider(self) -> str:
        """Who offers it, for people: `"gadkit 0.1.0"`."""
        if self.cls is not None:
            return "this program"
        return f"{self.distribution} {self.version}".strip()

    def lacking(self) -> dict[str, str]:
        """What of `Component.requires` is not there, as it stands there, with what was found in its place."""
        found = {each: found_for(each) for each in self.component.requires}
        return {each: what for each, what in found.items() if what}

    def load(self) -> Any:
        """Imports the component's class and checks that it implements its kind's interface.

        What its import prints goes to standard error.

        Returns:
            The class; of a command its Typer application or function.

        Raises:
            PluginError: The record asks for a newer interface or for a package that is not installed, the import fails,
                or the target is no such class. For a recipe or a protocol, always: it has text, not a class.
        """
        if self.cls is not None:
            return self.cls
        label = f"{self.kind} {self.qualified!r}"
        if KINDS[self.kind].is_file:
            raise PluginError(f"{label} is a file of settings, not a class; read its text.")
        if fault := record_fault(self.kind, self.component):
            raise PluginError(f"{self.provider}: {fault}.")
        if lacking := self.lacking():
            needs = " and ".join(f"{printable(each)} ({what})" for each, what in lacking.items())
            wanted = " ".join(shlex.quote(printable(each)) for each in lacking)
            raise PluginError(f"{label} of {self.provider} needs {needs}: run `gadkit plugins install {wanted}`.")
        module, _, path = self.component.target.partition(":")
        try:
            with quiet():
                found: Any = importlib.import_module(module)
                for attribute in path.split("."):
                    found = getattr(found, attribute)
                fault = interface_fault(self.kind, found)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plugin may raise anything, SystemExit too
            raise PluginError(
                f"{label} of {self.provider} cannot be loaded from {self.component.target!r}: {one_line(error)}; "
                "mend or upgrade that package, or choose another."
            ) from error
        if fault:
            raise PluginError(f"{label} of {self.provider}: {self.component.target!r} {fault}.")
        return found

    def text(self) -> str:
        """The text of a recipe's or protocol's TOML file.

        Raises:
            PluginError: The file is missing, not UTF-8, or its package cannot be imported; or this is a class.
        """
        label = f"{self.kind} {self.qualified!r}"
        if not KINDS[self.kind].is_file:
            raise PluginError(f"{label} is a class, not a file of settings; load it.")
        package, _, name = self.component.target.partition(":")
        try:
            # a plugin file is a module without a package: its files lie beside it
            folder = self.file.parent if self.file is not None else resources.files(package)
            return folder.joinpath(name).read_bytes().decode("utf-8")
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise PluginError(
                f"{label} of {self.provider}: its file {self.component.target!r} cannot be read: {one_line(error)}."
            ) from error


def found_for(text: str) -> str:
    """What is there of a requirement that is not met; empty where it is, or asks for nothing here."""
    from importlib import metadata

    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            return ""
        version = metadata.version(requirement.name)
    except InvalidRequirement:
        return "which is no requirement as PEP 508 has it"
    except metadata.PackageNotFoundError:
        return "not installed"
    return "" if requirement.specifier.contains(version, prereleases=True) else f"found {printable(version)}"
