"""Gradients of gradients: trying once whether the nets have what the penalty and the direction will ask of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from gadkit import Session
from gadkit.engine import refused
from gadkit_plugins.minimax.game import MinimaxGame


def differentiate_twice(game: MinimaxGame, session: Session) -> None:
    """Tries once what the penalty and the direction will ask of the nets in every step.

    Raises:
        ConfigError: A net has no second derivatives; the sentence names who needs them, and the ways out.
    """
    penalty, direction = session.penalty, session.direction
    if penalty is not None and penalty.double_backward:
        with asked(session, ["penalty"]):
            game.begin(0)
            loss = game.discriminator.loss(0, 0, False)
            torch.autograd.grad(loss, game.discriminator.parameters, materialize_grads=True)
    if direction.needs_double_backward or direction.needs_one_graph:
        with asked(session, ["direction"]):
            game.begin(0)
            mixed(game)


def mixed(game: MinimaxGame) -> list[Tensor]:
    """Every loss's gradients with graphs, and for each of them a product with the derivative in the other player."""
    making, judging = game.generator.parameters, game.discriminator.parameters
    found: list[Tensor] = []
    for loss in game.losses(0):
        gradients = torch.autograd.grad(loss, [*making, *judging], create_graph=True, materialize_grads=True)
        found += gradients
        for own, other in ((gradients[: len(making)], judging), (gradients[len(making) :], making)):
            if moved := [gradient for gradient in own if gradient.requires_grad]:
                weights = [torch.ones_like(gradient) for gradient in moved]
                found += torch.autograd.grad(moved, other, weights, retain_graph=True, materialize_grads=True)
    return found


def asked(session: Session, kinds: Sequence[str] = ("penalty", "direction")) -> AbstractContextManager[None]:
    """A block in which parts of these kinds may differentiate gradients; see `gadkit.engine.refused`."""
    asking = {
        kind: f"{kind} {session.config.parts[kind].entry.component.name!r}" for kind in kinds if _asks(session, kind)
    }
    nets = ["discriminator"] if list(asking) == ["penalty"] else ["generator", "assembler", "discriminator"]
    return refused(asking, {net: session.parts[net] for net in nets})


def _asks(session: Session, kind: str) -> bool:
    part = session.parts.get(kind)
    return part is not None and bool(part.double_backward if kind == "penalty" else part.needs_double_backward)
