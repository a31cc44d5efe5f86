"""What a planted fault is: a component that breaks one promise, and what the conformance kit has to say of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from plugins_fixtures import write_package

C = TypeVar("C", bound=type)


@dataclass(frozen=True)
class Plugin:
    """A plugin of its own, for what is no class.

    Attributes:
        name: Of its module.
        module: The text of that; `NAME` in it stands for the name.
        beside: Other files' texts, by their names.
        installed: Whether it is an installed distribution, of the module's name, or a plugin file.
    """

    name: str
    module: str
    beside: dict[str, str] = field(default_factory=dict)
    installed: bool = False

    def write(self, folder: Path) -> Path | str:
        """Writes it into a folder; what the kit is to be told: a path or a distribution."""
        text = self.module.replace("NAME", self.name)
        for name, beside in self.beside.items():
            (folder / name).write_text(beside, encoding="utf-8")
        if self.installed:
            write_package(folder, self.name, text)
            return self.name
        path = folder / f"{self.name}.py"
        path.write_text(text, encoding="utf-8")
        return path


@dataclass(frozen=True)
class Fault:
    """A row of the table.

    Attributes:
        kind: Of component.
        fault: What is wrong, in a few words.
        faulty: The component: a class, or a plugin.
        sound: The one that it is derived from, which keeps every promise.
        aspect: Which part of the kit is to find it.
        promised: Words of the promise that is broken.
        mend: Words of the advice that mends this fault.
        settings: What both are built with.
        data: Where a dataset's data lie.
        patches: The kit's own limits that are other ones here, such as its patience, by their dotted names.
    """

    kind: str
    fault: str
    faulty: type[Any] | Plugin
    sound: type[Any] | Plugin
    aspect: str
    promised: str
    mend: str
    settings: dict[str, Any]
    data: Path | None = None
    patches: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind}: {self.fault}"


#: Every planted fault.
FAULTS: list[Fault] = []


def planter(kind: str, data: Path | None = None) -> Callable[..., Callable[[C], C]]:
    """Gives the decorator that enters a faulty component of a kind into the table."""

    def plant(
        fault: str,
        promised: str,
        mend: str,
        *,
        aspect: str = "contract",
        sound: type[Any] | None = None,
        patches: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Callable[[C], C]:
        def enter(cls: C) -> C:
            base = sound or cls.__bases__[0]
            FAULTS.append(Fault(kind, fault, cls, base, aspect, promised, mend, settings, data, patches or {}))
            return cls

        return enter

    return plant
