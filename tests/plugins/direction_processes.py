"""Trains with every direction for three float64 steps; run alone by a test, and under torchrun."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import torch  # noqa: E402
from test_minimax import small  # noqa: E402

from gadkit.engine.devices import leave  # noqa: E402

#: Rates of plain steps, for directions without Adam.
PLAIN = {"trainer.generator_lr": 0.05, "trainer.discriminator_lr": 0.05}
#: By a name for the run: the direction and its settings.
CASES = {
    "simultaneous": {"direction": "simultaneous"},
    "optimistic": {"direction": "optimistic"},
    "optimistic-alternating": {"direction": "optimistic", "set": {"direction.alternating": True}},
    "extragradient": {"direction": "extragradient"},
    "extragradient-fresh": {"direction": "extragradient", "set": {"direction.fresh": True}},
    "conjugate": {"direction": "conjugate", "set": {"direction.beta": "PRP"} | PLAIN},
}


def train(out, name, **choices):
    """RpGAN+R1 with batch statistics, so that all that a step may depend on is there."""
    settings = {"trainer.norm_group": 2, "discriminator.norm": "batch"} | CASES[name].get("set", {})
    settings |= choices.pop("set", {})
    choices = {"direction": CASES[name]["direction"], "loss": "rpgan", "penalty": "r1", "steps": 3} | choices
    return small(out, set=settings, **choices)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for case in CASES:
        train(Path(sys.argv[1]) / case, case)
    leave(0)
