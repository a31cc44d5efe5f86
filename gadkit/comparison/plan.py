"""The plan of a comparison: all that was asked, resolved, and kept so that the same can be gone on with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from gadkit.checkpoints.documents import LONGEST, parse
from gadkit.comparison.budget import Budget
from gadkit.errors import RunError
from gadkit.pages.files import write_whole
from gadkit.tables import flattened, parse_toml

FORMAT = 1
PLAN = "plan.json"
#: The folders of a comparison.
CONFIGS, RUNS, LOGS, RESULTS, VIDEOS = "configs", "runs", "logs", "evaluations", "videos"


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One of those that are compared.

    Attributes:
        name: What it is called.
        text: As it was asked for.
        config: The text of its whole configuration, where it is to be trained.
        runs: The folders of its runs, where it was trained before.
    """

    name: str
    text: str
    config: str = ""
    runs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """How every run is measured.

    Attributes:
        protocol: The protocol's name.
        changes: What is another in it.
        metrics: What is measured.
        features: The networks that it is measured in.
        against: Videos beside the run's own held-out ones.
        curve: Points of the curve of the distance over the training.
        videos: How many videos of each run are shown.
    """

    protocol: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    curve: int = 0
    videos: int = 8


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of a comparison.

    Attributes:
        name: What it is called, and its files.
        contender: Of which it is a run.
        seed: Of its training; `None` where it was trained before.
        folder: Where it lies.
    """

    name: str
    contender: Contender
    seed: int | None
    folder: Path


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is compared, and how.

    Attributes:
        contenders: In the order in which they were named.
        seeds: Of the trainings of each that is to be trained.
        budget: Of each training; `None` where nothing is to be trained.
        data: What is trained on, as it is shown.
        video: The shape of the clips: `width`, `height`, `frames`.
        measuring: How they are measured.
        plugins: The plugin files: `path` and `sha256` of each.
        versions: Of what the numbers depend on.
    """

    contenders: tuple[Contender, ...]
    seeds: tuple[int, ...] = ()
    budget: Budget | None = None
    data: str = ""
    video: Mapping[str, int] = field(default_factory=dict)
    measuring: Measuring
    plugins: tuple[Mapping[str, str], ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def steps(self) -> dict[str, int]:
        """The steps at which each contender's trainings end at the latest, by name."""
        return {
            each.name: int(parse_toml(each.config.encode())["run"]["steps"]) for each in self.contenders if each.config
        }

    @property
    def allotted(self) -> str:
        """What each training gets, in words; empty where there is none."""
        return "" if self.budget is None else self.budget.told(self.steps.values())

    def jobs(self, out: Path) -> list[Job]:
        """The runs, all contenders with the first seed before any with the second.

        Args:
            out: The comparison's folder.
        """
        found: list[Job] = []
        for seed in self.seeds:
            for each in self.contenders:
                if each.config:
                    name = f"{each.name}-seed{seed}"
                    found.append(Job(name=name, contender=each, seed=seed, folder=out / RUNS / name))
        for each in self.contenders:
            for number, run in enumerate(each.runs):
                name = each.name if len(each.runs) == 1 else f"{each.name}-{number + 1}"
                found.append(Job(name=name, contender=each, seed=None, folder=Path(run)))
        return found

    def config_path(self, out: Path, contender: Contender) -> Path:
        """Where a contender's configuration lies."""
        return out / CONFIGS / f"{contender.name}.toml"

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        document = {"format": FORMAT, **asdict(self), "budget": self.budget and self.budget.to_dict()}
        found: dict[str, Any] = json.loads(json.dumps(document))  # tuples as lists, as they are read again
        return found

    @classmethod
    def from_dict(cls, document: Any) -> Plan:
        """The plan in plain values; raises `ValueError`, `KeyError` or `TypeError` where they are none."""
        if document["format"] != FORMAT:
            raise ValueError(f"its format is {document['format']!r:.40}, and this gadkit reads {FORMAT}")
        measuring = dict(document["measuring"])
        for name in ("metrics", "features", "against"):
            measuring[name] = tuple(map(_text, measuring[name]))
        contenders = tuple(
            Contender(**{**each, "runs": tuple(map(_text, each["runs"]))}) for each in document["contenders"]
        )
        if any(not each.config and not each.runs for each in contenders):
            raise ValueError("it names a contender that is neither trained nor there")
        found = cls(
            contenders=contenders,
            seeds=tuple(map(int, document["seeds"])),
            budget=None if document["budget"] is None else Budget(**document["budget"]),
            data=_text(document["data"]),
            video={name: int(value) for name, value in document["video"].items()},
            measuring=Measuring(**measuring),
            plugins=tuple(
                {"path": _text(each["path"]), "sha256": _text(each["sha256"])} for each in document["plugins"]
            ),
            versions={str(name): _text(value) for name, value in document["versions"].items()},
        )
        _ = found.steps  # which their configurations have to say
        return found


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"found {value!r:.40}, expected text")
    return value


