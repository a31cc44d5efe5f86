"""What a name, a distribution, a file, a folder or a class stands for: the components that the kit is to check."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from gadkit.component import KINDS, Component
from gadkit.errors import ConfigError, PluginError, nearest
from gadkit.registry import Registry, check_kind
from gadkit.registry.entry import Entry
from gadkit.registry.installed import GROUP
from gadkit.registry.switches import canonical
from gadkit.tables import parse_toml


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One component under examination.

    Attributes:
        entry: The component.
        registry: Where the parts that it is tried with are looked up.
        settings: What it is built with; for a recipe, keys of a configuration.
        data: Where the data of a dataset lie.
    """

    entry: Entry
    registry: Registry
    settings: Mapping[str, Any]
    data: Path | str | None = None

    @property
    def kind(self) -> str:
        """Its kind."""
        return self.entry.kind

    @property
    def name(self) -> str:
        """Its name in listings: `"acme-gan:sparkle"`, or a class's own name."""
        return self.entry.qualified if self.entry.cls is None else self.entry.cls.__qualname__

    def load(self) -> type[Any]:
        """Its class; raises `PluginError` where there is none to be had."""
        loaded: type[Any] = self.entry.load()
        return loaded


@dataclass(frozen=True, kw_only=True)
class Found:
    """What something stands for.

    Attributes:
        entries: The components.
        broken: Plugins that could not be used: the name of each, with the reason.
    """

    entries: tuple[Entry, ...] = ()
    broken: tuple[tuple[str, str], ...] = ()


def find(what: type[Any] | str | Path, kind: str | None, registry: Registry) -> Found:
    """The components that something stands for.

    Args:
        what: A class, a component's name, a distribution, a plugin file or the folder of a package.
        kind: Only components of this kind; for a class, what it is to be.
        registry: Where components are looked up.

    Raises:
        PluginError: There is nothing of that name, or it is not installed; the sentence says what to do.
    """
    if kind is not None:
        check_kind(kind)
    if isinstance(what, type):
        return Found(entries=(_of_class(what, kind),))
    text = os.fspath(what)
    if isinstance(what, Path) or text.endswith(".py") or os.sep in text or (os.altsep or os.sep) in text:
        found = _of_path(Path(text).expanduser(), registry)
    elif Path(text, "pyproject.toml").is_file() and not _known(text, registry):
        found = _of_path(Path(text), registry)
    else:
        return _of_name(text, kind, registry)
    return _only(found, kind, text)


def _of_class(cls: type[Any], kind: str | None) -> Entry:
    """An entry for a class, whether or not it keeps its interface: that is for the checks to say."""
    own = [kind] if kind is not None else [each.name for each in KINDS.values() if each.interface and _is(cls, each)]
    if not own:
        raise PluginError(
            f"{cls.__module__}.{cls.__qualname__} derives from no interface of gadkit, so its kind is not known: "
            "derive it from gadkit.Generator, gadkit.Loss or another, or say kind=."
        )
    if KINDS[own[0]].form != "class":
        raise PluginError(f"A {own[0]} is no class: check it by its name or its plugin.")
    summary = next(iter((inspect.getdoc(cls) or "").splitlines()), "") or cls.__qualname__
    component = Component(name=cls.__name__, summary=summary, target=f"{cls.__module__}:{cls.__qualname__}")
    return Entry(component=component, kind=own[0], distribution="", cls=cls)


def _is(cls: type[Any], kind: Any) -> bool:
    module, _, attribute = kind.interface.partition(":")
    return issubclass(cls, getattr(importlib.import_module(module), attribute))


def _of_path(path: Path, registry: Registry) -> Found:
    if path.is_dir():
        return _of_folder(path, registry)
    if not path.is_file():
        raise PluginError(f"{path}: there is no such file or folder; give a plugin file or the folder of a package.")
    try:
        return Found(entries=tuple(registry.load_file(path)))
    except PluginError as error:
        return Found(broken=((path.name, str(error).rstrip(".")),))


def _of_folder(folder: Path, registry: Registry) -> Found:
    """The components of the package whose sources lie in a folder, as it is installed here."""
    file = folder / "pyproject.toml"
    try:
        table = parse_toml(file.read_bytes())
    except OSError as error:
        raise PluginError(f"{file}: cannot be read ({error.strerror}); give the folder of a package.") from error
    except ValueError as error:
        raise PluginError(f"{file}: {error}; mend it.") from error
    project = table.get("project", {})
    name, points = project.get("name"), project.get("entry-points", {}).get(GROUP)
    if not isinstance(name, str) or not points or not isinstance(points, dict):
        raise PluginError(
            f'{file}: names no plugin of gadkit; say [project] name = "..." and, under '
            f'[project.entry-points.{GROUP}], sparkle = "package.plugin".'
        )
    install = f"python -m pip install -e {folder}"
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise PluginError(f"{folder}: {name} is not installed here; install it with `{install}`, then check it.") from (
            None
        )
    installed = {point.name: point.value for point in distribution.entry_points if point.group == GROUP}
    if installed != points:
        raise PluginError(f"{file}: its entry points are not those that are installed; repeat `{install}`.")
    for target in points.values():
        place = _place_of(str(target).partition(":")[0])
        if place is not None and not place.is_relative_to(folder.resolve()):
            raise PluginError(
                f"{folder}: {name} is installed from {place}, so what stands in this folder would not be what is "
                f"checked; install it with `{install}`."
            )
    return _of_distribution(name, registry)


