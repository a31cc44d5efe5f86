"""Batch statistics do not depend on how a batch is cut."""

import pytest
import torch
from torch import nn

from gadkit.engine import Engine, GroupedBatchNorm, commit_statistics, group_batchnorm, statistics_groups
from gadkit.errors import ConfigError


def layers(groups: int) -> tuple[nn.BatchNorm2d, GroupedBatchNorm]:
    torch.manual_seed(0)
    plain = nn.BatchNorm2d(3).double()
    nn.init.normal_(plain.weight)
    grouped = GroupedBatchNorm.from_layer(nn.BatchNorm2d(3).double())
    grouped.load_state_dict(plain.state_dict())
    grouped.groups = groups
    return plain, grouped


def test_one_group_is_the_ordinary_layer():
    plain, grouped = layers(1)
    x = torch.randn(8, 3, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(grouped(x), plain(x), rtol=0, atol=1e-12)
    commit_statistics(grouped, Engine("cpu", "fp64"))
    torch.testing.assert_close(grouped.running_mean, plain.running_mean, rtol=0, atol=1e-12)
    torch.testing.assert_close(grouped.running_var, plain.running_var, rtol=0, atol=1e-12)
    torch.testing.assert_close(grouped.eval()(x), plain.eval()(x), rtol=0, atol=1e-12)


def test_groups_are_ordinary_layers_on_consecutive_parts():
    plain, grouped = layers(4)
    x = torch.randn(8, 3, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(grouped(x), torch.cat([plain(part) for part in x.split(2)]), rtol=0, atol=1e-12)


def test_micro_batches_give_the_running_statistics_of_the_whole_batch():
    _, whole = layers(4)
    _, cut = layers(2)
    x = torch.randn(8, 3, 4, 4, dtype=torch.float64)
    out = torch.cat([cut(x[:4]), cut(x[4:])])
    assert torch.equal(whole(x), out)
    for layer in (whole, cut):
        commit_statistics(layer, Engine("cpu", "fp64"))
    torch.testing.assert_close(whole.running_var, cut.running_var, rtol=1e-14, atol=0)
    assert not torch.equal(whole.running_mean, torch.zeros(3))


def test_it_can_be_differentiated_twice():
    _, grouped = layers(2)
    x = torch.randn(4, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda t: grouped(t).sin(), x)


def test_conversion_keeps_weights_and_reaches_nested_layers():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.BatchNorm2d(4)), nn.BatchNorm3d(4))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    group_batchnorm(net)
    assert isinstance(net[1][0], GroupedBatchNorm)
    assert isinstance(net[2], GroupedBatchNorm)
    assert net.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_the_group_is_independent_of_the_number_of_processes():
    assert [statistics_groups(32, None, 32 // parts) for parts in (1, 2)] == [(16, 2), (16, 1)]
    assert statistics_groups(24, None, 24) == (12, 2)
    with pytest.raises(ConfigError, match=r"norm_group: found 16.*divisor of 8"):
        statistics_groups(32, None, 8)
