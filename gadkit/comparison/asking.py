"""From what somebody asked for to a plan: all is resolved, and held against the nets, before any of it begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from gadkit.comparison.budget import Budget
from gadkit.comparison.entries import Asked, check_names, own_settings, read_entry
from gadkit.comparison.facts import sketched
from gadkit.comparison.looks import choose_measuring
from gadkit.comparison.plan import Contender, Plan
from gadkit.config import RunConfig
from gadkit.engine.devices import resolve_device, resolve_precision
from gadkit.errors import ConfigError, GadkitError, RunError
from gadkit.evaluation.manifest import software
from gadkit.evaluation.subjects import shown
from gadkit.interfaces.dataset import ENDLESS, Source, locate
from gadkit.interfaces.spec import VideoSpec
from gadkit.layers import PARTS, TRACKER
from gadkit.registry import Registry
from gadkit.runs.folder import CONFIG, Run
from gadkit.runs.opening import choose
from gadkit.runs.plan import check_fit, check_nets, check_rules

#: What the comparison itself decides, and the flag that does.
_DECIDED = {
    "seed": "--seeds",
    "device": "--device",
    "run.steps": "--steps",
    "run.max_time": "--minutes",
    "data.path": "--data",
    "clips.held_out": "--held-out",
    "video.width": "--resolution",
    "video.height": "--resolution",
    "video.frames": "--frames",
}
#: What one contender may have otherwise than the others.
_OWN = (*PARTS, TRACKER, "run", "evaluation", "precision")

#: What may be another each time that a plan is gone on with.
_ANEW = ("entries", "device", "plugins")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked for; see `gadkit.compare`."""

    entries: Sequence[str]
    data: str | None = None
    seeds: Sequence[int] = (0, 1, 2)
    budget: Mapping[str, Any] | None = None
    resolution: tuple[int, int] | None = None
    frames: int | None = None
    sets: Sequence[str] = ()
    held_out: float = 0.2
    against: Sequence[str] = ()
    protocol: str | None = None
    metrics: Sequence[str] | None = None
    features: Sequence[str] | None = None
    clips: int | None = None
    curve: int = 5
    videos: int = 9
    device: str = "auto"
    precision: str | None = None
    plugins: Sequence[str] = ()

    @classmethod
    def of(cls, entries: Sequence[str], **asked: Any) -> Request:
        """A request in the words of `gadkit.compare`."""
        budget = {name: asked.pop(name, None) for name in ("minutes", "steps", "samples")}
        seeds, side, data = asked.pop("seeds", 3), asked.pop("resolution", None), asked.pop("data", None)
        return cls(
            entries=entries,
            data=None if data is None else str(data),
            seeds=tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds),
            budget=budget,
            resolution=(side, side) if isinstance(side, int) else side,
            sets=tuple(asked.pop("set", ())),
            against=tuple(map(str, asked.pop("against", ()))),
            plugins=tuple(map(str, asked.pop("plugins", ()))),
            **asked,
        )


def check_unasked(asked: Request) -> None:
    """Refuses a request that names nothing to compare, and so means the plan of a folder, but says how to compare it.

    Raises:
        ConfigError: Names what it says.
    """
    usual = Request.of(())
    flags = {"sets": "set", "metrics": "metric", "budget": "minutes, --steps or --samples"}
    for each in fields(Request):
        if each.name not in _ANEW and getattr(asked, each.name) != getattr(usual, each.name):
            flag = flags.get(each.name, each.name.replace("_", "-"))
            raise ConfigError(
                f"--{flag}: found without anything to compare, expected --out alone, which goes on with its plan as it "
                "is; to add to it, name all that is compared again, with the new ones."
            )


