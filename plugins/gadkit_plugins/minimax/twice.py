"""Gradients of gradients: trying whether the nets have them, and saying what to do where they have none."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gadkit import ConfigError, Session
from gadkit_plugins.minimax.game import MinimaxGame

#: How PyTorch says that something cannot be differentiated again, with the operation where it names one.
_REFUSALS = re.compile(
    r"derivative for '?(?:aten::)?(?P<operation>\w+)'? is not implemented"
    r"|differentiate twice a function that was marked"
)
#: How compiled code says it, the second way where the strides of a gradient are not those that it was compiled for.
_COMPILED = re.compile(r"does not currently support double backward|leaf Variable .* used in an in-place operation")


def differentiate_twice(game: MinimaxGame, session: Session) -> None:
    """Tries once what the penalty and the direction will ask of the nets in every step.

    Raises:
        ConfigError: A net has no second derivatives; the sentence names who needs them, and the ways out.
    """
    penalty, direction = session.penalty, session.direction
    if penalty is not None and penalty.double_backward:
        with refused(session, ["penalty"]):
            game.begin(0)
            loss = game.discriminator.loss(0, 0, False)
            torch.autograd.grad(loss, game.discriminator.parameters, materialize_grads=True)
    if direction.needs_double_backward or direction.needs_one_graph:
        with refused(session, ["direction"]):
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


@contextmanager
def refused(session: Session, kinds: Sequence[str] = ("penalty", "direction")) -> Iterator[None]:
    """A block in which PyTorch's refusal to differentiate something twice becomes an error that says what to do.

    Args:
        session: The parts.
        kinds: Those that may be at work in the block.
    """
    try:
        yield
    except RuntimeError as error:
        refusal = _REFUSALS.search(str(error))
        compiled = _COMPILED.search(str(error)) is not None and _is_compiled(error)
        asking = [kind for kind in kinds if _asks(session, kind)]
        if not asking or not (refusal or compiled):
            raise
        raise _explain(session, asking, "" if refusal is None else refusal["operation"] or "", compiled) from error


def _is_compiled(error: BaseException) -> bool:
    """Whether an error comes out of what `torch.compile` made."""
    return any("_aot_autograd" in frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__))


def _asks(session: Session, kind: str) -> bool:
    part = session.parts.get(kind)
    return part is not None and bool(part.double_backward if kind == "penalty" else part.needs_double_backward)


def _explain(session: Session, asking: Sequence[str], operation: str, compiled: bool) -> ConfigError:
    """The error: who needs the second derivative, what has none, and the ways out, the cheapest first."""
    names = [f"{kind} {session.config.parts[kind].entry.component.name!r}" for kind in asking]
    verb = "needs" if len(names) == 1 else "need"
    ways = ["--penalty approx-r1r2, which needs none"] if "penalty" in asking else []
    ways += ["another --direction, such as alternating"] if "direction" in asking else []
    if "rnn" in operation or "lstm" in operation or "gru" in operation:
        what = "a fused recurrent layer" + _named(session, nn.RNNBase, asking)
        ways.append(
            "compute that layer inside torch.backends.cudnn.flags(enabled=False), or from cells such as nn.LSTMCell"
        )
    elif "attention" in operation:
        what = "fused attention" + _named(session, nn.MultiheadAttention, asking)
        ways.append("compute it inside torch.nn.attention.sdpa_kernel(SDPBackend.MATH)")
    elif compiled:
        what = "a compiled network"
        ways.append("leave torch.compile away")
    else:
        what = f"the operation {operation}" if operation else "an operation"
        ways.append("compute it by others that have one")
    return ConfigError(
        f"{' and '.join(names)} {verb} the derivative of a gradient through the nets, and PyTorch has none for {what}; "
        f"choose {', or '.join(ways[:-1])}, or {ways[-1]}."
    )


def _named(session: Session, kind: type[nn.Module], asking: Sequence[str]) -> str:
    """Where such layers are: `" (discriminator.memory, an LSTM)"`; empty where none is found by its class."""
    nets = ["discriminator"] if list(asking) == ["penalty"] else ["generator", "assembler", "discriminator"]
    for net in nets:
        for name, layer in session.parts[net].named_modules():
            if isinstance(layer, kind):
                return f" ({net}.{name}: nn.{type(layer).__name__})"
    return ""
