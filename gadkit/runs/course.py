"""The course of a run: its steps, and what happens between two of them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from gadkit.engine.watch import Watch
from gadkit.errors import GadkitError, RunError
from gadkit.interfaces.training import Training
from gadkit.runs.attempt import Attempt
from gadkit.runs.facts import facts_of, values_of
from gadkit.runs.folder import step_of
from gadkit.runs.health import Health
from gadkit.runs.memory import most_taken
from gadkit.runs.rollback import Trouble, go_back
from gadkit.runs.state import read_models, read_state
from gadkit.runs.writing import Writer
from gadkit.words import parse_duration

if TYPE_CHECKING:
    from gadkit.runs.session import Session

#: Every so many steps the host looks at the device for numbers that are not finite, and processes agree to stop.
PULSE = 10
#: Processes whose steps take longer than so many seconds between two such meetings meet after every step.
_PATIENCE = 5.0


class Course:
    """The steps of a run, as an iterator: each step's number is given before it is made.

    Between two steps it logs, samples, saves, watches, goes back to a checkpoint where numbers are no longer finite,
    and ends where the run does, where its time is up, or where somebody asked for it.

    Args:
        session: The training.
        training: What is kept.

    Attributes:
        ended: `"finished"`, or `"stopped"` where the time limit, the end of a pipe or a request came first; a
            checkpoint was saved then.
    """

    def __init__(self, session: Session, training: Training) -> None:
        self.ended = "stopped"
        self._session = session
        self._training = training
        self._settings = session.config.run
        self._writer = Writer(session)
        self._watch = session.watch = Watch(training.nets, session.engine.device)
        self._health = Health()
        self._began = self._saved_at = time.monotonic()
        self._before = 0.0  # seconds that the run took in earlier processes
        self._saved = -1
        self._best: dict[str, Any] | None = None
        self._evaluator = session.evaluator
        self._best_by: str | None = self._settings.best
        self._best_is: str = self._settings.best_is
        if self._best_by is None and self._evaluator is not None:
            self._best_by, self._best_is = self._evaluator.best
        self._met, self._slow = self._began, False
        self._interval = None
        if isinstance(self._settings.checkpoint_every, str):
            self._interval = parse_duration(self._settings.checkpoint_every)

    def __iter__(self) -> Iterator[int]:
        session = self._session
        step = self._start()
        stopped = False
        while step < session.steps and not stopped:
            session.scheduling.settle(step, self._training)
            self._watch.begin(step)
            torch.manual_seed(session.key.fold("torch", step).seed)  # for modules that draw from the global generator
            yield step
            step += 1
            session.scheduling.settle(step, self._training)  # for what is made of the model as it is then
            self._watch.weights()
            session.reporter.advanced(step)
            step, stopped = self._between(step)
        session.background.wait()
        self.ended = "finished" if step >= session.steps else "stopped"

    def _start(self) -> int:
        session = self._session
        step = 0
        if session.checkpoint is not None:
            step, self._before = self._load(session.checkpoint, session.attempt)
        session.reporter.started(step, session.steps)
        if session.checkpoint is None:
            self._save(0)  # so that there always is one to go back to
        return step

    def _between(self, step: int) -> tuple[int, bool]:
        """What happens after a step; the steps that are made then, and whether to stop."""
        session, settings = self._session, self._settings
        last = step == session.steps
        logging, sampling = (step % every == 0 or last for every in (settings.log_every, settings.sample_every))
        every = session.config.evaluation.every
        evaluating = every is not None and (step % every == 0 or last)
        logging = logging or evaluating
        saving = last or (self._interval is None and step % int(settings.checkpoint_every) == 0)
        pulse = logging or sampling or saving or step % PULSE == 0
        if not (pulse or self._slow) and session.engine.world > 1:
            return step, False  # processes agree where they meet
        slow = time.monotonic() - self._met > _PATIENCE
        late, asked, timed, slow = session.engine.any(self._late(), session.stop.is_set(), self._due(), slow)
        self._met, self._slow = time.monotonic(), self._slow or slow
        saving = saving or timed or late or asked
        if pulse or saving:
            (sick,) = session.engine.any(bool(self._watch.sick()))  # the one read of the device
            if sick:
                return self._go_back(self._trouble(step)), False
        if logging:
            values = self._training.read()
            if bad := [name for name, value in values.items() if not math.isfinite(value)]:
                return self._go_back(Trouble(step, f"the value {bad[0]} was {values[bad[0]]}")), False
            costs = {"seconds": self._seconds(), "waited": self._session.clips.waited}
            if (memory := most_taken(session.engine.device)) is not None:
                costs["memory"] = memory
            if evaluating:
                measured, costs["evaluated"] = self._evaluate(step)
                saving = self._judge(step, measured) or saving
                values = {**values, **measured}
            self._log(step, {**values, **self._session.scheduling.values(step)}, costs)
        if sampling or late:
            self._writer.sample(step, self._training.models)
        if saving:
            self._save(step)
        return step, late or asked

    def _late(self) -> bool:
        limit = self._settings.max_time
        return self._session.clips.exhausted or (limit is not None and time.monotonic() - self._began >= limit)

    def _due(self) -> bool:
        """Whether it is time for a checkpoint, by the clock of the process that writes."""
        writes = self._interval is not None and self._session.engine.main
        return writes and time.monotonic() - self._saved_at >= (self._interval or 0.0)

    def _log(self, step: int, values: dict[str, float], costs: dict[str, float]) -> None:
        self._writer.log(step, values, costs)
        self._judge(step, values)
        for kind, sentence in self._health.see(step, values):
            self._writer.event(step, "warning", sentence, kind=kind)

    def _evaluate(self, step: int) -> tuple[dict[str, float], float]:
        """What is measured of the model as it is, in every process the same, and the seconds that it took."""
        session, began = self._session, time.monotonic()
        found: dict[str, float] = {}
        if self._evaluator is not None and session.run is not None:
            found = self._evaluator.measure(step, self._training.models)
        found = session.engine.share(found if session.engine.main else None)
        seconds = time.monotonic() - began
        if session.engine.main:
            session.reporter.measured(step, found, seconds)
        return found, seconds

    def _judge(self, step: int, values: Mapping[str, float]) -> bool:
        """Keeps the best value so far; the checkpoint that goes with it is the next one. Whether this is the best."""
        value = None if self._best_by is None else values.get(self._best_by)
        if value is None:
            return False
        sign = -1 if self._best_is == "highest" else 1
        if self._best is not None and sign * value >= sign * self._best["value"]:
            return False
        self._best = {"step": None, "metric": self._best_by, "value": value, "logged": step}
        return True

    def _seconds(self) -> float:
        return self._before + time.monotonic() - self._began

    def _save(self, step: int) -> None:
        if step == self._saved:
            return
        session, training = self._session, self._training
        session.attempt = session.attempt.after(step)
        if self._best is not None and self._best["step"] is None:
            self._best["step"] = step
        state = {
            "step": step,
            "seconds": round(self._seconds(), 3),
            "attempt": session.attempt.to_dict(),
            "best": self._best,
            "data": {"videos": len(session.clips.store), "content": session.clips.store.content},
            "nets": {name: net.state_dict() for name, net in training.nets.items()},
            "training": training.state(),
        }
        self._writer.save(step, training.models, state, self._best)
        self._saved, self._saved_at = step, time.monotonic()

    def _load(self, checkpoint: Path, attempt: Attempt) -> tuple[int, float]:
        """Goes on from a checkpoint; the steps that were made until it, and the seconds they took."""
        session, training = self._session, self._training
        state = read_state(checkpoint)
        facts = facts_of(checkpoint, state)
        try:
            for name, net in training.nets.items():
                net.load_state_dict(state["nets"][name])
            models = read_models(checkpoint)
            for name, model in training.models.items():
                model.load_state_dict(models.get(name, {}))
            session.begin(attempt)
            training.load(state["training"])
        except GadkitError:
            raise
        except Exception as error:  # a state that somebody made up can make anything of a trainer
            raise RunError(
                f"{checkpoint}: does not fit the parts as they are installed now "
                f"({' '.join(str(error).split())[:200]}); install the versions that environment.json names."
            ) from error
        self._saved, self._best = facts.step, self._writer.tidy(facts.best, self._best_by)
        self._health = Health()
        if session.run is not None:
            for line in session.run.read_log():
                if "event" not in line and line["step"] <= self._saved:
                    self._health.see(line["step"], values_of(line))
        return self._saved, facts.seconds

    def _trouble(self, step: int) -> Trouble:
        finding = self._watch.finding()
        if finding is None:
            return Trouble(step, "numbers of another process were not finite")
        return Trouble(finding.step + 1, finding.sentence())

    def _go_back(self, trouble: Trouble) -> int:
        """Back to a good checkpoint, for another try; the steps that were made until it."""
        session = self._session
        session.background.wait()
        told = go_back(session, trouble) if session.engine.main else None
        told = session.engine.share(told)
        if "error" in told:
            raise RunError(told["error"])
        self._watch.forget()
        if session.engine.main:
            session.reporter.warned(step_of(Path(told["checkpoint"])), told["text"])
        return self._load(Path(told["checkpoint"]), Attempt(**told["attempt"]))[0]
