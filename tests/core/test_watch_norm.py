"""The norm of gradients that a watch gives for the log."""

import math

import pytest
import torch
from torch import nn

from gadkit.engine import Watch


def test_the_norm_of_all_gradients_does_not_overflow_where_they_do_not():
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    watch = Watch({"net": net}, torch.device("cpu"))
    watch.begin(0)
    parameters = list(net.parameters())
    for scale in (0.0, 1e-30, 1.0, 6e18):
        gradients = [torch.full_like(parameter, scale) for parameter in parameters]
        norm = watch.gradients(parameters, gradients)
        count = sum(parameter.numel() for parameter in parameters)
        assert float(norm) == pytest.approx(scale * math.sqrt(count), rel=1e-5)
    assert watch.finding() is None