def make_plan(registry: Registry, asked: Request) -> Plan:
    """The plan of a request, checked: nothing of what it names is missing, and every net can make its clips.

    Raises:
        GadkitError: Something cannot be used; the sentence says what.
    """
    for path in asked.plugins:
        registry.load_file(Path(path))
    resolve_device(asked.device)
    entries = [read_entry(registry, text) for text in asked.entries]
    if not entries:
        raise ConfigError("found nothing to compare, expected recipes or runs: see `gadkit recipes list`.")
    check_names(entries)
    trained = [entry for entry in entries if entry.run is None]
    budget = Budget(**(asked.budget or {})) if trained else None
    if trained and (not asked.seeds or len(set(asked.seeds)) != len(asked.seeds)):
        raise ConfigError(f"--seeds: found {', '.join(map(str, asked.seeds)) or 'none'}, expected each of them once.")
    common, own = own_settings(asked.sets, [entry.name for entry in trained])
    configs: dict[str, RunConfig] = {}
    for entry in trained:
        assert budget is not None
        configs[entry.name] = _resolve(registry, asked, entry, budget, common, own[entry.name])
    there = {entry: _existing(registry, entry) for entry in entries if entry.run is not None}
    video = _video(asked, configs, there)
    if configs:
        _check_alike(configs)
        _check_parts(registry, configs)
    measuring = choose_measuring(
        registry,
        protocol=asked.protocol,
        metrics=asked.metrics,
        features=asked.features,
        against=[_place(each) for each in asked.against],
        clips=asked.clips,
        changes=_changes(video, there),
        device=asked.device,
        curve=asked.curve,
        videos=asked.videos,
    )
    any_config = next(iter(configs.values()), None) or next(iter(there.values()))
    return Plan(
        contenders=_contenders(entries, configs),
        seeds=tuple(asked.seeds) if configs else (),
        budget=budget,
        data=_data(any_config),
        video=video,
        measuring=measuring,
        plugins=tuple({"path": str(path), "sha256": sha256} for path, sha256 in registry.files.items()),
        versions=software(),
    )


def _contenders(entries: Sequence[Asked], configs: Mapping[str, RunConfig]) -> tuple[Contender, ...]:
    found: dict[str, Contender] = {}
    for entry in entries:
        if entry.run is None:
            found[entry.name] = Contender(name=entry.name, text=entry.text, config=configs[entry.name].to_toml())
            continue
        before = found.get(entry.name)
        runs = () if before is None else before.runs
        text = entry.text if before is None else f"{before.text} {entry.text}"
        found[entry.name] = Contender(name=entry.name, text=text, runs=(*runs, str(entry.run)))
    return tuple(found.values())


def _resolve(
    registry: Registry, asked: Request, entry: Asked, budget: Budget, common: Sequence[str], own: Sequence[str]
) -> RunConfig:
    """A contender's whole configuration, with its budget."""
    for text in common:
        _check_set(text, _key(text), budget)
    for text in (*entry.sets, *own):
        key = _key(text)
        _check_set(text, key, budget)
        if key.partition(".")[0] not in _OWN:
            raise ConfigError(
                f"{entry.name}: {key} has to be the same for all, or the numbers could not be compared; set it for all "
                f"of them with --set {text}."
            )
    flags: dict[str, Any] = {"clips.held_out": asked.held_out, "device": asked.device, "precision": asked.precision}
    if asked.data is not None:
        flags["data.path"] = str(locate(asked.data))
    if asked.resolution is not None:
        flags |= {"video.width": asked.resolution[0], "video.height": asked.resolution[1]}
    flags["video.frames"] = asked.frames
    sets = [*common, *entry.sets, *own]
    try:
        chosen = RunConfig.resolve(registry, recipe=entry.recipe, file=entry.file, flags=flags, sets=sets)
        counted = any(_key(text) == "run.steps" for text in sets)
        flags |= budget.settings(chosen, asked.curve, chosen.run.steps if counted else None)
        found = RunConfig.resolve(registry, recipe=entry.recipe, file=entry.file, flags=flags, sets=sets)
        budget.check(found)
    except GadkitError as error:
        raise type(error)(f"{entry.name}: {error}") from error
    return found if found.data.path is None else found.with_path(locate(found.data.path))


def _key(text: str) -> str:
    return text.partition("=")[0].strip()


def _check_set(text: str, key: str, budget: Budget) -> None:
    if key == "run.steps" and budget.minutes is not None:  # what schedules go over, and an end before the clock's
        return
    if key in _DECIDED:
        raise ConfigError(f"--set {text!r}: {key} is the same for all of a comparison; say it with {_DECIDED[key]}.")


