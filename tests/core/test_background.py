"""What is written beside a training changes nothing of it."""

import torch
from torch import nn

from gadkit.runs.background import Background


def casts_of_two_passes(between):
    """How often a weight was cast for two uses in one forward pass in bf16, with `between` called after each."""
    weight, x, casts = nn.Parameter(torch.rand(4, 4)), torch.rand(2, 4), set()
    with torch.autocast("cpu", torch.bfloat16):
        for _ in range(2):
            result = nn.functional.linear(x, weight)
            nodes = [node for node, _ in result.grad_fn.next_functions if node is not None]
            nodes += [parent for node in nodes for parent, _ in node.next_functions if parent is not None]
            casts |= {node for node in nodes if "ToCopy" in type(node).__name__}
            between()
    return len(casts)


def test_a_job_that_enters_and_leaves_autocast_leaves_the_casts_of_a_training_alone():
    def job():
        with torch.autocast("cpu", torch.bfloat16), torch.autocast("cpu", enabled=False):
            torch.ones(2, 2) @ torch.ones(2, 2)

    with Background() as background:

        def between():
            background.submit(job)
            background.wait()

        assert casts_of_two_passes(between) == 1
    assert casts_of_two_passes(torch.clear_autocast_cache) == 2
