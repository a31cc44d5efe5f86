"""Trains with competitive steps in float64; run under torchrun by a test, which trains the same cases alone."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from test_minimax import small  # noqa: E402

from gadkit.engine.devices import leave  # noqa: E402

#: By a name for the run: the general system with batch statistics and a penalty, and the zero-sum one.
CASES = {
    "general": {"loss": "rpgan", "penalty": "r1r2", "set": {"discriminator.norm": "batch"}},
    "zero-sum": {"loss": "minimax", "penalty": "none", "set": {"direction.preconditioned": False}},
}


def train(out, name, **choices):
    settings = {"trainer.norm_group": 2, "direction.iterations": 3, **CASES[name]["set"], **choices.pop("set", {})}
    return small(out, direction="competitive", **{**CASES[name], "steps": 3, **choices, "set": settings})


if __name__ == "__main__":
    for case in CASES:
        train(Path(sys.argv[1]) / case, case)
    leave(0)
