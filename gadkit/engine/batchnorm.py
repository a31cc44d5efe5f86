"""Batch statistics over fixed groups of samples.

Batch normalisation couples the samples of a batch, so its result would depend on how many processes share
the batch and on how it is cut for accumulation. Here statistics are taken over groups of a fixed number of consecutive
global samples, which neither cuts; a group as large as the batch is the ordinary layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from gadkit.engine.devices import Engine
from gadkit.errors import ConfigError


class GroupedBatchNorm(_BatchNorm):
    """Batch normalisation whose statistics are taken over each of `groups` equal consecutive parts of the batch.

    In training the running statistics are not touched by `forward`: they wait in `pending` until `commit_statistics`
    averages them over all groups, micro-batches and processes, so they too are independent of the cut.
    """

    groups: int = 1
    pending_count: int = 0
    pending_mean: Tensor
    pending_var: Tensor

    @classmethod
    def from_layer(cls, layer: _BatchNorm) -> GroupedBatchNorm:
        """The grouped layer that shares the parameters and buffers of an ordinary one."""
        new = cls(layer.num_features, layer.eps, layer.momentum, False, False)
        new.affine, new.track_running_stats = layer.affine, layer.track_running_stats
        new.weight, new.bias = layer.weight, layer.bias
        new.running_mean, new.running_var = layer.running_mean, layer.running_var
        new.num_batches_tracked = layer.num_batches_tracked
        new.training = layer.training
        if layer.track_running_stats:
            assert layer.running_mean is not None
            for name in ("pending_mean", "pending_var"):
                new.register_buffer(name, torch.zeros_like(layer.running_mean), persistent=False)
        return new

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected at least 2 dimensions, found {input.dim()}")

    def forward(self, input: Tensor) -> Tensor:
        """Normalises `(N, C, ...)`; N must be a multiple of `groups`.

        Args:
            input: `(N, C, ...)`, N a multiple of `groups`.

        Returns:
            The same shape.
        """
        if not self.training:
            return super().forward(input)
        if self.groups == 1:  # a chunk of everything would still be copied in the backward pass
            return self._normalise(input)
        return torch.cat([self._normalise(part) for part in input.chunk(self.groups)])

    def _normalise(self, part: Tensor) -> Tensor:
        if not self.track_running_stats:
            return F.batch_norm(part, None, None, self.weight, self.bias, True, 0.0, self.eps)
        assert isinstance(self.running_mean, Tensor)
        # Momentum 1 leaves the group's own mean and unbiased variance in the two fresh buffers.
        mean, var = torch.zeros_like(self.running_mean), torch.ones_like(self.running_mean)
        out = F.batch_norm(part, mean, var, self.weight, self.bias, True, 1.0, self.eps)
        self.pending_mean += mean
        self.pending_var += var
        self.pending_count += 1
        return out


def group_batchnorm(module: nn.Module) -> nn.Module:
    """Replaces every batch normalisation inside `module` by a `GroupedBatchNorm`; returns the module."""
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm) and not isinstance(child, GroupedBatchNorm):
            setattr(module, name, GroupedBatchNorm.from_layer(child))
        else:
            group_batchnorm(child)
    return module


def statistics_groups(batch_size: int, group: int | None, micro_batch: int) -> tuple[int, int]:
    """Group size and groups a micro-batch.

    Args:
        batch_size: Global batch, in samples.
        group: Samples that share statistics; `None` takes the largest divisor of the batch up to 16.
        micro_batch: Samples of one forward pass in one process.

    Raises:
        ConfigError: `group` does not divide `micro_batch`.
    """
    if group is None:
        group = next(size for size in range(min(batch_size, 16), 0, -1) if batch_size % size == 0)
    if micro_batch % group:
        raise ConfigError(
            f"trainer.norm_group: found {group}, which does not divide the {micro_batch} samples of a forward pass, "
            "and batch statistics must not depend on how a batch is cut; set trainer.norm_group to a divisor of "
            f"{micro_batch}."
        )
    return group, micro_batch // group


def commit_statistics(module: nn.Module, engine: Engine) -> None:
    """Moves the running statistics by what the step saw, averaged over groups, micro-batches and processes.

    Args:
        module: Whose statistics they are.
        engine: The processes. All call it together.
    """
    layers = [m for m in module.modules() if isinstance(m, GroupedBatchNorm) and m.pending_count]
    if not layers:
        return
    means = [layer.pending_mean for layer in layers]
    variances = [layer.pending_var for layer in layers]
    torch._foreach_div_(means, [float(layer.pending_count) for layer in layers])
    torch._foreach_div_(variances, [float(layer.pending_count) for layer in layers])
    engine.average_([*means, *variances])
    momenta = [1.0 if layer.momentum is None else layer.momentum for layer in layers]
    for layer, mean, var, momentum in zip(layers, means, variances, momenta, strict=True):
        assert isinstance(layer.running_mean, Tensor)
        assert isinstance(layer.running_var, Tensor)
        layer.running_mean.lerp_(mean, momentum)
        layer.running_var.lerp_(var, momentum)
        layer.pending_count = 0
    torch._foreach_zero_([*means, *variances])
