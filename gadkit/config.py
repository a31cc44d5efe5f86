"""The configuration of a run: complete, validated, and written so that it can be run again."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Literal

import tomli_w

from gadkit import layers
from gadkit.errors import ConfigError, nearest
from gadkit.layers import FORMAT, PARTS, TRACKER, Layer
from gadkit.registry import Registry
from gadkit.registry.entry import BUNDLED, Entry
from gadkit.schedules import Schedule, grafted, schedules_in, separate, spelled_out, value_at
from gadkit.sections import ClipSettings, EvaluationSettings, RunSettings, VideoSettings
from gadkit.signature import check, fields_of, settings_of, validate

Precision = Literal["auto", "fp32", "bf16", "fp16", "fp64"]
_MODELS: dict[str, Any] = {
    "run": RunSettings,
    "evaluation": EvaluationSettings,
    "video": VideoSettings,
    "clips": ClipSettings,
}


class _Scalars:
    """The keys outside every section."""

    def __init__(self, *, seed: int = 0, device: str = "auto", precision: Precision = "auto") -> None:
        """For its signature alone."""


@dataclass(frozen=True)
class Part:
    """One component of a run.

    Attributes:
        entry: Which.
        settings: All of its settings, validated against its signature; those that change, as they are at the start.
        schedules: The settings that change during the run, with a `Schedule` for each number that does.
    """

    entry: Entry
    settings: Mapping[str, Any]
    schedules: Mapping[str, Any] = field(default_factory=dict)

    def at(self, step: int, steps: int) -> dict[str, Any]:
        """All of its settings as they are once `step` steps are made of a run of `steps`."""
        return {**self.settings, **{name: value_at(value, step, steps) for name, value in self.schedules.items()}}


@dataclass(frozen=True)
class DataSection:
    """The section `[data]`.

    Attributes:
        path: Where the videos are; `None` where nobody said.
        use: The dataset's qualified name; `None` while it is to be chosen by a look at the path.
        labels: Where the classes come from: `none`, `own`, `folders` or a file (`gadkit.data.labels`).
        settings: The dataset's settings: complete and validated once `use` is known, as given before.
    """

    path: str | None = None
    use: str | None = None
    labels: str = "none"
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PluginFile:
    """A plugin file that was loaded: its absolute path, and the SHA-256 of its content in hexadecimal."""

    path: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that decides what a run does. Made by `resolve`, and not changed after it.

    Attributes:
        recipe: The recipe that it began with: gadkit's by its bare name, another as `"acme:name"`; or `"none"`.
        seed: Seed of every random draw.
        device: `"auto"`, or a device as PyTorch names it.
        precision: Number format of the nets' arithmetic.
        run: How long it goes on, and what it writes when.
        evaluation: What is measured while it goes on.
        video: The shape of the clips.
        clips: Which clips of the videos.
        data: Where they come from.
        parts: Kind to component, for the kinds that the run uses.
        trackers: The trackers by their names in `config.toml`: gadkit's own bare, others as `"acme:board"`.
        plugins: The plugin files that are loaded.
    """

    recipe: str
    seed: int = 0
    device: str = "auto"
    precision: Precision = "auto"
    run: RunSettings = field(default_factory=RunSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    video: VideoSettings = field(default_factory=VideoSettings)
    clips: ClipSettings = field(default_factory=ClipSettings)
    data: DataSection = field(default_factory=DataSection)
    parts: Mapping[str, Part] = field(default_factory=dict)
    trackers: Mapping[str, Part] = field(default_factory=dict)
    plugins: tuple[PluginFile, ...] = ()

    @classmethod
    def resolve(
        cls,
        registry: Registry,
        *,
        recipe: str | None = None,
        file: Path | None = None,
        flags: Mapping[str, Any] = {},
        sets: Sequence[str] = (),
        trackers: bool = True,
    ) -> RunConfig:
        """Puts a configuration together: defaults, recipe, file, flags, sets, the later winning.

        Where one of them names another component for a kind, the settings that earlier ones gave for that kind are
        dropped. A file that says `format` is the complete configuration of a run and stands without its recipe.

        Args:
            registry: Where names are looked up. Plugin files that `file` needs must be loaded.
            recipe: The recipe's name, `"none"` for no recipe; `None` takes the file's, else `"dcgan"` where somebody
                says where the data are and `"demo"` where nobody does.
            file: A TOML file, such as a run's `config.toml`.
            flags: Dotted keys with typed values, `None` for not given: `{"generator.use": "dcgan", "seed": 1}`. The
                value of a `use` may be an `Entry`; `"none"` leaves the kind out.
            sets: Texts `"key=value"`, the value in TOML or a bare string.
            trackers: Whether to look the trackers up; who only reads a run does without them, and need not have them.

        Raises:
            ConfigError: A key is unknown or a value out of range; the message names the key.
            PluginError: A component is unknown or cannot be loaded.
        """
        above = [layers.from_flags(flags), layers.from_sets(sets)]
        if file is not None:
            above.insert(0, layers.from_file(Path(file)))
            _check_plugin_files(registry, above[0])
        chosen, stack = _with_recipe(registry, recipe, above)
        scalars = check(settings_of(_Scalars), layers.merge_scalars(stack), "", "a configuration")
        sections = {}
        for name, model in _MODELS.items():
            given = layers.merge_section(registry, stack, name)
            sections[name] = model(**check(fields_of(model), given, name, f"the section [{name}]"))
        parts = {}
        for kind in PARTS:
            part = _part(registry, kind, layers.merge_section(registry, stack, kind), sections["run"].steps)
            if part is not None:
                parts[kind] = part
        _check_needs(parts)
        config = cls(
            recipe=chosen,
            **scalars,
            **sections,
            parts=parts,
            trackers=_trackers(registry, stack) if trackers else {},
            plugins=tuple(PluginFile(str(path), sha256) for path, sha256 in registry.files.items()),
        )
        return config._with_section(registry, layers.merge_section(registry, stack, "data"))

    def _with_section(self, registry: Registry, section: dict[str, Any]) -> RunConfig:
        path, use, labels = section.pop("path", None), section.pop("use", None), section.pop("labels", "none")
        if path is not None and not isinstance(path, str):
            raise ConfigError(f"data.path: found {path!r}, expected a path.")
        if not isinstance(labels, str) or not labels:
            raise ConfigError(f"data.labels: found {labels!r}, expected none, own, folders or a file.")
        if path is not None and any("\ud800" <= letter <= "\udfff" for letter in path):
            raise ConfigError(f"data.path: {path!r} is not valid UTF-8, so config.toml cannot hold it: rename it.")
        config = dataclasses.replace(self, data=DataSection(path, None, labels, section))
        return config if use is None else config.with_data(_entry(registry, "dataset", "data", use))

    def with_data(self, entry: Entry, settings: Mapping[str, Any] | None = None) -> RunConfig:
        """A copy with the dataset chosen and its settings completed.

        Args:
            entry: The dataset.
            settings: Its settings; by default those that stand in `data.settings`.

        Raises:
            ConfigError: A setting does not fit the dataset.
        """
        given = self.data.settings if settings is None else settings
        own = settings_of(entry.load())
        for name in given:
            if name not in own and (hint := nearest(name, ("path", "use", "labels", *own))):
                raise ConfigError(f"data.{name} is no setting of dataset {entry.name!r}.{hint}")
        complete = validate(entry.load(), given, "data", f"dataset {entry.name!r}")
        return dataclasses.replace(self, data=dataclasses.replace(self.data, use=entry.qualified, settings=complete))

    def spelled_out(self) -> RunConfig:
        """A copy whose schedules say themselves over which steps they go."""
        parts = {}
        for kind, part in self.parts.items():
            schedules = {name: spelled_out(value, self.run.steps) for name, value in part.schedules.items()}
            parts[kind] = dataclasses.replace(part, schedules=schedules)
        return dataclasses.replace(self, parts=parts)

    def with_path(self, path: Path | str) -> RunConfig:
        """A copy with the data at `path`."""
        return dataclasses.replace(self, data=dataclasses.replace(self.data, path=str(path)))

    def to_dict(self) -> dict[str, Any]:
        """The complete configuration in plain values, as `config.toml` has it; what is `None` is left out."""
        document: dict[str, Any] = {
            "format": FORMAT,
            "recipe": self.recipe,
            "seed": self.seed,
            "device": self.device,
            "precision": self.precision,
            "run": self.run.model_dump(),
            "evaluation": self.evaluation.model_dump(),
            "video": self.video.model_dump(),
            "clips": self.clips.model_dump(),
            "data": {
                "path": self.data.path,
                "use": self.data.use,
                "labels": self.data.labels,
                **self.data.settings,
            },
        }
        for kind in PARTS:
            part = self.parts.get(kind)
            document[kind] = (
                {"use": "none"} if part is None else {"use": part.entry.qualified, **part.settings, **part.schedules}
            )
        if self.trackers:
            document[TRACKER] = {name: dict(tracker.settings) for name, tracker in self.trackers.items()}
        if self.plugins:
            document["plugins"] = [dataclasses.asdict(file) for file in self.plugins]
        written: dict[str, Any] = plain(document, "configuration")
        return written

    def to_toml(self) -> str:
        """The text of `config.toml`: `resolve(file=...)` of it gives an equal configuration."""
        return tomli_w.dumps(self.to_dict())


def _with_recipe(registry: Registry, recipe: str | None, above: list[Layer]) -> tuple[str, list[Layer]]:
    """The recipe's name, and the layers from the lowest on."""
    file = above[0] if above[0].complete else None
    if file is not None:
        own = file.recipe or "none"
        if recipe not in (None, own) and registry.find("recipe", str(recipe)).qualified not in (own, f"gadkit:{own}"):
            raise ConfigError(
                f"recipe: found {recipe!r}, but {file.origin} is complete and would override all of it: "
                "leave one of the two out."
            )
        return own, above
    named = recipe or next((layer.recipe for layer in above if layer.recipe), None)
    if named is None:
        named = "dcgan" if any("path" in layer.sections.get("data", {}) for layer in above) else "demo"
    if named == "none":
        return named, above
    chosen, layer = layers.from_recipe(registry, named)
    return chosen, [layer, *above]


def _entry(registry: Registry, kind: str, section: str, use: Any) -> Entry:
    if isinstance(use, Entry) and use.kind == kind:
        return use
    if not isinstance(use, str) or not use:
        found = f"the {use.kind} {use.name!r}" if isinstance(use, Entry) else repr(use)
        raise ConfigError(f"{section}.use: found {found}, expected the name of a {kind}.")
    return registry.find(kind, use)


def _part(registry: Registry, kind: str, section: dict[str, Any], steps: int) -> Part | None:
    use = section.pop("use", None)
    if use is None or use == "none":
        if section:
            key = next(iter(section))
            found = "no component is chosen" if use is None else f"{kind}.use is 'none'"
            raise ConfigError(f"{kind}.{key} is set, but {found}: name one with {kind}.use, or leave it out.")
        return None
    entry = _entry(registry, kind, kind, use)
    cls, label = entry.load(), f"{kind} {entry.name!r}"
    split = separate(settings_of(cls), section, kind)
    settings = validate(cls, split.starts, kind, label)
    if not split.schedules:
        return Part(entry, settings)
    try:
        validate(cls, split.ends, kind, label)
    except ConfigError as error:
        raise ConfigError(f"At the end of its schedule, {error}") from error
    if kind == "refiner":
        raise ConfigError(
            f"{kind}.{next(iter(split.schedules))} cannot change during a run, which no {kind} takes part in; give a "
            "number."
        )
    schedules = {name: grafted(tree, settings[name]) for name, tree in split.schedules.items()}
    for name, value in schedules.items():
        for key, schedule in schedules_in(value, f"{kind}.{name}").items():
            if schedule.steps is None and schedule.after >= steps:
                raise ConfigError(
                    f"{key}: its schedule begins after {schedule.after} steps, and the run has {steps} (run.steps); "
                    "let it begin earlier, or give it steps of its own."
                )
    return Part(entry, settings, schedules)


def _trackers(registry: Registry, stack: Sequence[Layer]) -> dict[str, Part]:
    found: dict[str, Part] = {}
    for use, given in layers.merge_trackers(registry, stack):
        entry = _entry(registry, TRACKER, TRACKER, use)
        name = entry.name if entry.qualified == f"{BUNDLED}:{entry.name}" else entry.qualified
        found[name] = Part(entry, validate(entry.load(), given, f"{TRACKER}.{name}", f"tracker {name!r}"))
    return found


def _check_needs(parts: Mapping[str, Part]) -> None:
    trainer = parts.get("trainer")
    if trainer is None:
        raise ConfigError("trainer.use: found none, expected the name of a trainer; name one, or a recipe that does.")
    for kind in getattr(trainer.entry.load(), "needs", ()):
        if kind in PARTS and kind not in parts:
            raise ConfigError(
                f"{kind}.use: found none, but trainer {trainer.entry.name!r} needs a {kind}: name one, "
                "or choose a recipe that does."
            )


def _check_plugin_files(registry: Registry, layer: Layer) -> None:
    loaded = {path.name: sha256 for path, sha256 in registry.files.items()}
    for path, sha256 in layer.plugins:
        name = PurePath(path).name
        if name not in loaded:
            raise ConfigError(f"{layer.origin} needs the plugin file {path!r}: pass it with --plugin {path}.")
        if sha256 and loaded[name] != sha256:
            raise ConfigError(
                f"{layer.origin} needs the plugin file {name!r} with SHA-256 {sha256}, found {loaded[name]}: "
                "it changed; restore it, or take the line sha256 out to go on with what it is now."
            )


def plain(value: Any, key: str) -> Any:
    """`value` as TOML can hold it."""
    if isinstance(value, Mapping):
        return {name: plain(part, f"{key}.{name}") for name, part in value.items() if part is not None}
    if isinstance(value, list | tuple | set | frozenset):
        if any(part is None for part in value):
            raise ConfigError(f"{key}: a list with nothing in a place cannot be written to TOML.")
        return [plain(part, key) for part in value]
    if isinstance(value, Schedule):
        return value.to_dict()
    if isinstance(value, enum.Enum):
        return plain(value.value, key)
    return str(value) if isinstance(value, PurePath) else value
