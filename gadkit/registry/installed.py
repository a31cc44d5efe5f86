"""The installed plugins: found by their entry points and known by their distributions' metadata, none imported."""

from __future__ import annotations

import operator
import re
import traceback as tracebacks
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import gadkit
from gadkit.registry.entry import BUNDLED, one_line
from gadkit.registry.switches import canonical
from gadkit.words import printable

#: The group of entry points that plugins are found by.
GROUP = "gadkit"

_MODULE = re.compile(r"[\w.]+\s*(:\s*[\w.]+\s*)?(\[.*\]\s*)?")
_RELEASE = re.compile(r"\d+(\.\d+)*", re.ASCII)
_CLAUSE = re.compile(r"(>=|<=|<|>)(\d+(?:\.\d+)*)", re.ASCII)
_BOUNDS = {">=": operator.ge, "<=": operator.le, "<": operator.lt, ">": operator.gt}
#: Operators of a version specifier that a newer gadkit may satisfy.
_AT_LEAST = (">", ">=", "~=", "==", "===")


class BrokenPlugin(Exception):
    """A plugin cannot be used; the message is the reason, without a full stop."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A plugin that could not be used. Every text can be shown on a terminal as it is.

    Attributes:
        plugin: The name of its entry point.
        distribution: The distribution that it belongs to, normalised.
        version: The distribution's version.
        reason: Why, in one sentence without a full stop.
        traceback: The whole traceback, for plugin authors.
    """

    plugin: str
    distribution: str
    version: str
    reason: str
    traceback: str

    def __str__(self) -> str:
        return f"plugin {self.plugin!r} of {f'{self.distribution} {self.version}'.strip()} is left out: {self.reason}"

    @classmethod
    def of(cls, error: BaseException, plugin: str, distribution: str, version: str) -> Failure:
        """The failure that `error` stands for."""
        reason = printable(str(error)) if isinstance(error, BrokenPlugin) else one_line(error)
        try:
            traceback = "".join(tracebacks.format_exception(error))
        except Exception:  # an exception may fail to be shown
            traceback = reason
        return cls(
            plugin=plugin,
            distribution=distribution,
            version=version,
            reason=reason.rstrip("."),
            traceback="\n".join(map(printable, traceback.split("\n"))),
        )


@dataclass(frozen=True, kw_only=True)
class Installed:
    """One entry point of one distribution. Its texts can be shown on a terminal as they are.

    Attributes:
        plugin: The name of the entry point.
        distribution: Its distribution, normalised.
        version: The distribution's version; empty where the metadata do not say.
        requires: What its `Requires-Dist` say of gadkit.
        point: The entry point.
    """

    plugin: str
    distribution: str
    version: str
    requires: tuple[str, ...]
    point: metadata.EntryPoint

    @property
    def provider(self) -> str:
        """The distribution with its version."""
        return f"{self.distribution} {self.version}".strip()

    def load(self) -> Any:
        """Imports the plugin, where its distribution says that it is for this gadkit.

        Raises:
            BrokenPlugin: Its distribution asks for another gadkit, or its entry point names no module.
            BaseException: Whatever the import raises.
        """
        if fault := misfit(self.requires, self.distribution):
            raise BrokenPlugin(fault)
        if not _MODULE.fullmatch(self.point.value):
            raise BrokenPlugin(f"its entry point names {self.point.value!r}, expected 'module' or 'module:attribute'")
        return self.point.load()


