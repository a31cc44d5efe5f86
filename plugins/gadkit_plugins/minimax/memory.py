"""How much memory a step takes, measured on a small one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from gadkit import Direction
from gadkit.engine import graph_bytes
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
    own = [*game.generator.parameters, *game.discriminator.parameters]
    graphs: list[Callable[[], object]] = [partial(mixed, game)]
    if not direction.needs_one_graph:  # the generator's graph is kept for its own step
        graphs = [partial(player.loss, 0, 0, True) for player in (game.discriminator, game.generator)]
    largest = 0
    for build in graphs:
        game.begin(0)
        largest = max(largest, graph_bytes(build, own))
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
