"""A component in a training of ten steps: does it train, and does a run that was stopped go on exactly?"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import SkipTest

import torch
from torch import Tensor, nn

from gadkit.checkpoints.trees import flatten
from gadkit.errors import ConfigError, DataError, RunError
from gadkit.folders import cache_folder
from gadkit.randomness import Key, seeded
from gadkit.registry import get_registry
from gadkit.runs.folder import COSTS, Run
from gadkit.runs.loading import load
from gadkit.runs.reporter import Reporter
from gadkit.runs.state import read_state
from gadkit.runs.training import train
from gadkit.signature import settings_of
from gadkit.testing.promises import promise
from gadkit.testing.small import FRAMES, LATENT, MOTION, PARTNERS, SIDES, SmallClips, first_fit
from gadkit.testing.subjects import Trial

STEPS, STOP = 10, 5
_BATCH = 2
_NETS = ("generator", "assembler", "discriminator")
#: Of a checkpoint's state, what tells when and not what.
_CLOCKS = ("seconds", "attempt", "best")


@dataclass(kw_only=True)
class Plan:
    """A short training.

    Attributes:
        recipe: What it begins with.
        settings: Dotted keys of its configuration over that.
        size: Height and width of the clips in pixels; `None` for the recipe's own.
        net: The component, where it is a net.
    """

    recipe: str = "none"
    settings: dict[str, Any] = field(default_factory=dict)
    size: tuple[int, int] | None = (16, 16)
    net: nn.Module | None = None

    def run(self, folder: Path, reporter: Reporter | None = None, stop: threading.Event | None = None) -> str:
        """Trains in a new folder; how it ended."""
        size = {} if self.size is None else {"video.height": self.size[0], "video.width": self.size[1]}
        outcome = train(out=folder, recipe=self.recipe, set={**size, **self.settings}, reporter=reporter, stop=stop)
        return outcome.reason


def check_training(trial: Trial) -> None:
    """Checks a component in a training of ten steps with small partners.

    Losses are finite and every parameter moves. Ten steps in one go give the same weights, the same memory of the
    optimisers and the same log, bit for bit, as five steps, a stop, and five more in a run that was resumed; and both
    models make the same video of a seed.

    Raises:
        AssertionError: A broken promise.
        unittest.SkipTest: It cannot be tried, for want of data.
    """
    with TemporaryDirectory(prefix="gadkit-check-") as text, apart(Path(text)):
        plan = planned(trial)
        whole, cut = Path(text, "whole"), Path(text, "cut")
        _train(plan, whole, trial.name)
        _check_log(whole, trial.name)
        _check_moved(plan, trial, whole)
        reporter = _StopsAt(STOP)
        ended = plan.run(cut, reporter, reporter.stop)
        promise(
            ended == "stopped" and reporter.last == STOP,
            f"a training with {trial.name} ends after the step under way when it is asked to",
            f"it was {ended} after step {reporter.last}, and was asked after step {STOP}",
            "give one step at a time from Session.course, and end where it does",
        )
        train(resume=cut)
        _check_same(whole, cut, trial.name, trial.kind)
        _check_videos(whole, cut, trial.name)


class _StopsAt(Reporter):
    """Asks for an end after a step."""

    def __init__(self, step: int) -> None:
        self.stop, self.last = threading.Event(), 0
        self._step = step

    def advanced(self, step: int) -> None:
        self.last = step
        if step == self._step:
            self.stop.set()


@contextmanager
def apart(folder: Path) -> Iterator[None]:
    """A block that leaves nothing in the user's cache, nor in PyTorch's global generator.

    Args:
        folder: Where a cache is made for the block; installed weights are found there too.
    """
    before, state = os.environ.get("GADKIT_CACHE"), torch.get_rng_state()
    weights, cache = cache_folder() / "weights", folder / "cache"
    cache.mkdir()
    if weights.is_dir():
        with suppress(OSError):  # where links need rights that nobody has, networks count as not installed
            (cache / "weights").symlink_to(weights.resolve(), target_is_directory=True)
    os.environ["GADKIT_CACHE"] = str(cache)
    try:
        yield
    finally:
        torch.set_rng_state(state)
        if before is None:
            del os.environ["GADKIT_CACHE"]
        else:
            os.environ["GADKIT_CACHE"] = before


def planned(trial: Trial) -> Plan:
    """The training in which a component is tried.

    Raises:
        unittest.SkipTest: There is none.
    """
    registry = get_registry()  # where a run that is resumed looks up what its configuration names
    common = {
        "device": "cpu",
        "precision": "fp32",
        "run.steps": STEPS,
        "run.samples": 1,
        "run.log_every": 1,
        "run.sample_every": STEPS,
        "run.checkpoint_every": STEPS,
        "run.keep": 3,
        "run.rollbacks": 0,
        "video.frames": FRAMES,
        "data.use": registry.adopt("dataset", SmallClips),
    }
    if trial.kind == "recipe":
        return _of_recipe(trial, common)
    plan = Plan(settings={**common, "trainer.batch_size": _BATCH})
    for kind, partner in PARTNERS.items():
        plan.settings[f"{kind}.use"] = registry.adopt(kind, partner) if isinstance(partner, type) else partner
    cls = trial.load()
    entry = trial.entry if trial.entry.cls is None else registry.adopt(trial.kind, cls)
    if trial.kind == "tracker":
        plan.settings["tracker.use"] = [entry]
        own = {**cls.offline, **trial.settings}
        plan.settings |= {f"tracker.{entry.name}.{key}": value for key, value in own.items()}
        return plan
    section = "data" if trial.kind == "dataset" else trial.kind
    plan.settings[f"{section}.use"] = entry
    plan.settings |= {f"{section}.{key}": value for key, value in trial.settings.items()}
    if trial.kind in _NETS:
        _of_net(plan, trial, cls)
    elif trial.kind == "dataset":
        _of_dataset(plan, trial, cls)
    elif trial.kind == "trainer":
        _of_trainer(plan, trial, cls)
    else:
        _of_rule(plan, trial, cls)
    return plan


def _of_net(plan: Plan, trial: Trial, cls: type[nn.Module]) -> None:
    """Clips of the smallest size that the net takes, with classes."""
    places: tuple[Any, ...] = (LATENT, MOTION) if trial.kind == "assembler" else ()
    with seeded(Key.of(0)):
        video, plan.net = first_fit(lambda video: cls(video, *places, **trial.settings))
    plan.size = video.height, video.width
    plan.settings["data.labels"] = "own" if video.classes else "none"


def _of_dataset(plan: Plan, trial: Trial, cls: Any) -> None:
    if cls.access == "pipe":
        raise SkipTest(f"{trial.name} is read once, in its own order, so no run of it can be repeated")
    if trial.data is not None:
        plan.settings["data.path"] = str(trial.data)
    elif not needs_no_data(cls, trial.settings):
        raise SkipTest(f"{trial.name} needs data to be tried on: conformance(..., data=...), --data")
    plan.settings["video.frames"] = 2  # nobody knows how long its videos are


def needs_no_data(cls: Any, settings: Mapping[str, Any]) -> bool:
    """Whether a dataset has videos wherever it is told that they lie."""
    with TemporaryDirectory(prefix="gadkit-check-") as empty:
        try:
            dataset = cls(Path(empty), **settings)
            return cls.access == "pipe" or len(dataset.sources()) > 0
        except DataError:
            return False


def _of_trainer(plan: Plan, trial: Trial, cls: Any) -> None:
    built = cls(**trial.settings)
    used = {*built.needs, *built.takes, "trainer"}
    for kind in PARTNERS.keys() - used:
        del plan.settings[f"{kind}.use"]
    if "batch_size" not in settings_of(cls):
        del plan.settings["trainer.batch_size"]


def _of_rule(plan: Plan, trial: Trial, cls: Any) -> None:
    """What a loss, a penalty, an augmentation or a direction asks of its partners."""
    built = cls(**trial.settings)
    if trial.kind == "loss" and built.logits:
        plan.settings["discriminator.logits"] = built.logits
    if trial.kind == "direction" and built.needs_zero_sum:
        plan.settings["loss.use"] = "minimax"


def _of_recipe(trial: Trial, common: dict[str, Any]) -> Plan:
    """A recipe, in small where it can be."""
    from gadkit.config import RunConfig

    config = RunConfig.resolve(trial.registry, recipe=trial.entry.qualified, flags=dict(trial.settings))
    if "batch_size" in config.parts["trainer"].settings:
        common["trainer.batch_size"] = _BATCH
    plan = Plan(recipe=trial.entry.qualified, settings={**common, **trial.settings}, size=None)
    if not {"video.height", "video.width"} & trial.settings.keys():
        for size in SIDES:
            try:
                _fits(trial, {**plan.settings, "video.height": size[0], "video.width": size[1]})
            except ConfigError:
                continue
            plan.size = size
            break
    return plan


def _fits(trial: Trial, flags: Mapping[str, Any]) -> None:
    """Raises `ConfigError` where the nets of a recipe do not take a size."""
    from gadkit.config import RunConfig
    from gadkit.runs.plan import check_nets

    check_nets(RunConfig.resolve(trial.registry, recipe=trial.entry.qualified, flags=flags), [])


def _train(plan: Plan, folder: Path, name: str) -> None:
    try:
        ended = plan.run(folder)
    except RunError as error:  # which the course of a run raises where numbers are not finite
        promise(
            False,
            f"a training of {STEPS} steps with {name} goes through, with losses, values and weights that are finite",
            str(error).rstrip("."),
            "guard quotients, roots and logarithms, and see what the sentence names",
        )
        raise
    promise(
        ended == "finished",
        f"a training of {STEPS} steps with {name} ends when they are made",
        f"it was {ended}",
        "return Course.ended from fit, after the last step",
    )


def _check_log(folder: Path, name: str) -> None:
    steps = [line["step"] for line in _lines(folder)]
    promise(
        steps == list(range(1, STEPS + 1)),
        f"every step of a training with {name} is logged where every one is asked for",
        f"the log has steps {steps}",
        "make one step for each that Session.course gives",
    )


def _lines(folder: Path) -> list[dict[str, Any]]:
    """The log of a run, without its events."""
    return [line for line in Run.open(folder).read_log() if "event" not in line]


def _tensors(checkpoint: Path) -> tuple[Any, dict[str, Tensor]]:
    """The state of a checkpoint, split into what is plain and tensors; without clocks."""
    state = {key: value for key, value in read_state(checkpoint).items() if key not in _CLOCKS}
    return flatten(state)


def _check_moved(plan: Plan, trial: Trial, folder: Path) -> None:
    """Every net that is trained is another one after the training, and where it is about a net, every parameter."""
    first, last = (Run.open(folder).checkpoints()[place] for place in (0, -1))
    before, after = _tensors(first)[1], _tensors(last)[1]
    moved = {key.removeprefix("nets."): not torch.equal(value, after[key]) for key, value in before.items()}
    nets = {key.partition(".")[0] for key in moved if f"nets.{key}" in before}
    still = sorted(net for net in nets if not any(moved[key] for key in moved if key.startswith(f"{net}.")))
    promise(
        not still,
        f"a training of {STEPS} steps with {trial.name} moves every net",
        f"the {' and the '.join(still)} did not move",
        "give every net that is trained a gradient, and step its optimiser",
    )
    if plan.net is None:
        return
    own = [key for key, parameter in plan.net.named_parameters() if parameter.requires_grad]
    still = [key for key in own if not moved[f"{trial.kind}.{key}"]]
    promise(
        not still,
        f"every parameter of {trial.name} moves in a training of {STEPS} steps",
        f"these did not: {', '.join(still)[:300]}",
        "use each in forward, with a gradient that is not zero; or set requires_grad to False",
    )


def _check_same(whole: Path, cut: Path, name: str, kind: str) -> None:
    """The last checkpoints and the logs of two runs agree, bit for bit."""
    (document, tensors), (other_document, others) = (
        _tensors(Run.open(path).checkpoints()[-1]) for path in (whole, cut)
    )
    promised = f"a run with {name} that was stopped after {STOP} steps and resumed equals one that was not, bit for bit"
    mend = (
        "keep what the next step depends on in parameters, buffers or state_dict, and draw from the `noise` that is "
        "handed over, never from a counter or a generator of its own"
    )
    differing = [key for key in tensors.keys() | others.keys() if not _equal(tensors.get(key), others.get(key))]
    differing.sort(key=lambda key: (not key.startswith(f"nets.{kind}."), key))
    shown = ", ".join(key.removeprefix("nets.") for key in differing[:4])
    promise(not differing, promised, f"after step {STEPS}, {len(differing)} tensors differ: {shown}", mend)
    promise(document == other_document, promised, "numbers that the trainer keeps differ", mend)
    logs = [
        [{key: value for key, value in line.items() if key not in COSTS} for line in _lines(path)]
        for path in (whole, cut)
    ]
    for line, other in zip(*logs, strict=True):
        differing = sorted(key for key in line.keys() | other.keys() if line.get(key) != other.get(key))
        promise(not differing, promised, f"the log of step {line['step']} differs in {', '.join(differing)}", mend)


def _equal(one: Tensor | None, other: Tensor | None) -> bool:
    """Whether two tensors hold the same bits; a number that is none equals itself."""
    if one is None or other is None or one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one, other) or bool(((one == other) | (one.isnan() & other.isnan())).all())


def _check_videos(whole: Path, cut: Path, name: str) -> None:
    """A seed means one video, in both models, alone or beside another."""
    models = [load(path, device="cpu") for path in (whole, cut)]
    first = models[0].sample(num=2, seed=3)
    again, other = models[0].sample(num=2, seed=3), models[1].sample(num=2, seed=3)
    alone, another = models[0].sample(num=1, seed=3, first=1), models[0].sample(num=2, seed=4)
    mend = "draw from the `noise` that is handed over, and keep nothing between two calls"
    for promised, kept in (
        ("a seed means one video, sampled once or twice", torch.equal(first, again)),
        ("a seed means one video, of the run that was resumed too", torch.equal(first, other)),
        ("a seed means one video, alone or beside another", torch.equal(first[1:], alone)),
        ("another seed means another video", not torch.equal(first, another)),
    ):
        found = "both are the same" if promised.startswith("another") else "the videos differ"
        promise(kept, f"with {name}, {promised}", found, mend)
