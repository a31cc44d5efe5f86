"""Trains runs one after the other, alone or as one of several processes; for `test_killed_processes.py`.

    python killed_processes.py FOLDER NAME[@STEP] [NAME%STEP] ...

Each NAME is a run that begins or goes on. With `@STEP` the last process is killed after that step; with `%STEP` it is
the one that is asked to stop then, and steps count as slow. The clips that each sample of the batches is made of are
written to `NAME.RANK.jsonl` beside the run.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import torch  # noqa: E402
from test_minimax import small  # noqa: E402

from gadkit.engine import Clips  # noqa: E402
from gadkit.engine.devices import leave  # noqa: E402
from gadkit.runs import course  # noqa: E402
from gadkit.runs.course import Course  # noqa: E402

RANK, WORLD = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
SETTINGS = {
    "discriminator.norm": "batch",
    "trainer.norm_group": 2,
    "run.log_every": 2,
    "run.checkpoint_every": 3,
    "clips.flip": True,
    "trainer.ema": 40.0,
    "direction.fresh": True,
}


def train(run: Path, kill: int, ask: int) -> None:
    """Ten steps, or those that are left of them."""
    select, between, patience, stop = Clips.select, Course._between, course._PATIENCE, threading.Event()
    if ask:
        course._PATIENCE = -1.0

    def recorded(self, positions):
        choice = select(self, positions)
        fields = [getattr(choice, name).tolist() for name in ("videos", "places", "flips")]
        with open(f"{run}.{RANK}.jsonl", "a") as file:
            for position, *clip in zip(positions.tolist(), *fields, strict=True):
                file.write(json.dumps([position, clip]) + "\n")
        return choice

    def made(self, step):
        if step == kill and RANK == WORLD - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if step == ask and RANK == WORLD - 1:
            stop.set()
        return between(self, step)

    Clips.select, Course._between = recorded, made
    small(run, resume="auto", steps=10, penalty="r1r2", loss="rpgan", stop=stop, set=dict(SETTINGS))
    Clips.select, Course._between, course._PATIENCE = select, between, patience


if __name__ == "__main__":
    torch.set_num_threads(1)
    for job in sys.argv[2:]:
        name, mark, step = job.partition("%" if "%" in job else "@")
        at = int(step or 0)
        train(Path(sys.argv[1]) / name, kill=at * (mark == "@"), ask=at * (mark == "%"))
    leave(0)
