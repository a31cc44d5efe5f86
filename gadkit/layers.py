"""Where a run's settings come from: recipes, files, flags and `--set`, each read into one layer of the same shape."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gadkit.errors import ConfigError, GadkitError, nearest
from gadkit.registry import Registry
from gadkit.registry.entry import Entry
from gadkit.tables import LONGEST, parse_toml

#: The kinds that a run is made of, in the order of `config.toml`.
PARTS = (
    "generator",
    "assembler",
    "discriminator",
    "loss",
    "penalty",
    "augmentation",
    "direction",
    "refiner",
    "trainer",
)
SCALARS = ("seed", "device", "precision")
#: The section with a table for each tracker.
TRACKER = "tracker"
SECTIONS = ("run", "evaluation", "video", "clips", "data", *PARTS, TRACKER)
#: The version of the format of a complete configuration.
FORMAT = 1
# A number as people type it, which TOML refuses.
_BARE_POINT = re.compile(r"[+-]?(?:\.[0-9]+|[0-9]+\.)(?:[eE][+-]?[0-9]+)?")


@dataclass(frozen=True, kw_only=True)
class Layer:
    """The settings of one source.

    Attributes:
        origin: Where they come from, for messages.
        scalars: The keys outside every section.
        sections: Section to key to value; a component's name stands under `use`, as text or as an `Entry`. Under
            `tracker` stands the list of trackers, where the source chooses them, and a table of settings for each.
        recipe: The recipe that the source names, or `None`.
        complete: Whether it is a run's whole configuration, which stands on its own.
        plugins: The plugin files that it needs: path, and SHA-256 or an empty string.
    """

    origin: str
    scalars: Mapping[str, Any] = field(default_factory=dict)
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    recipe: str | None = None
    complete: bool = False
    plugins: tuple[tuple[str, str], ...] = ()


def from_tree(origin: str, tree: Mapping[str, Any], *, file: bool = False) -> Layer:
    """A layer from nested tables as TOML has them; `generator = "dcgan"` is short for `generator.use = "dcgan"`.

    Args:
        origin: For messages, such as `"file run.toml"`.
        tree: The tables.
        file: Whether the keys that only a file has are allowed: `format`, `recipe` and `plugins`.

    Raises:
        ConfigError: A key is unknown, or a section is no table.
    """
    own = ("format", "recipe", "plugins") if file else ()
    known = (*own, *SCALARS, *SECTIONS)
    sections: dict[str, dict[str, Any]] = {}
    for key, value in tree.items():
        if key not in known:
            hint = " Did you mean 'data'?" if key == "dataset" else nearest(key, known)
            raise ConfigError(f"{origin}: {key} is no key of a configuration.{hint} It has: {', '.join(known)}.")
        if key == TRACKER:
            sections[key] = _tracker_section(origin, value)
        elif key in PARTS and isinstance(value, str | Entry):
            sections[key] = {"use": value}
        elif key in SECTIONS:
            if not isinstance(value, Mapping):
                raise ConfigError(f"{origin}: {key}: found {value!r}, expected a section, such as [{key}].")
            sections[key] = dict(value)
    recipe = tree.get("recipe") if file else None
    if recipe is not None and (not isinstance(recipe, str) or not recipe):
        raise ConfigError(f"{origin}: recipe: found {recipe!r}, expected the name of a recipe.")
    if file and tree.get("format", FORMAT) != FORMAT:
        raise ConfigError(
            f"{origin}: format: found {tree['format']!r}, expected {FORMAT}; upgrade gadkit, or write the file anew."
        )
    return Layer(
        origin=origin,
        scalars={key: tree[key] for key in SCALARS if key in tree},
        sections=sections,
        recipe=recipe,
        complete=file and "format" in tree,
        plugins=_plugin_files(origin, tree.get("plugins", ())) if file else (),
    )


def _tracker_section(origin: str, value: Any) -> dict[str, Any]:
    """The trackers that a source chooses, as a list under `use`, and their tables."""
    section = dict(value) if isinstance(value, Mapping) else {"use": value}
    for name, table in section.items():
        if name != "use" and not isinstance(table, Mapping):
            raise ConfigError(
                f"{origin}: {TRACKER}.{name}: found {table!r}, expected a table of settings, such as [{TRACKER}.csv]."
            )
    if "use" in section:
        uses = section["use"]
        uses = list(uses) if isinstance(uses, list | tuple) else [uses]
        for use in uses:
            if not isinstance(use, str | Entry) or not use or (use == "none" and len(uses) > 1):
                raise ConfigError(
                    f"{origin}: {TRACKER}: found {use!r}, expected names of trackers, such as csv, or none alone."
                )
        section["use"] = [use for use in uses if use != "none"]
    return section


def _plugin_files(origin: str, tables: Any) -> tuple[tuple[str, str], ...]:
    found = []
    for table in tables if isinstance(tables, list | tuple) else [tables]:
        fits = isinstance(table, Mapping) and {"path"} <= set(table) <= {"path", "sha256"}
        if not fits or not all(isinstance(value, str) for value in table.values()):
            raise ConfigError(f"{origin}: plugins: found {table!r}, expected tables [[plugins]] with path and sha256.")
        found.append((table["path"], table.get("sha256", "")))
    return tuple(found)


def from_text(origin: str, text: bytes, *, file: bool = False) -> Layer:
    """A layer from TOML text; raises `ConfigError` with the line where it is none."""
    try:
        tree = parse_toml(text)
    except ValueError as error:
        raise ConfigError(f"{origin} {error}.") from error
    if isinstance(tables := tree.get(TRACKER), Mapping) and "use" not in tables:
        tree[TRACKER] = {"use": list(tables), **tables}  # a table in a file names its tracker
    return from_tree(origin, tree, file=file)


def from_file(path: Path) -> Layer:
    """A layer from a TOML file; raises `ConfigError` that names the file, and the line where it is at fault."""
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST + 1)
    except OSError as error:
        raise ConfigError(f"Configuration file {str(path)!r} cannot be read: {error.strerror or error}.") from error
    return from_text(f"Configuration file {str(path)!r}", content, file=True)


def from_recipe(registry: Registry, name: str) -> tuple[str, Layer]:
    """A recipe's own name, qualified where it is not gadkit's, and its layer."""
    entry = registry.find("recipe", name)
    own = entry.name if entry.qualified == f"gadkit:{entry.name}" else entry.qualified
    return own, from_text(f"Recipe {own!r}", entry.text().encode())


def from_flags(flags: Mapping[str, Any]) -> Layer:
    """A layer from dotted keys with typed values; `None` means not given."""
    tree: dict[str, Any] = {}
    for key, value in flags.items():
        if value is not None:
            _put(tree, "Command line", key, str(value) if isinstance(value, Path) else value)
    return from_tree("Command line", tree)


def from_sets(sets: Sequence[str]) -> Layer:
    """A layer from `key=value` texts, each value a TOML value or else a bare string; raises `ConfigError`."""
    tree: dict[str, Any] = {}
    for text in sets:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {text!r}: expected key=value, such as generator.width=128.")
        _put(tree, f"--set {text!r}", key.strip(), toml_value(value.strip()))
    return from_tree("--set", tree)


def toml_value(text: str) -> Any:
    """The TOML value that `text` spells, or `text` itself; numbers may begin or end with their point, as `.5`."""
    if _BARE_POINT.fullmatch(text):
        return float(text)
    try:
        tree = parse_toml(f"value = {text}".encode("utf-8", "surrogateescape"))
    except ValueError:
        return text
    return tree["value"] if set(tree) == {"value"} else text  # a line break could smuggle in more keys


def _put(tree: dict[str, Any], origin: str, key: str, value: Any) -> None:
    section, dot, name = key.partition(".")
    if section == TRACKER and "." in name:
        _put_tracker(tree, origin, name, value)
    elif not dot:
        if section in (*PARTS, TRACKER) and not isinstance(value, Mapping):
            tree.setdefault(section, {})["use"] = value
        else:
            tree[section] = value
    elif not section or not name or "." in name:
        raise ConfigError(f"{origin}: {key!r} is no key; expected a key such as seed or generator.width.")
    else:
        table = tree.setdefault(section, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{origin}: {section} is set as a whole and {key} beside it; give one of the two.")
        table[name] = value


def _put_tracker(tree: dict[str, Any], origin: str, key: str, value: Any) -> None:
    """A setting of a tracker, such as `wandb.project`; a tracker's name may have dots, a setting's has none."""
    name, _, setting = key.rpartition(".")
    name = name.strip().strip("\"'")
    trackers = tree.setdefault(TRACKER, {})
    table = trackers.setdefault(name, {}) if isinstance(trackers, dict) else None
    if not isinstance(table, dict) or not name or not setting.isidentifier():
        raise ConfigError(f"{origin}: {TRACKER}.{key} is no key of a tracker; expected one such as tracker.csv.file.")
    table[setting] = value


def merge_scalars(layers: Sequence[Layer]) -> dict[str, Any]:
    """The scalar keys, later layers winning."""
    return {key: value for layer in layers for key, value in layer.scalars.items()}


def merge_section(registry: Registry, layers: Sequence[Layer], section: str) -> dict[str, Any]:
    """A section's keys, later layers winning; where a layer names another component, settings below it are dropped.

    In `data`, a layer that names another path leaves the choice of the dataset open again.
    """
    kind = "dataset" if section == "data" else section
    merged: dict[str, Any] = {}
    for layer in layers:
        table = dict(layer.sections.get(section, {}))
        if section == "data" and "path" in table and "use" not in table and table["path"] != merged.get("path"):
            merged.pop("use", None)
        if (
            "use" in table
            and "use" in merged
            and _spelled(registry, kind, merged["use"]) != _spelled(registry, kind, table["use"])
        ):
            merged = {key: value for key, value in merged.items() if section == "data" and key in ("path", "labels")}
        merged |= table
    return merged


def merge_trackers(registry: Registry, layers: Sequence[Layer]) -> list[tuple[str | Entry, dict[str, Any]]]:
    """The trackers that are chosen, each with the settings that were given for it.

    A layer that chooses trackers replaces the choice of those below it; of trackers that stay, the settings stay.

    Raises:
        ConfigError: A setting is given for a tracker that is not chosen.
        PluginError: It is given for one that there is not.
    """
    chosen: dict[str, tuple[str | Entry, dict[str, Any]]] = {}
    for layer in layers:
        tables = dict(layer.sections.get(TRACKER, {}))
        uses = tables.pop("use", None)
        if uses is not None:
            below, chosen = chosen, {}
            for use in uses:
                spelled = str(_spelled(registry, TRACKER, use))
                chosen[spelled] = (use, dict(below[spelled][1]) if spelled in below else {})
        for name, table in tables.items():
            spelled = str(_spelled(registry, TRACKER, name))
            if spelled not in chosen:  # a program's own class is known by its bare name too
                own = [each for each, (use, _) in chosen.items() if isinstance(use, Entry) and use.name == name]
                if not own:
                    registry.find(TRACKER, name)
                    raise ConfigError(
                        f"{layer.origin}: {TRACKER}.{name}{''.join(f'.{key}' for key in list(table)[:1])} is set, but "
                        f"that tracker is not chosen: add --tracker {name}, or leave it out."
                    )
                (spelled, *_) = own
            chosen[spelled][1].update(table)
    return list(chosen.values())


def _spelled(registry: Registry, kind: str, use: Any) -> Any:
    """One spelling of a component's name; a name that cannot be found may yet be overridden, so it is no error here."""
    if isinstance(use, Entry):
        return use.qualified
    try:
        return registry.find(kind, use).qualified
    except (GadkitError, AttributeError, TypeError):
        return use
