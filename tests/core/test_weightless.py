"""Nets can be built without memory, and without what PyTorch imports for it."""

import subprocess
import sys

import torch
from small_runs import environment
from torch import nn

from gadkit.engine.weightless import weightless

CODE = """
import sys, torch
from gadkit.engine.weightless import weightless
with weightless():
    layer = torch.nn.Conv2d(3, 10**6, 99)
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.trunc_normal_(layer.weight)
    torch.nn.Embedding(10**9, 10**6)
assert layer.weight.is_meta
print("torch._dynamo" in sys.modules)
"""


def test_random_weights_cost_no_import():
    done = subprocess.run([sys.executable, "-c", CODE], env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_outside_of_the_block_weights_are_drawn():
    with weightless():
        pass
    weight = torch.zeros(100)
    nn.init.normal_(weight)
    assert weight.std() > 0.5
