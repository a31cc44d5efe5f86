"""Trains a run that is measured as it goes, alone or as one of several processes; for `test_evaluating_processes.py`.

python evaluating_processes.py DATA PLUGIN RUN
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from small_runs import SETTINGS, small

from gadkit.engine.devices import leave

if __name__ == "__main__":
    torch.set_num_threads(1)
    data, plugin, run = sys.argv[1:]
    small(
        run,
        dataset=None,
        data=data,
        frames=4,
        held_out=0.5,
        steps=4,
        set=SETTINGS | {"trainer.norm_group": 2},
        precision="fp64",
        plugins=[plugin],
        log_every=4,
        checkpoint_every=10,
        eval_every=1,
        eval_protocol="small",
    )
    leave(0)
