"""Going on with a run: from which checkpoint, and with what changes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gadkit.checkpoints.store import verify
from gadkit.config import RunConfig
from gadkit.data.store import Store
from gadkit.errors import ConfigError, DamagedError, GadkitError, RunError
from gadkit.layers import TRACKER
from gadkit.registry import Registry
from gadkit.runs.attempt import Attempt, attempt_at, was_abandoned
from gadkit.runs.facts import read_facts
from gadkit.runs.folder import CONFIG, ENVIRONMENT, Run, step_of
from gadkit.runs.loading import read_description
from gadkit.runs.reporter import Plan
from gadkit.tables import parse_toml

#: Sections and keys that the tensors of a checkpoint depend on.
_FIXED = ("generator", "assembler", "discriminator", "video.height", "video.width", "video.frames")
_FIXED_USES = ("direction.use", "trainer.use")
#: Sections and keys that change nothing of what is computed, or whose meaning is compared otherwise: the videos by
#: their content, plugin files by their hash.
_SAFE = (
    "format",
    "recipe",
    "device",
    "run",
    "evaluation",
    "plugins",
    "refiner",
    "tracker",
    "clips.resident",
    "trainer.accumulate",
    "data.path",
)
#: What began the run: it has other weights by now.
_UNSAFE = ("run.init_from",)


@dataclass(frozen=True)
class Change:
    """A setting that is another than when the run was begun.

    Attributes:
        key: Its key.
        old: What it was; `None` for nothing.
        new: What it is.
        safe: Whether the run stays the same run.
        why: What depends on it that one would not think of, as a relative clause; may be empty.
    """

    key: str
    old: Any
    new: Any
    safe: bool
    why: str = ""

    def __str__(self) -> str:
        return f"{self.key} {_shown(self.old)} → {_shown(self.new)}"


@dataclass
class GoingOn:
    """How a run goes on.

    Attributes:
        run: The run.
        allowed: Whether it may go on with changes that make another run of it.
        damaged: What is to say of checkpoints that were damaged.
        checkpoint: Where it goes on from; `None` where it has none yet.
        attempt: The try.
        changes: The settings and data that are others.
    """

    run: Run
    allowed: bool
    damaged: list[str]
    checkpoint: Path | None = None
    attempt: Attempt = field(default_factory=Attempt)
    changes: list[Change] = field(default_factory=list)

    def opened(self, registry: Registry, config: RunConfig, store: Store) -> None:
        """Compares the data, which have been opened; raises `ConfigError` where they are others."""
        if self.checkpoint is None:
            return
        found = changes(registry, self.run, config, data=True) + data_changes(self.run, self.checkpoint, store)
        check_changes(self.run, found, allowed=self.allowed)
        self.changes += found

    def tell(self, plan: Plan, environment: Mapping[str, Any]) -> None:
        """Puts into a plan what is worth knowing."""
        place = "its beginning" if self.checkpoint is None else f"step {step_of(self.checkpoint)}"
        plan.facts.append(("going on", f"{self.run.path}, from {place}"))
        for change in self.changes:
            if not change.safe:
                plan.warnings.append(f"{change}: from here on this is another run than the one that was begun.")
            else:
                plan.facts.append(("changed", str(change)))
        plan.warnings += self.damaged
        if self.checkpoint is not None and (found := environment_changes(self.run, environment)):
            plan.warnings.append(f"begun with other versions or devices, so that bits may differ: {', '.join(found)}.")

    def record(self, run: Run) -> None:
        """Notes in the log what makes another run of it."""
        made = [change for change in self.changes if not change.safe]
        if made and self.checkpoint is not None:
            text = f"from here on with {', '.join(map(str, made))}."
            event = {"event": "changed", "text": text}
            if {"step": step_of(self.checkpoint), **event} not in run.read_log():  # which was cut off at once
                run.log(step_of(self.checkpoint), event)


def newest_whole(run: Run, count: int = 1, tell: Callable[[str], None] | None = None) -> list[Path]:
    """The newest checkpoints that are whole, newest first; at most `count`. Damaged ones before them are moved aside.

    Args:
        run: The run.
        count: How many are wanted.
        tell: Called with a sentence about each that is damaged.
    """
    found: list[Path] = []
    damaged: list[tuple[Path, DamagedError]] = []
    for path in reversed(run.checkpoints()):
        try:
            verify(path)
        except DamagedError as error:
            damaged.append((path, error))
            continue
        found.append(path)
        for other, reason in damaged:
            aside = run.set_aside(other)
            if tell is not None:
                tell(f"{reason} It was moved to {aside.name}, and the checkpoint before it is taken.")
        damaged.clear()
        if len(found) == count:
            break
    return found


def choose_checkpoint(run: Run, tell: Callable[[str], None]) -> tuple[Path, Attempt] | None:
    """The checkpoint that a run goes on from, and the try; `None` where it has none yet.

    Checkpoints behind which the run has gone back are deleted, where it was cut off before it could do so.

    Raises:
        RunError: It has checkpoints, and none of them is whole.
    """
    log = run.read_log()
    while there := newest_whole(run, tell=tell):
        (path,) = there
        step = step_of(path)
        saved = read_facts(path).attempt
        if was_abandoned(step, saved, log):
            run.discard(path)
            continue
        return path, attempt_at(step, saved, log)
    for path in reversed(run.checkpoints()):
        try:
            verify(path)
        except DamagedError as error:
            raise RunError(
                f"{run.path}: none of its checkpoints is whole: {error} Bring back a copy of one, or begin a new run "
                f"with --config {run.path / CONFIG} --out FOLDER."
            ) from error
    return None


def changes(registry: Registry, run: Run, config: RunConfig, *, data: bool) -> list[Change]:
    """What is another in a configuration than in the run's own.

    Args:
        registry: Where names are looked up.
        run: The run.
        config: The configuration to go on with.
        data: Whether to look at the section `[data]`, which is complete when the data have been opened, or at all the
            others.

    Raises:
        RunError: The run's own configuration cannot be read.
    """
    path = run.path / CONFIG
    try:
        written = parse_toml(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({error}); restore it, or start a new run.") from error
    try:  # with the settings that were new since it was written
        begun = RunConfig.resolve(registry, file=path, trackers=False)
        own = {TRACKER: written[TRACKER]} if TRACKER in written else {}
        before, spelled = begun.to_dict() | own, begun.spelled_out().to_dict() | own
    except GadkitError:
        before = spelled = written
    now, spelled_now = config.to_dict(), config.spelled_out().to_dict()
    found, stretched = [], []
    for key in _keys(before, now):
        old, new = _value(before, key), _value(now, key)
        if key.startswith("data.") is not data or (key.endswith(".use") and _same_class(old, new)):
            continue
        moved = _value(spelled, key) != _value(spelled_now, key)
        if moved and old == new:  # by another number of steps alone
            stretched.append(key)
        elif moved:
            found.append(Change(key, old, new, safe=_within(key, _SAFE) and key not in _UNSAFE))
    return [_stretching(change, stretched) if change.key == "run.steps" else change for change in found]


def _stretching(change: Change, keys: list[str]) -> Change:
    """Another number of steps in a run where settings change over all of them."""
    if not keys:
        return change
    why = f", over which {' and '.join(keys)} {'changes' if len(keys) == 1 else 'change'} without steps of its own"
    return dataclasses.replace(change, safe=False, why=why)


def check_changes(run: Run, found: list[Change], *, allowed: bool) -> None:
    """Refuses changes that the checkpoints do not fit, and such as make another run where these are not allowed.

    Raises:
        ConfigError: Names the first key, with both values and the reason, and then the others.
    """
    refused = [change for change in found if not change.safe]
    for change in refused:
        others = [str(other) for other in refused if other is not change]
        more = f" (and there are {', '.join(others)})" if others else ""
        begun = f"{change.key}: found {change.new!r}, but {run.path} was trained with {change.old!r}{change.why}{more}"
        if _within(change.key, _FIXED) or change.key in _FIXED_USES:
            raise ConfigError(
                f"{begun} and its checkpoints fit nothing else; leave it away to go on with that run, or start a new "
                f"one with --out, which may begin with its weights: --init-from {run.path}."
            )
        if not allowed:
            raise ConfigError(
                f"{begun}, and with another it would not be that run any more; leave it away, say --allow-changes, or "
                f"start a new one with --out, which may begin with its weights: --init-from {run.path}."
            )


def data_changes(run: Run, checkpoint: Path, store: Store) -> list[Change]:
    """Whether the videos are others than those that a checkpoint was trained with.

    Raises:
        ConfigError: The classes are others, which the nets depend on.
    """
    trained = read_description(checkpoint)[0]["classes"]
    if list(store.classes) != trained:
        raise ConfigError(
            f"data: its classes are {', '.join(store.classes) or 'none'}, but {run.path} was trained with "
            f"{', '.join(trained) or 'none'}; go on with the same classes, or start a new run with --out."
        )
    facts = read_facts(checkpoint)
    if facts.content == store.content and facts.videos == len(store):
        return []
    old, new = (
        f"{count} videos{f' ({content[:8]})' if content else ''}"
        for count, content in ((facts.videos, facts.content), (len(store), store.content))
    )
    return [Change("data", old, new, safe=False)]


def environment_changes(run: Run, now: Mapping[str, Any]) -> list[str]:
    """What is another of what a run was trained on and with, in words: equal bits are promised for equal versions."""
    try:
        before = json.loads((run.path / ENVIRONMENT).read_text(encoding="utf-8"))
        parts = before["components"].items()
        names = ("python", "device", "precision", "processes", "threads")
        pairs = [(name, before[name], now[name]) for name in names]
        pairs += [(name, version, now["libraries"].get(name)) for name, version in before["libraries"].items()]
        components = now["components"]
        pairs += [(f"{kind} {part['use']}", part["version"], components[kind]["version"]) for kind, part in parts]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []
    return [f"{name} {old} → {new}" for name, old, new in pairs if old != new]


def _keys(*documents: Mapping[str, Any]) -> Iterator[str]:
    """The keys of documents: a component's name before its settings."""
    sections = dict.fromkeys(section for document in documents for section in document)
    for section in sections:
        tables = [document[section] for document in documents if section in document]
        if not all(isinstance(table, Mapping) for table in tables):
            yield section
            continue
        names = {name for table in tables for name in table}
        yield from (f"{section}.{name}" for name in sorted(names, key=lambda name: (name != "use", name)))


def _value(document: Mapping[str, Any], key: str) -> Any:
    section, dot, name = key.partition(".")
    return document.get(section, {}).get(name) if dot else document.get(section)


def _within(key: str, keys: tuple[str, ...]) -> bool:
    return key in keys or key.partition(".")[0] in keys


def _same_class(old: Any, new: Any) -> bool:
    """Whether both are a program's own class of one name: the module of a script is another than the same imported."""
    own = all(str(name).startswith("python:") for name in (old, new))
    return own and str(old).rpartition(".")[2] == str(new).rpartition(".")[2]


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value)