def read_plan(out: Path) -> Plan | None:
    """The plan of a folder; `None` where there is none.

    Raises:
        RunError: It cannot be read.
    """
    path = out / PLAN
    if not path.exists():
        return None
    try:
        with path.open("rb") as file:
            return Plan.from_dict(parse(file.read(LONGEST + 1)))
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}); mend that, or choose another --out.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path}: is no plan of a comparison ({error}); choose another --out.") from error


def write_plan(out: Path, plan: Plan) -> None:
    """Writes the plan and the configurations that it holds; raises `RunError` where that cannot be done."""
    try:
        for name in (CONFIGS, RUNS, LOGS, RESULTS, VIDEOS):
            (out / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{out}: cannot be made ({error.strerror}); mend that, or choose another --out.") from error
    for each in plan.contenders:
        if each.config:
            write_whole(plan.config_path(out, each), each.config.encode("utf-8"))
    write_whole(out / PLAN, (json.dumps(plan.to_dict(), indent=1) + "\n").encode("ascii"))


def grown(out: Path, old: Plan, new: Plan) -> Plan:
    """The plan to go on with in a folder: what it holds, and the contenders and seeds that are asked for beside it.

    Everything else has to be as it was, so that old and new runs can be put in one table. Other versions are no other
    plan.

    Raises:
        RunError: Names what is another.
    """
    if found := next(_differences(old, new), ""):
        raise RunError(
            f"{out}: holds a comparison of another plan ({found}); ask for the same again, with further contenders or "
            "seeds if you like, or choose another --out."
        )
    known = {each.name for each in old.contenders}
    return replace(
        old,
        contenders=(*old.contenders, *(each for each in new.contenders if each.name not in known)),
        seeds=(*old.seeds, *(seed for seed in new.seeds if seed not in old.seeds)),
        budget=old.budget or new.budget,
        plugins=(*old.plugins, *(each for each in new.plugins if each not in old.plugins)),
    )


def _differences(old: Plan, new: Plan) -> Iterator[str]:
    """What of a plan another one does not ask for, or asks for otherwise."""
    asked = {each.name: each for each in new.contenders}
    if any(each.name not in asked for each in old.contenders):
        names = (", ".join(each.name for each in plan.contenders) for plan in (old, new))
        yield "it compares {}, and {} was asked for".format(*names)
        return
    before, after = old.to_dict(), new.to_dict()
    for document in (before, after):
        del document["contenders"], document["versions"]
    for added in ("seeds", "plugins"):
        if all(each in after[added] for each in before[added]):
            del before[added], after[added]
    if old.budget is None:  # nothing was trained
        del before["budget"], after["budget"]
    yield from _changed("", dict(flattened(before)), dict(flattened(after)))
    for mine in old.contenders:
        other = asked[mine.name]
        if mine.runs != other.runs:
            were, are = (", ".join(runs) or "none" for runs in (mine.runs, other.runs))
            yield f"the runs of {mine.name} were {were} and are {are} now"
        configs = [dict(flattened(parse_toml(each.config.encode()))) for each in (mine, other)]
        yield from _changed(f"{mine.name}: ", *configs)


def _changed(place: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for key in {**old, **new}:
        if old.get(key) != new.get(key):
            yield f"{place}{key} was {_shown(old.get(key))} and is {_shown(new.get(key))} now"


def _shown(value: Any) -> str:
    if value is None:
        return "not set"
    text = ", ".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