def misfit(requires: tuple[str, ...], distribution: str) -> str:
    """Why a distribution is not for this gadkit, as the end of a sentence; empty where it is.

    Args:
        requires: Its requirements of gadkit, as PEP 508 has them. Those whose marker does not hold here, and those of
            an extra, ask for nothing. A pre-release of gadkit counts as PEP 440 orders it: 0.4.0rc1 satisfies `>=0.3`,
            and neither `>=0.4` nor `<0.4`.
        distribution: Its name, for the sentence.
    """
    if all(_plainly_met(text) for text in requires):
        return ""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.version import InvalidVersion, Version

    here = gadkit.__version__
    for text in requires:
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            return f"its distribution asks for {text!r}, which is no requirement; tell the author of {distribution}"
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        unmet = [each for each in wanted.specifier if not each.contains(here, prereleases=True)]
        if not unmet:
            continue
        mend = f"upgrade {distribution}, or ask its author for a version for this gadkit"
        for each in unmet:
            try:
                if each.operator in _AT_LEAST and Version(here) <= Version(each.version.removesuffix(".*")):
                    mend = "upgrade gadkit"
            except InvalidVersion:  # `===` compares texts
                continue
        return f"it asks for {BUNDLED}{wanted.specifier} and this is gadkit {here}; {mend}"
    return ""


def _plainly_met(text: str) -> bool:
    """Whether this gadkit meets a requirement such as `gadkit>=0.1,<0.3`, found without `packaging`, which takes longer
    to import than all plugins together. False where that is not plain: then `packaging` knows.
    """
    here = _RELEASE.fullmatch(gadkit.__version__)
    clauses = [_CLAUSE.fullmatch(each) for each in re.sub(r"^gadkit\s*|\s", "", text).split(",")]
    if here is None:
        return False
    return all(each is not None and _BOUNDS[each[1]](_numbers(here[0]), _numbers(each[2])) for each in clauses)


def _numbers(release: str) -> tuple[int, ...]:
    """A release as numbers that compare as PEP 440 has it: 1.0 is 1.0.0."""
    numbers = [int(each) for each in release.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def installed_plugins() -> tuple[list[Installed], list[Failure]]:
    """The installed plugins, gadkit's own first, then by distribution and name; none is imported.

    Where a distribution is installed twice, the one that an import would find counts. One with unreadable metadata does
    not hide the others.
    """
    found: list[Installed] = []
    failures: list[Failure] = []
    seen: set[str] = set()
    for distribution in metadata.distributions():
        name, version = "unknown", ""
        try:
            text = distribution.read_text("entry_points.txt")
            if not text or f"[{GROUP}]" not in text:
                continue
            name, version, requires = _described(distribution)
            if name in seen:
                continue
            seen.add(name)
            points = [point for point in distribution.entry_points if point.group == GROUP]
        except Exception as error:
            if name == "unknown":
                name, version = _named_by_folder(distribution)
            reason = BrokenPlugin(f"its metadata cannot be read: {one_line(error)}")
            failures.append(Failure.of(reason.with_traceback(error.__traceback__), "?", name, version))
            continue
        found += [
            Installed(plugin=printable(point.name), distribution=name, version=version, requires=requires, point=point)
            for point in points
        ]
    return sorted(found, key=lambda each: (each.distribution != BUNDLED, each.distribution, each.plugin)), failures


def _described(distribution: metadata.Distribution) -> tuple[str, str, tuple[str, ...]]:
    """Name, version and requirements of gadkit, from the head of the metadata.

    The standard library parses the whole file, description included, anew for every attribute, which for many
    distributions takes longer than everything else.
    """
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    name, version, requires = "", "", []
    for line in text.split("\n\n", 1)[0].replace("\n ", " ").replace("\n\t", " ").split("\n"):
        key, _, value = line.partition(":")
        key, value = key.lower(), value.strip()
        if key == "name":
            name = name or value
        elif key == "version":
            version = version or value
        elif key == "requires-dist" and re.match(r"gadkit(?![\w.-])", value, re.IGNORECASE):
            requires.append(value)
    return printable(canonical(name)) or "unknown", printable(version), tuple(requires)


def _named_by_folder(distribution: metadata.Distribution) -> tuple[str, str]:
    """Name and version by the folder of the metadata, where the metadata themselves cannot be read."""
    folder = str(getattr(distribution, "_path", "")).replace("\\", "/").rstrip("/").rpartition("/")[2]
    name, _, version = folder.rpartition(".")[0].partition("-")
    return printable(canonical(name)) or "unknown", printable(version)
