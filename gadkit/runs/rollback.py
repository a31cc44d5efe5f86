"""Going back to a good checkpoint when the numbers of a run are no longer finite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gadkit.runs.attempt import GIVEN_UP, ROLLBACK, rewound
from gadkit.runs.folder import step_of
from gadkit.runs.resuming import newest_whole

if TYPE_CHECKING:
    from gadkit.runs.session import Session

#: From this try on it goes back one checkpoint further than the newest: that one may be past saving.
_FURTHER = 3


@dataclass(frozen=True)
class Trouble:
    """What is wrong.

    Attributes:
        step: The step in which it was found first.
        sentence: What it was, without a full stop.
    """

    step: int
    sentence: str


def go_back(session: Session, trouble: Trouble) -> dict[str, Any]:
    """Chooses the checkpoint and the try that follow upon trouble, and puts the run's folder back to it.

    Called in the first process, when everything is written.

    Returns:
        Plain values: `checkpoint`, `attempt` and `text`; or `error`, where it is time to give up.
    """
    run, settings = session.run, session.config.run
    if run is None:
        return {"error": _diagnosis("this training", trouble, session)}
    attempt = session.attempt.next(trouble.step, settings)
    there = newest_whole(run, 2)
    if attempt is None or not there:
        error = _diagnosis(str(run.path), trouble, session)
        if there:
            step = step_of(there[0])
            # Whoever goes on from here has changed something: the tries are counted anew.
            fresh = session.attempt.after(session.attempt.trouble + 1)
            event = {"step": step, "event": GIVEN_UP, "text": error, "attempt": fresh.to_dict()}
            run.write_log([*rewound(run.read_log(), step, fresh), event])
            session.tell("gadkit_event_logged", step=step, event=GIVEN_UP, text=error)
            error += f" The checkpoint of step {step} is whole."
        return {"error": error}
    target = there[1] if attempt.tries >= _FURTHER and len(there) > 1 else there[0]
    step = step_of(target)
    slower = f" and {attempt.rate:g} of the learning rates" if attempt.rate != 1 else ""
    text = (
        f"{trouble.sentence}; going back to the checkpoint of step {step} with other random numbers{slower} "
        f"(try {attempt.tries} of {settings.rollbacks})."
    )
    told = {"step": step, "event": ROLLBACK, "text": text, "attempt": attempt.to_dict(), "trouble": trouble.step}
    run.write_log([*rewound(run.read_log(), step, attempt), told])
    for later in there[: there.index(target)]:
        run.discard(later)
    session.tell("gadkit_event_logged", step=step, event=ROLLBACK, text=text)
    return {"checkpoint": str(target), "attempt": attempt.to_dict(), "text": text}


def _diagnosis(name: str, trouble: Trouble, session: Session) -> str:
    tries = session.attempt.tries
    again = f" after {tries} tries from a checkpoint" if tries else ""
    return (
        f"{name}: stopped{again}, because {trouble.sentence}; lower the learning rates (--generator-lr, "
        "--discriminator-lr), choose --precision fp32, or give the discriminator a penalty (--penalty r1); to go on "
        "with other settings, say --allow-changes."
    )
