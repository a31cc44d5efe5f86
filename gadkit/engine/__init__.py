"""What every trainer needs: devices and processes, clips, batch statistics, averages, what discriminators say.

Public: a trainer plugin may import the names of this package.
"""

from gadkit.engine.adversary import Adversary
from gadkit.engine.augmenting import Augmenter
from gadkit.engine.averages import Average, Meter
from gadkit.engine.batches import Batch, Batches, Cut
from gadkit.engine.batchnorm import GroupedBatchNorm, commit_statistics, group_batchnorm, statistics_groups
from gadkit.engine.clips import Clips
from gadkit.engine.devices import Engine, describe_device, lay_out
from gadkit.engine.feeder import Choice
from gadkit.engine.judging import BoundCritic, judge, total
from gadkit.engine.optimisers import laid_out_like, load_optimiser_state, optimiser_state
from gadkit.engine.players import BoundPlayer
from gadkit.engine.preparing import cut_batch, graph_bytes, make_ready, passing
from gadkit.engine.twice import refused
from gadkit.engine.watch import Finding, Watch

__all__ = [
    "Adversary",
    "Augmenter",
    "Average",
    "Batch",
    "Batches",
    "BoundCritic",
    "BoundPlayer",
    "Choice",
    "Clips",
    "Cut",
    "Engine",
    "Finding",
    "GroupedBatchNorm",
    "Meter",
    "Watch",
    "commit_statistics",
    "cut_batch",
    "describe_device",
    "graph_bytes",
    "group_batchnorm",
    "judge",
    "laid_out_like",
    "lay_out",
    "load_optimiser_state",
    "make_ready",
    "optimiser_state",
    "passing",
    "refused",
    "statistics_groups",
    "total",
]
