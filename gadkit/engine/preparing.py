"""What comes before the first step of a training: the batch cut, the nets made ready, the memory of a step measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from gadkit.engine.batches import Cut
from gadkit.engine.batchnorm import GroupedBatchNorm, group_batchnorm
from gadkit.engine.devices import Engine
from gadkit.errors import ConfigError


def cut_batch(engine: Engine, batch_size: int, accumulate: int) -> Cut:
    """The cut of a batch for this process.

    Args:
        engine: The processes.
        batch_size: Clips a step, over all processes.
        accumulate: Micro-batches of each process.

    Raises:
        ConfigError: The batch cannot be cut into so many equal parts.
    """
    parts = engine.world * accumulate
    if batch_size % parts:
        raise ConfigError(
            f"trainer.batch_size: found {batch_size}, expected a multiple of {parts} "
            f"(processes: {engine.world}, micro-batches of each: {accumulate})."
        )
    return Cut(batch_size=batch_size, world=engine.world, rank=engine.rank, pieces=accumulate)


def make_ready(engine: Engine, nets: Iterable[nn.Module]) -> list[GroupedBatchNorm]:
    """Moves nets to the device, in training mode; their batch normalisations, which take statistics by groups now.

    How many groups a forward pass has is for the caller to set; see `statistics_groups`.
    """
    found: list[GroupedBatchNorm] = []
    for net in nets:
        group_batchnorm(net)
        engine.place(net)
        net.train()
        found += [layer for layer in net.modules() if isinstance(layer, GroupedBatchNorm)]
    return found


@contextmanager
def passing(engine: Engine, nets: Callable[[], Iterable[nn.Module]]) -> Iterator[None]:
    """A block that computes with nets and leaves neither batch statistics behind nor a trace in random numbers.

    Args:
        engine: The device.
        nets: Gives the nets, once the block is over.
    """
    device = engine.device
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        for net in nets():
            for layer in net.modules():
                if isinstance(layer, GroupedBatchNorm) and layer.pending_count:
                    layer.pending_count = 0
                    layer.pending_mean.zero_()
                    layer.pending_var.zero_()


def graph_bytes(build: Callable[[], object], parameters: Sequence[Tensor]) -> int:
    """Bytes of the tensors that autograd saves while a graph is built, each storage once.

    Args:
        build: Makes the graph; of a double backward, with its first gradients.
        parameters: What is not counted.

    Returns:
        Their number.
    """
    own = {parameter.untyped_storage().data_ptr() for parameter in parameters}
    seen: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # a tensor that its own graph keeps alive would never be freed

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        build()
    return sum(seen.values())
