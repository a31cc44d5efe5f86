"""How much memory a step takes, measured on a small one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from gadkit import Direction
from gadkit_plugins.minimax.game import MinimaxGame
from gadkit_plugins.minimax.twice import mixed


def activations(game: MinimaxGame, clips: int, direction: Direction) -> float:
    """Bytes that the graph of the discriminator's loss or of the generator's keeps, whichever is more.

    Runs both forward passes on `clips` clips, and counts each storage that autograd saves once, the double backward's
    included. Parameters are not counted. For a direction that needs one graph it is that of both losses and of their
    gradients.

    Args:
        game: At any step.
        clips: Samples of a forward pass in this game.
        direction: What asks for the graphs.
    """
    own = {
        parameter.untyped_storage().data_ptr()
        for parameter in (*game.generator.parameters, *game.discriminator.parameters)
    }
    largest = 0
    graphs: list[Callable[[], object]] = [partial(mixed, game)]
    if not direction.needs_one_graph:  # the generator's graph is kept for its own step
        graphs = [partial(player.loss, 0, 0, True) for player in (game.discriminator, game.generator)]
    for build in graphs:
        seen: dict[int, int] = {}

        def pack(tensor: Tensor, seen: dict[int, int] = seen) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                seen[storage.data_ptr()] = storage.nbytes()
            return tensor.detach()  # a tensor that its own graph keeps alive would never be freed

        game.begin(0)
        with saved_tensors_hooks(pack, lambda tensor: tensor):
            build()
        largest = max(largest, sum(seen.values()))
    return largest / clips


def parameters(game: MinimaxGame, direction: Direction) -> dict[str, int]:
    """Bytes of weights, of gradients, of Adam's two moments, for the generator of the average, and of the direction."""
    making = sum(p.numel() * p.element_size() for p in game.generator.parameters)
    judging = sum(p.numel() * p.element_size() for p in game.discriminator.parameters)
    both = making + judging
    found = {"weights": both, "gradients": both, "optimiser": 2 * both, "average": making}
    return found | ({"direction": direction.copies * both} if direction.copies else {})


def take(game: MinimaxGame, direction: Direction, again: bool) -> None:
    """Takes the memory of a step: both players' graphs and gradients beside what stays from step to step.

    Args:
        game: Of one micro-batch.
        direction: What makes the steps.
        again: Whether the generator's graph is kept from the discriminator's step to its own.
    """
    own = [*game.generator.parameters, *game.discriminator.parameters]
    held = [torch.zeros_like(parameter) for parameter in own * (3 + direction.copies)]  # 3: Adam's and the average
    game.begin(0)
    if direction.needs_one_graph:
        held += mixed(game)
        return
    for player in (game.discriminator, game.generator):
        loss = player.loss(0, 0, again)
        held += torch.autograd.grad(loss, player.parameters, materialize_grads=True)


def release(*nets: torch.nn.Module) -> None:
    """Forgets the batch statistics that a measurement left behind."""
    for net in nets:
        for layer in net.modules():
            if getattr(layer, "pending_count", 0):
                layer.pending_count = 0  # type: ignore[assignment]
                for name in ("pending_mean", "pending_var"):
                    layer.get_buffer(name).zero_()
