"""The conformance kit for directions: do they keep what the trainer's game counts on, and what their flags say?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from gadkit.checkpoints.documents import dump, parse
from gadkit.checkpoints.tensors import check_tensors
from gadkit.checkpoints.trees import flatten, snapshot, unflatten
from gadkit.interfaces.direction import Direction
from gadkit.interfaces.loss import Loss
from gadkit.testing.probes import untouched
from gadkit.testing.promises import promise
from gadkit.testing.reads import HostReads
from gadkit.testing.scheduled import check_scheduled
from gadkit.testing.surroundings import unshared
from gadkit.testing.watched import (
    NAMES,
    Conditions,
    DifferentiableOnce,
    GeneralSum,
    Name,
    Record,
    WatchedGame,
    ZeroSum,
    point,
    ring,
)

#: Steps of a short run; a second one goes on with as many.
_STEPS = 3
_FLAGS = ("needs_zero_sum", "needs_double_backward", "needs_one_graph", "scalable", "capturable")

Build = Callable[[], Direction]
Board = Callable[..., WatchedGame]


def check_direction(cls: type[Direction], **settings: Any) -> None:
    """Checks a direction class, built with `settings`, against `gadkit.Direction`.

    On small games in float64 it moves both players, with finite numbers also where gradients are zero; it is a function
    of the parameters, the batches and its state, which goes through a checkpoint and can be forgotten; it asks for the
    draws that it declares; and each of its flags is true.

    Raises:
        AssertionError: A broken promise.
    """
    with unshared(cls):
        _check(cls, settings)


def _check(cls: type[Direction], settings: dict[str, Any]) -> None:
    name = cls.__name__

    def build() -> Direction:
        return cls(**settings)

    direction = build()
    promise(
        all(isinstance(getattr(direction, flag), bool) for flag in _FLAGS)
        and all(isinstance(count, int) for count in (direction.draws, direction.copies))
        and direction.draws >= 1
        and direction.copies >= 0,
        f"{name} has the flags of gadkit.Direction: yes or no, draws of at least 1, copies of at least 0",
        f"they are { {flag: getattr(direction, flag) for flag in (*_FLAGS, 'draws', 'copies')} }",
        "set them on the class, or in __init__ where they depend on a setting",
    )
    losses: list[Loss] = [ZeroSum()] if direction.needs_zero_sum else [ZeroSum(), GeneralSum()]
    for loss in losses:
        for board in (ring, point):

            def game(*, once: bool = False, board: Board = board, loss: Loss = loss) -> WatchedGame:
                return board(DifferentiableOnce(loss) if once else loss)

            check_scheduled(cls, settings, (), lambda direction: _played(direction, game()))
            _check_moves(build, game, name)
            _check_still(build, game, name)
            _check_state(build, game, name)
            _check_flags(build, game, name)


def _play(
    direction: Direction, game: WatchedGame, steps: Iterable[int], conditions: Conditions | None = None
) -> list[Record]:
    records = []
    for step in steps:
        game.begin(step, conditions)
        direction.step(game)
        records.append(game.record)
    return records


def _played(direction: Direction, game: WatchedGame) -> Tensor:
    """Where a few steps lead to."""
    _play(direction, game, range(_STEPS))
    return torch.cat([parameter.detach().flatten() for parameter in _parameters(game)])


def _parameters(game: WatchedGame) -> list[Tensor]:
    return [parameter for name in NAMES for parameter in game.parameters(name)]


def _equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def _finite(game: WatchedGame, promised: str, mend: str) -> None:
    promise(
        all(bool(parameter.isfinite().all()) for parameter in _parameters(game)),
        promised,
        "parameters are nan or inf",
        mend,
    )


def _check_moves(build: Build, board: Board, name: str) -> None:
    """Both players move, by a function of where they are and of the batches, which leaves nothing else behind."""
    direction, game = build(), board()
    before = {player: game.parameters(player) for player in NAMES}
    with untouched(name):
        records = _play(direction, game, [0])
    for player in NAMES:
        promise(
            not _equal(game.parameters(player), before[player]),
            f"a step of {name} moves the {player}",
            "its parameters are as they were",
            "hand a gradient to update, or steps to move, of each player",
        )
    with untouched(name):
        records += _play(direction, game, range(1, _STEPS))
    _finite(game, f"{name} makes finite steps", "look for a division by zero, as in the first step")
    promise(
        all(p.requires_grad and p.grad is None for player in NAMES for p in game.player(player).parameters),
        f"{name} leaves parameters without gradients of their own, and ready for the next ones",
        "one has `grad`, or no longer requires a gradient",
        "use what Player.gradient returns and torch.autograd.grad, and no backward()",
    )
    for record in records:
        _check_order(record, direction, name)
    asked = {call.draw for record in records for call in (*record.of("gradient"), *record.of("losses"))}
    promise(
        asked == set(range(direction.draws)),
        f"{name} asks for the draws that it declares, {direction.draws} of them from 0 on",
        f"it asked for {sorted(asked)}",
        "set `draws` to as many as a step takes: the trainer counts clips by it",
    )
    for conditions, promised, mend in (
        (Conditions(), "does the same from the same start with the same batches", "look for state that two share"),
        (
            Conditions(reuse=True),
            "does the same where a player's gradients lie in the same memory at every call",
            "clone what must last beyond the next call of Player.gradient",
        ),
    ):
        again = board()
        _play(build(), again, range(_STEPS), conditions)
        promise(_equal(_parameters(again), _parameters(game)), f"{name} {promised}", "the parameters differ", mend)


def _check_order(record: Record, direction: Direction, name: str) -> None:
    """What the trainer's game counts on within a step."""
    gradients = record.of("gradient")
    for call, following in pairwise([*gradients, None]):
        assert call is not None
        kept = following is not None and (following.player, following.draw) != (call.player, call.draw)
        kept = kept and following is not None and following.draw == call.draw and following.kept
        promise(
            kept or not call.again,
            f"after gradient(draw, again=True), {name} next asks the other player for the same draw, with the "
            "generator as it was, whose videos are kept for that",
            f"the {call.player} was asked for draw {call.draw}, and then "
            + (f"the {following.player} for draw {following.draw}" if following is not None else "nobody"),
            "say `again` only then",
        )
    graphs = record.of("losses")
    promise(
        direction.needs_one_graph or not graphs,
        f"{name}.needs_one_graph says whether it asks for Game.losses: it says that it does not, so the batch may be "
        "cut into micro-batches",
        f"it asked {len(graphs)} times",
        "set needs_one_graph to True, or use Player.gradient",
    )
    promise(
        not graphs or bool(record.of("average_")),
        f"{name} averages over the processes what it derives from Game.losses",
        "it asked for the losses and never called Game.average_",
        "call game.average_([...]) on gradients and products before they are used",
    )
    if not direction.scalable:
        return
    promise(
        not record.of("move"),
        f"{name}.scalable says that nothing but Player.update moves parameters",
        "it called Player.move",
        "set scalable to False, or hand gradients to Player.update",
    )
    for player in NAMES:
        order = [call.what for call in record.calls if call.player == player and call.what != "rate"]
        promise(
            order == ["gradient", "update"] * (len(order) // 2),
            f"{name}.scalable says that every gradient is handed to Player.update once, before that player's next one",
            f"the {player} was asked for {', '.join(order)}",
            "set scalable to False, or call gradient and update in turn",
        )


def _check_still(build: Build, board: Board, name: str) -> None:
    """Zero gradients are nothing special."""
    direction, game = build(), board()
    for step in range(2 * _STEPS):
        _play(direction, game, [step], Conditions(still=step % 3 == 0))
    _finite(
        game,
        f"{name} makes finite steps where gradients are zero, as those of a hinge loss can be",
        "guard the quotients: torch.where(below == 0, 0, above / torch.where(below == 0, 1, below))",
    )


def _through_checkpoint(direction: Direction, name: str) -> dict[str, Any]:
    """The state as it comes out of a checkpoint."""
    state = direction.state_dict()
    try:
        document, tensors = flatten(snapshot(state))
        check_tensors(tensors)
        back: dict[str, Any] = unflatten(parse(dump(document)), tensors)
    except (TypeError, ValueError) as error:
        promise(
            False,
            f"{name}.state_dict holds tensors, numbers, strings, booleans, None, and lists and dicts of them with "
            "string keys, because checkpoints are safetensors and JSON",
            str(error),
            "keep nothing else in it",
        )
        raise
    return back


def _check_state(build: Build, board: Board, name: str) -> None:
    """What the next step depends on is in the state, and all of it."""
    direction, game = build(), board()
    _play(direction, game, range(_STEPS))
    resumed, unbroken, rolled_back = board(), board(), board()
    for other in (resumed, unbroken, rolled_back):
        other.take_over(game)
    later = range(_STEPS, 2 * _STEPS)
    state, same_state = _through_checkpoint(direction, name), _through_checkpoint(direction, name)
    size = sum(parameter.numel() for parameter in _parameters(game))
    kept = flatten(state)[1].values()
    promise(
        sum(tensor.numel() for tensor in kept) <= direction.copies * size + len(kept),
        f"{name}.copies says how many tensors of every parameter's size it keeps, for estimates of memory: "
        f"{direction.copies}",
        f"its state alone holds {sum(tensor.numel() for tensor in kept)} numbers, for {size} of parameters",
        "set `copies` to the most that a step holds at once",
    )
    _play(direction, unbroken, later)
    fresh = build()
    fresh.load_state_dict(state)
    _play(fresh, resumed, later)
    promise(
        _equal(_parameters(resumed), _parameters(unbroken)),
        f"{name} goes on exactly where its state was taken, in another process",
        "the parameters differ",
        "put everything that the next step depends on into state_dict, and take it back in load_state_dict",
    )
    direction.load_state_dict(same_state)
    _play(direction, rolled_back, later)
    promise(
        _equal(_parameters(rolled_back), _parameters(unbroken)),
        f"{name} goes back to an earlier step when it is given that step's state",
        "the parameters differ",
        "let load_state_dict replace everything that was remembered",
    )
    direction.load_state_dict({})
    anew = board()
    _play(direction, anew, range(_STEPS))
    promise(
        _equal(_parameters(anew), _parameters(game)),
        f"load_state_dict({{}}) makes {name} begin anew",
        "its steps differ from those of a new one",
        "forget everything where the state is empty",
    )


def _check_flags(build: Build, board: Board, name: str) -> None:
    """What a flag promises of the surroundings that it opens."""
    direction = build()
    if direction.scalable:
        overflows: tuple[frozenset[Name], ...] = (frozenset(NAMES), *(frozenset({player}) for player in NAMES))
        for overflow in overflows:
            direction, game = build(), board()
            _play(direction, game, range(2))
            before = {player: game.parameters(player) for player in overflow}
            _play(direction, game, [2], Conditions(overflow=overflow))
            for player in overflow:
                promise(
                    _equal(game.parameters(player), before[player]),
                    f"{name}.scalable says that where Player.update returns False, that player's parameters do not "
                    "move",
                    f"the {player}'s did",
                    "look at what update returns before anything else is changed",
                )
            _play(direction, game, range(3, 5))
            _finite(game, f"{name} goes on after gradients that overflowed", "keep them out of what is remembered")
    if direction.capturable:
        game = board()
        with HostReads() as game.reads:
            records = _play(build(), game, range(_STEPS))
        found = sorted({*game.reads.found, *("Player.rate" for record in records if record.of("rate"))})
        promise(
            not found,
            f"{name}.capturable says that a step reads nothing on the host",
            f"it used {', '.join(found)}",
            "set capturable to False; or choose with torch.where, with no .item(), no float(tensor), no `if` on one, "
            "no index by a mask, and not by the learning rate, which a captured step would keep for ever",
        )
    if not direction.needs_double_backward:
        try:
            _play(build(), board(once=True), range(_STEPS))
        except RuntimeError as error:
            promise(
                False,
                f"{name}.needs_double_backward says whether it differentiates gradients: it says that it does not, so "
                "nets without second derivatives may be used",
                f"it failed with {error!r}",
                "set needs_double_backward to True",
            )
            raise