def _place_of(module: str) -> Path | None:
    """Where the top package of a module lies; `None` where Python does not find it."""
    spec = importlib.util.find_spec(module.partition(".")[0])
    return None if spec is None or spec.origin is None else Path(spec.origin).resolve()


def _known(name: str, registry: Registry) -> bool:
    """Whether a name is that of a distribution or of a component."""
    return canonical(name) in _distributions(registry) or any(entry.name == name for entry in registry.entries())


def _distributions(registry: Registry) -> set[str]:
    owners = {entry.distribution for entry in registry.entries() if entry.file is None}
    owners |= {failure.distribution for failure in registry.failures}
    return owners | {owner for _, owner in registry.disabled}


def _of_name(name: str, kind: str | None, registry: Registry) -> Found:
    if ":" not in name and canonical(name) in _distributions(registry):
        return _only(_of_distribution(name, registry), kind, name)
    bare = name.rpartition(":")[2]
    kinds = [each for each in KINDS if kind in (None, each)]
    wanted = [each for each in kinds if any(entry.name == bare for entry in registry.entries(each))]
    if wanted:  # a name that means nothing of one kind may be another's: the last one's error is as good as the first's
        found, refused = [], None
        for each in wanted:
            try:
                found.append(registry.find(each, name))
            except PluginError as error:
                refused = error
        if found or refused is None:
            return Found(entries=tuple(found))
        raise refused
    if ":" in name:
        registry.find(kind or "generator", name)  # which says what there is in its place
    known = sorted(
        {entry.name for entry in registry.entries(kind)} | ({*_distributions(registry)} if not kind else set())
    )
    what = f"no {kind}" if kind else "no component, distribution, file or folder"
    raise PluginError(
        f"There is {what} {name!r}.{nearest(name, sorted(known))} `gadkit plugins list` tells what there is."
    )


def _of_distribution(name: str, registry: Registry) -> Found:
    owner = canonical(name)
    entries = tuple(entry for entry in registry.entries() if entry.distribution == owner and entry.file is None)
    broken = tuple(
        (f"{each.distribution}:{each.plugin}", each.reason) for each in registry.failures if each.distribution == owner
    )
    if not entries and not broken:
        disabled = [plugin for plugin, whose in registry.disabled if whose == owner]
        why = f"its plugin {disabled[0]!r} is switched off" if disabled else "it offers no component"
        todo = f"switch it on with `gadkit plugins enable {disabled[0]}`" if disabled else "return some from its hooks"
        raise PluginError(f"{name}: {why}, so there is nothing to check; {todo}.")
    return Found(entries=entries, broken=broken)


def _only(found: Found, kind: str | None, name: str) -> Found:
    if kind is None:
        return found
    entries = tuple(entry for entry in found.entries if entry.kind == kind)
    if not entries and not found.broken:
        there = ", ".join(dict.fromkeys(entry.kind for entry in found.entries)) or "nothing"
        raise PluginError(f"{name}: has no {kind}, it offers {there}; name another kind.")
    return Found(entries=entries, broken=found.broken)


def share_out(settings: Mapping[str, Any], entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """The settings of each component.

    A plain key is a setting of the only component. Where there are several, a key says whose setting it is, by kind or
    by name: `generator.width`, `sparkle.width`.

    Raises:
        ConfigError: Nobody, or nobody in particular, is meant.
    """
    entries = list(entries)
    shares: list[dict[str, Any]] = [{} for _ in entries]
    for key, value in settings.items():
        owned = False
        for entry, share in zip(entries, shares, strict=True):
            for owner in (entry.kind, entry.name, entry.qualified):
                if key.startswith(owner + "."):
                    share[key.removeprefix(owner + ".")] = value
                    owned = True
                    break
        if not owned and len(entries) == 1:
            shares[0][key] = value
        elif not owned:
            owners = dict.fromkeys(f"{entry.kind}.{key}" for entry in entries)
            owners |= dict.fromkeys(f"{entry.name}.{key}" for entry in entries)
            raise ConfigError(
                f"{key}: there are {len(entries)} components, and whose setting this is is not said; write it with a "
                f"kind or a name before it, such as {' or '.join(list(owners)[:3])}."
            )
    return shares
