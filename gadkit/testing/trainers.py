"""Does a trainer keep the promises of `gadkit.Trainer`, and what it hands over those of `gadkit.Training`?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from gadkit.checkpoints.documents import dump, parse
from gadkit.checkpoints.tensors import check_tensors
from gadkit.checkpoints.trees import flatten, snapshot, unflatten
from gadkit.component import KINDS
from gadkit.engine.devices import Engine
from gadkit.interfaces.footprint import Footprint
from gadkit.interfaces.trainer import Trainer
from gadkit.interfaces.training import Training
from gadkit.registry import get_registry
from gadkit.runs.choices import resolve_config
from gadkit.runs.course import Course
from gadkit.runs.reporter import Reporter
from gadkit.runs.session import Session
from gadkit.runs.training import build, open_data
from gadkit.signature import settings_of
from gadkit.testing.promises import promise
from gadkit.testing.subjects import Trial, find
from gadkit.testing.training import apart, planned

_STEPS = 3
#: How near a batch in one piece and one in two come, in float64, as a share of the largest number.
_CLOSE = 1e-9


def check_trainer(cls: type[Trainer], **settings: Any) -> None:
    """Checks a trainer class, built with `settings`, in trainings of three steps with small parts.

    It makes one step for each that the course gives, and moves every net in each; what it hands over holds the nets,
    the models and a state that goes through a checkpoint; the values that it logs are finite; its estimate of memory
    changes nothing; and where it can cut a batch into micro-batches, the result is the same.

    Raises:
        AssertionError: A broken promise.
    """
    name = cls.__name__
    _check_attributes(cls(**settings), name)
    with TemporaryDirectory(prefix="gadkit-check-") as folder, apart(Path(folder)):
        session = _session(cls, settings)
        trainer = session.parts["trainer"]
        before = _weights(_parts(session))
        _check_footprint(trainer, session, before, name)
        _check_fit(trainer, session, name)
        if "accumulate" in settings_of(cls) and not {"accumulate", "batch_size"} & settings.keys():
            _check_cuts(cls, settings, name)


def _check_attributes(trainer: Trainer, name: str) -> None:
    kinds = (*trainer.needs, *trainer.takes)
    promise(
        all(kind in KINDS for kind in kinds) and len(set(kinds)) == len(kinds) and "trainer" not in kinds,
        f"{name}.needs and {name}.takes name kinds of component, each once",
        f"they are {trainer.needs!r} and {trainer.takes!r}",
        "name kinds such as 'discriminator', needed ones in `needs` and others in `takes`",
    )
    promise(
        {"generator", "assembler"} <= set(trainer.needs),
        f"{name} needs a generator and an assembler, of which a model is made",
        f"it needs {trainer.needs!r}",
        "add them to `needs`",
    )
    counts = {each: getattr(trainer, each, None) for each in ("batch_size", "accumulate", "group")}
    promise(
        all(type(count) is int and count > 0 for count in counts.values()),
        f"{name} has batch_size, accumulate and group, whole numbers from 1 on",
        f"they are {counts}",
        "set them in __init__, or leave accumulate and group to the base class",
    )


class _Steps(Course):
    """The course of a run that notes which steps it gave, and what they moved."""

    def __init__(self, session: Session, training: Training) -> None:
        super().__init__(session, training)
        self.given: list[int] = []
        self.still: dict[str, int] = {}

    def __iter__(self) -> Iterator[int]:
        nets = self._training.nets
        before = _weights(nets)
        for step in super().__iter__():
            self.given.append(step)
            yield step
            after = _weights(nets)
            for net in nets:
                own = [key for key in before if key.startswith(f"{net}.")]
                if own and all(torch.equal(before[key], after[key]) for key in own):
                    self.still.setdefault(net, step)
            before = after


@dataclass(kw_only=True)
class _Watched(Session):
    """A session that keeps what its trainer hands over."""

    seen: list[Training] = field(default_factory=list)
    courses: list[_Steps] = field(default_factory=list)

    def course(self, training: Training) -> Course:
        """See `Session.course`."""
        self.seen.append(training)
        self.courses.append(_Steps(self, training))
        return self.courses[-1]


class _Logged(Reporter):
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.lines: list[dict[str, float]] = []

    def logged(self, step: int, values: dict[str, float]) -> None:
        self.lines.append(values)


def _session(cls: type[Trainer], settings: Mapping[str, Any], **others: Any) -> _Watched:
    """A training of a few steps that writes nothing, with small parts; `others` are settings of the trainer."""
    registry = get_registry()
    (entry,) = find(cls, "trainer", registry).entries
    plan = planned(Trial(entry=entry, registry=registry, settings=settings))
    assert plan.size is not None
    flags = {**plan.settings, "video.height": plan.size[0], "video.width": plan.size[1], "run.steps": _STEPS}
    precision = "fp64" if others else "fp32"
    flags |= {"precision": precision, **{f"trainer.{key}": value for key, value in others.items()}}
    config = resolve_config(registry, None, "none", {}, flags, (), None)
    engine = Engine("cpu", precision)
    config, store = open_data(registry, config, engine, Reporter())
    session = build(registry, config, engine, store)
    kept = {each.name: getattr(session, each.name) for each in fields(Session) if each.init}
    return _Watched(**{**kept, "reporter": _Logged()})


def _parts(session: Session) -> dict[str, nn.Module]:
    return {kind: part for kind, part in session.parts.items() if isinstance(part, nn.Module)}


def _weights(nets: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """A copy of all parameters, by net and name."""
    return {
        f"{net}.{key}": parameter.detach().clone()
        for net, module in nets.items()
        for key, parameter in module.named_parameters()
    }


def _check_footprint(trainer: Trainer, session: Session, before: Mapping[str, Tensor], name: str) -> None:
    found = trainer.footprint(session)
    promise(
        found is None or isinstance(found, Footprint),
        f"{name}.footprint gives a gadkit.Footprint, or None",
        f"it gave {type(found).__name__}",
        "leave it to the base class where the memory is not known",
    )
    promise(
        found is None or (found.fixed >= 0 and math.isfinite(found.per_clip) and found.per_clip >= 0),
        f"{name}.footprint gives bytes, at least 0",
        f"it gave {found}",
        "count bytes",
    )
    after = _weights(_parts(session))
    idle = all(p.grad is None for part in _parts(session).values() for p in part.parameters())
    promise(
        idle and all(torch.equal(value, after[key]) for key, value in before.items()),
        f"{name}.footprint leaves every net as it was, without gradients",
        "a parameter has another value, or a gradient",
        "work on copies, or use gadkit.engine.passing",
    )


def _check_fit(trainer: Trainer, session: _Watched, name: str) -> None:
    ended = trainer.fit(session)
    promise(
        len(session.seen) == 1,
        f"{name}.fit asks for the session's course once",
        f"it asked {len(session.seen)} times",
        "loop over `session.course(training)`",
    )
    (training,), (course,) = session.seen, session.courses
    promise(
        ended == course.ended == "finished" and course.given == list(range(_STEPS)),
        f"{name}.fit goes through the whole course and returns how that ended",
        f"of {_STEPS} steps it took {course.given}, and returned {ended!r}",
        "take every step that the course gives, and return course.ended",
    )
    promise(
        not course.still,
        f"every step of {name} moves every net",
        "; ".join(f"step {step} left the {net} as it was" for net, step in course.still.items()),
        "update each net in each step, and keep those that are not trained out of Training.nets",
    )
    promise(
        {"generator", "assembler"} <= training.models.keys(),
        f"{name}'s training has the models `generator` and `assembler`, which samples are made with",
        f"they are {sorted(training.models)}",
        "hand over the nets themselves, or their averages",
    )
    promise(
        {"generator", "assembler"} <= training.nets.keys(),
        f"{name}'s training has the nets that are trained, `generator` and `assembler` among them",
        f"they are {sorted(training.nets)}",
        "add them: what is not there is neither saved nor watched",
    )
    _check_state(training, name)
    assert isinstance(session.reporter, _Logged)
    values = {key: value for line in session.reporter.lines for key, value in line.items()}
    bad = [key for key, value in values.items() if not math.isfinite(value)]
    promise(
        bool(values) and not bad,
        f"{name}'s training logs values that are finite",
        f"{' and '.join(bad)} is not" if bad else "it logged none",
        "return means since the last call from Training.read",
    )


def _check_state(training: Training, name: str) -> None:
    """The state goes through a checkpoint, and can be taken back from there."""
    try:
        document, tensors = flatten(snapshot(training.state()))
        check_tensors(tensors)
        state = unflatten(parse(dump(document)), tensors)
    except (TypeError, ValueError) as error:
        promise(
            False,
            f"{name}'s training has a state of tensors, numbers, strings, booleans, None, and lists and dicts of them "
            "with string keys, because checkpoints are safetensors and JSON",
            str(error),
            "keep nothing else in it",
        )
        raise
    training.load(state)
    again, _ = flatten(snapshot(training.state()))
    promise(
        again == document,
        f"{name}'s training gives the state back that it was given",
        "another one came",
        "let `load` replace everything that `state` tells of",
    )


def _check_cuts(cls: type[Trainer], settings: Mapping[str, Any], name: str) -> None:
    """A batch in one piece and in two makes the same steps, in float64."""
    found = []
    for pieces in (1, 2):
        session = _session(cls, settings, batch_size=4, accumulate=pieces)
        session.parts["trainer"].fit(session)
        found.append(_weights(session.seen[0].nets))
    off = max(float((value - found[1][key]).abs().max()) for key, value in found[0].items())
    largest = max(float(value.abs().max()) for value in found[0].values())
    promise(
        off <= _CLOSE * largest,
        f"{name} makes the same steps of a batch in one piece and in two micro-batches (accumulate)",
        f"after {_STEPS} steps in float64 parameters differ by {off:.2g}",
        "average the pieces' gradients with equal weights, and draw by the number of the sample, not of the piece",
    )
