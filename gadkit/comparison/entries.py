"""What somebody asked to be compared: recipes, files of settings, variants of these, and runs that are there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gadkit.errors import ConfigError, PluginError
from gadkit.registry import Registry
from gadkit.runs.folder import CONFIG

#: What a name may be, for it becomes part of folders' names.
_NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,59}", re.ASCII)
_BRACKETS = {"[": 1, "{": 1, "]": -1, "}": -1}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One entry of a comparison.

    Attributes:
        name: What it is called.
        text: As it was written.
        recipe: The recipe, where it is one.
        file: The file of settings, where it is one.
        run: The run's folder, where it is one.
        sets: Settings of its own, texts `"key=value"`.
    """

    name: str
    text: str
    recipe: str | None = None
    file: Path | None = None
    run: Path | None = None
    sets: tuple[str, ...] = ()


def read_entry(registry: Registry, text: str) -> Asked:
    """An entry from `RECIPE`, `FILE.toml`, `RUN`, `NAME=` before one of these, and `,key=value` behind it.

    Args:
        registry: Where recipes are looked up.
        text: What was written.

    Raises:
        ConfigError: It names nothing that is there, its name cannot be one, or settings have nothing to change.
        PluginError: There is no such recipe.
    """
    head, *changes = split_settings(text)
    name: str | None
    name, equals, source = head.partition("=")
    if not equals or Path(head).exists():
        name, source = None, head
    for change in changes:
        if "=" not in change:
            raise ConfigError(f"{text!r}: found {change!r} behind {head!r}, expected key=value, such as loss=hinge.")
    if not source:
        raise ConfigError(f"{text!r}: found no recipe, expected NAME=RECIPE, such as hinge=gad,loss=hinge.")
    asked = _found(registry, text, source, tuple(changes))
    if changes and asked.run is not None:
        raise ConfigError(
            f"{text!r}: {source} is a run, which is shown as it was trained; leave {changes[0]!r} away, or name its "
            f"configuration, {asked.run / CONFIG}."
        )
    if changes and name is None:
        raise ConfigError(f"{text!r}: a variant needs a name of its own: write NAME={text}.")
    chosen = asked.name if name is None else name
    if not _NAME.fullmatch(chosen):
        raise ConfigError(
            f"{text!r}: found the name {chosen!r}, expected up to 60 letters, digits, '.', '_', '+' and '-'; put a "
            "name before it: NAME=..."
        )
    return Asked(
        name=chosen, text=text, recipe=asked.recipe, file=asked.file, run=asked.run, sets=tuple(map(str.strip, changes))
    )


def _found(registry: Registry, text: str, source: str, changes: tuple[str, ...]) -> Asked:
    """What a source is: a recipe's name before all, then a file, then a folder."""
    path = Path(source)
    if source.endswith(".toml"):
        if not path.is_file():
            raise ConfigError(f"{text!r}: there is no file {source}; name a recipe, a TOML file or a run.")
        own = path.resolve().parent.name if path.name == CONFIG else path.stem
        return Asked(name=own, text=text, file=path)
    if source in registry.names("recipe"):
        return Asked(name=source.replace(":", "-"), text=text, recipe=source)
    if (path / CONFIG).is_file():
        return Asked(name=path.resolve().name, text=text, run=path.resolve())
    if path.exists() or "/" in source:
        raise ConfigError(f"{text!r}: {source} is no run of gadkit; name a recipe, a TOML file or a run's folder.")
    try:
        registry.find("recipe", source)
    except PluginError as error:
        raise PluginError(f"{str(error).rstrip('.')}; `gadkit recipes list` tells what they are.") from error
    return Asked(name=source.replace(":", "-"), text=text, recipe=source)


def split_settings(text: str) -> list[str]:
    """The parts of a text between its commas, those inside brackets and quotation marks left alone."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        else:
            depth += _BRACKETS.get(letter, 0)
        if letter == "," and depth <= 0 and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def check_names(entries: Sequence[Asked]) -> None:
    """Refuses two entries of one name, but for runs, which are then several of one kind.

    Raises:
        ConfigError: Names the second.
    """
    known: dict[str, Asked] = {}
    for entry in entries:
        other = known.setdefault(entry.name.lower(), entry)
        if other is not entry and (other.run is None or entry.run is None or other.name != entry.name):
            raise ConfigError(
                f"{entry.text!r}: found the name {entry.name!r} a second time; put another before it: NAME=..."
            )


def own_settings(sets: Sequence[str], names: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Texts of `--set` parted into those for all entries, `key=value`, and those for one, `NAME:key=value`.

    Raises:
        ConfigError: No entry is called so.
    """
    common: list[str] = []
    own: dict[str, list[str]] = {name: [] for name in names}
    for text in sets:
        key = text.partition("=")[0]
        name, colon, _ = key.rpartition(":")
        if not colon:
            common.append(text)
        elif name in own:
            own[name].append(text[len(name) + 1 :])
        else:
            raise ConfigError(
                f"--set {text!r}: nothing that is trained here is called {name!r}; there is {', '.join(names)}."
            )
    return common, own
