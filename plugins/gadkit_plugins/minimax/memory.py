"""How much memory a step takes, measured on a small one."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from gadkit_plugins.minimax.game import MinimaxGame


def activations(game: MinimaxGame, clips: int) -> float:
    """Bytes that the graph of the discriminator's loss or of the generator's keeps, whichever is more.

    Runs both forward passes on `clips` clips, and counts each storage that autograd saves once, the double backward's
    included. Parameters are not counted.

    Args:
        game: At any step; its meter is emptied and batch statistics are forgotten.
        clips: Samples of a forward pass in this game.
    """
    own = {
        parameter.untyped_storage().data_ptr()
        for parameter in (*game.generator.parameters, *game.discriminator.parameters)
    }
    largest = 0
    for player in (game.discriminator, game.generator):
        seen: dict[int, int] = {}

        def pack(tensor: Tensor, seen: dict[int, int] = seen) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                seen[storage.data_ptr()] = storage.nbytes()
            return tensor

        game.begin(0)
        with saved_tensors_hooks(pack, lambda tensor: tensor):
            player.loss(0, 0, True)  # where the generator's graph is kept for its own step
        largest = max(largest, sum(seen.values()))
    return largest / clips


def parameters(game: MinimaxGame) -> dict[str, int]:
    """Bytes of weights, of gradients, of Adam's two moments and, for the generator, of the average."""
    making = sum(p.numel() * p.element_size() for p in game.generator.parameters)
    judging = sum(p.numel() * p.element_size() for p in game.discriminator.parameters)
    both = making + judging
    return {"weights": both, "gradients": both, "optimiser": 2 * both, "average": making}


def take(game: MinimaxGame, again: bool) -> None:
    """Takes the memory of a step: both players' graphs and gradients beside what stays from step to step.

    Args:
        game: Of one micro-batch.
        again: Whether the generator's graph is kept from the discriminator's step to its own.
    """
    own = [*game.generator.parameters, *game.discriminator.parameters]
    held = [torch.zeros_like(parameter) for parameter in own * 3]  # Adam's moments, and the average
    game.begin(0)
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
