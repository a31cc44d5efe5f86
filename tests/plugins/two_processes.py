"""Trains every loss and penalty for ten float64 steps; run alone and under torchrun by a test."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import torch  # noqa: E402
from test_minimax import small  # noqa: E402

from gadkit.engine.devices import leave  # noqa: E402

CASES = {loss: {"loss": loss} for loss in ("minimax", "nonsaturating", "hinge", "lsgan", "wasserstein", "rpgan")}
CASES |= {f"rpgan-{penalty}": {"penalty": penalty} for penalty in ("r1", "r1r2", "approx-r1r2", "wgan-gp")}
CASES |= {
    f"norm-{penalty}": {"penalty": penalty, "set": {"discriminator.norm": "batch"}} for penalty in ("r1r2", "wgan-gp")
}
CASES["vae"] = {"trainer": "vae", "set": {"trainer.adversarial": 0.3, "trainer.free_bits": 0.2}, "accumulate": 2}
CASES["augmented"] = {
    "penalty": "r1",
    "augmentation": "diffaugment",
    "set": {"augmentation.target": -0.5, "augmentation.ramp": 80.0},
}
CASES["frames-labels"] = {"discriminator": "dcgan-frame", "labels": "own", "penalty": "r1", "accumulate": 2}

if __name__ == "__main__":
    torch.set_num_threads(1)
    for name, choices in CASES.items():
        settings = {"trainer.norm_group": 2} | choices.pop("set", {})
        choices = {"loss": "rpgan", "penalty": "none", "steps": 10} | choices
        small(Path(sys.argv[1]) / name, set=settings, **choices)
    leave(0)