def _existing(registry: Registry, entry: Asked) -> RunConfig:
    """The configuration of a run that is there."""
    assert entry.run is not None
    if not Run.open(entry.run).checkpoints():
        raise RunError(f"{entry.run}: has no checkpoint, so there is nothing to compare; train it first.")
    return RunConfig.resolve(registry, file=entry.run / CONFIG, trackers=False)


def _video(asked: Request, configs: Mapping[str, RunConfig], there: Mapping[Asked, RunConfig]) -> dict[str, int]:
    """The shape of the clips that all are compared in: asked for, or what all have."""
    named = {**configs, **{entry.name: config for entry, config in there.items()}}
    video = {}
    for key, flag in (("width", "--resolution"), ("height", "--resolution"), ("frames", "--frames")):
        wanted = asked.frames if key == "frames" else asked.resolution and asked.resolution[key == "height"]
        if wanted is None:
            sizes = {name: getattr(config.video, key) for name, config in named.items()}
            if len(set(sizes.values())) > 1:
                told = ", ".join(f"{name} {size}" for name, size in sizes.items())
                raise ConfigError(
                    f"video.{key}: found {told}, and clips of different shapes cannot be compared; choose one for all "
                    f"with {flag}."
                )
            wanted = next(iter(sizes.values()))
        video[key] = wanted
    return video


def _changes(video: Mapping[str, int], there: Mapping[Asked, RunConfig]) -> dict[str, Any]:
    """What is another in the protocol: the length of clips, and their size where a run makes another."""
    changes: dict[str, Any] = {"frames": video["frames"]}
    for entry, config in there.items():
        if (config.video.width, config.video.height) != (video["width"], video["height"]):
            if video["width"] != video["height"]:
                raise ConfigError(
                    f"--resolution: {entry.name} makes {config.video.width}x{config.video.height}, and only to square "
                    "clips can its own be scaled; choose one side."
                )
            changes["resolution"] = video["width"]
    return changes


def _check_alike(configs: Mapping[str, RunConfig]) -> None:
    """Refuses contenders that would be trained on other clips than the first."""
    (first, one), *others = configs.items()
    for name, other in others:
        for section in ("video", "clips", "data"):
            mine, its = one.to_dict()[section], other.to_dict()[section]
            for key in {**mine, **its}:
                if mine.get(key) != its.get(key):
                    raise ConfigError(
                        f"{section}.{key}: {first} has {mine.get(key)!r} and {name} {its.get(key)!r}, and all have to "
                        f"see the same clips; set it for all of them with --set {section}.{key}=..."
                    )


def _check_parts(registry: Registry, configs: Mapping[str, RunConfig]) -> None:
    """Lets the data, the rules and the nets refuse what they cannot do, before any of them is trained."""
    first = next(iter(configs.values()))
    location = None if first.data.path is None else locate(first.data.path)
    opened = choose(registry, first.data.use, location, first.data.settings, first.data.labels)
    if opened.dataset.access == "pipe":
        raise ConfigError("--data: a pipe gives its clips once, and every training needs them; name files.")
    for name, config in configs.items():
        try:
            check_rules(config, resolve_precision(config.precision, resolve_device(config.device)))
            check_nets(config, opened.sources if len(opened.sources) <= ENDLESS else ())
            _check_together(config, opened.sources)
        except GadkitError as error:
            raise type(error)(f"{name}: {error}") from error


def _check_together(config: RunConfig, sources: Sequence[Source]) -> None:
    """Lets the parts refuse each other, built without their memory; what cannot be built so is left to the training."""
    labels = {source.label for source in sources} if len(sources) <= ENDLESS else {None}
    size = config.video
    video = VideoSpec(
        height=size.height, width=size.width, frames=size.frames, classes=0 if None in labels else len(labels)
    )
    try:
        parts = sketched(config, video)
    except GadkitError:
        raise
    except Exception:
        return
    check_fit(config, parts)


def _place(text: str) -> str:
    """Videos or a model to be measured against, so that they are found from elsewhere too."""
    path = Path(text)
    return str(path.resolve()) if path.exists() else text


def _data(config: RunConfig) -> str:
    return "the clips that come with gadkit" if config.data.path is None else shown(config.data.path)
