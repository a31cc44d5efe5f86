"""The conformance kit catches directions that break a promise. The bundled: `test_conformance.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from gadkit import Direction, Game
from gadkit.testing import check_direction
from gadkit.testing.games import dirac
from gadkit.testing.reads import HostReads
from gadkit.testing.watched import GeneralSum, ZeroSum
from gadkit_plugins.gad.alternating import Alternating

# Planted faults: each breaks one promise of a direction that otherwise keeps them all.


class Heavy(Direction):
    """A direction with memory that conforms: alternating steps along a decaying sum of gradients."""

    copies = 1

    def __init__(self, *, decay: float = 0.5) -> None:
        self.decay = decay
        self.sums: dict[str, list[Tensor]] = {}

    def step(self, game: Game) -> None:
        self.along(game.discriminator, "discriminator", game.discriminator.gradient(0, again=True))
        self.along(game.generator, "generator", game.generator.gradient(0))

    def along(self, player: Any, name: str, gradients: list[Tensor]) -> None:
        before = self.sums.get(name) or [torch.zeros_like(gradient) for gradient in gradients]
        now = [self.decay * old + gradient for old, gradient in zip(before, gradients, strict=True)]
        if player.update(now):
            self.sums[name] = now

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self.sums}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sums = {name: list(sums) for name, sums in state.get("sums", {}).items()}


class FirstDraw(Heavy):
    draws = 2


class SecondDraw(Heavy):
    def step(self, game: Game) -> None:
        self.along(game.discriminator, "discriminator", game.discriminator.gradient(0))
        self.along(game.generator, "generator", game.generator.gradient(1))


class OnePlayer(Heavy):
    def step(self, game: Game) -> None:
        self.along(game.discriminator, "discriminator", game.discriminator.gradient(0))


class DrawsGlobally(Heavy):
    def step(self, game: Game) -> None:
        torch.rand(1)
        super().step(game)


class Restless(Heavy):
    """Depends on how many of its kind there were."""

    count = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).count += 1
        self.decay = 1 / self.count


class DividesByTheGradient(Heavy):
    """Gradients of one length, also where they have none."""

    def along(self, player: Any, name: str, gradients: list[Tensor]) -> None:
        super().along(player, name, [gradient / gradient.norm() for gradient in gradients])


class KeepsBuffers(Heavy):
    def along(self, player: Any, name: str, gradients: list[Tensor]) -> None:
        before = self.sums.get(name) or gradients
        player.update([old + gradient for old, gradient in zip(before, gradients, strict=True)])
        self.sums[name] = gradients


class SaysAgainTooOften(Heavy):
    def step(self, game: Game) -> None:
        self.along(game.discriminator, "discriminator", game.discriminator.gradient(0, again=True))
        self.along(game.generator, "generator", game.generator.gradient(0, again=True))


class MovesInBetween(Heavy):
    def step(self, game: Game) -> None:
        judging = game.discriminator.gradient(0, again=True)
        with torch.no_grad():
            game.generator.parameters[0].add_(0.1)
        self.along(game.discriminator, "discriminator", judging)
        self.along(game.generator, "generator", game.generator.gradient(0))


class LeavesGradients(Heavy):
    def step(self, game: Game) -> None:
        super().step(game)
        for parameter in game.generator.parameters:
            parameter.grad = torch.zeros_like(parameter)


class Forgets(Heavy):
    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sums = {}


class Keeps(Heavy):
    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sums = {**self.sums, **state.get("sums", {})}


class StoresAnything(Heavy):
    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "kind": type(self)}


class StoresNumbersAsKeys(Heavy):
    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "steps": {3: 1.0}}


class SaysNothingOfCopies(Heavy):
    copies = 0


class MovesPastTheOptimiser(Heavy):
    def along(self, player: Any, name: str, gradients: list[Tensor]) -> None:
        player.move([-0.1 * gradient for gradient in gradients], gradients)


class UpdatesTwice(Heavy):
    def along(self, player: Any, name: str, gradients: list[Tensor]) -> None:
        super().along(player, name, gradients)
        player.update(gradients)


class MovesAfterOverflow(Heavy):
    def along(self, player: Any, name: str, gradients: list[Tensor]) -> None:
        super().along(player, name, gradients)
        with torch.no_grad():
            for parameter in player.parameters:
                parameter.mul_(0.99)


class ReadsTheNorm(Heavy):
    def along(self, player: Any, name: str, gradients: list[Tensor]) -> None:
        if gradients[0].norm() < 1e6:
            super().along(player, name, gradients)


class ReadsTheRate(Heavy):
    def along(self, player: Any, name: str, gradients: list[Tensor]) -> None:
        super().along(player, name, [gradient * (1 + player.rate) for gradient in gradients])


class OneGraph(Direction):
    """A direction that conforms: a step along the gradients with a term of second order (a gradient's own slope)."""

    needs_one_graph = True
    needs_double_backward = True
    scalable = False
    capturable = False

    def step(self, game: Game) -> None:
        players = game.generator, game.discriminator
        gradients = []
        for player, loss in zip(players, game.losses(0), strict=True):
            parameters = list(player.parameters)
            own = torch.autograd.grad(loss, parameters, create_graph=True, retain_graph=True)
            size = torch.stack([gradient.square().sum() for gradient in own]).sum()
            slopes = torch.autograd.grad(size, parameters, retain_graph=True, materialize_grads=True)
            gradients.append([(g + 0.01 * s).detach() for g, s in zip(own, slopes, strict=True)])
        for player, own_gradients in zip(players, gradients, strict=True):
            self.average(game, own_gradients)
            player.move([-player.rate * gradient for gradient in own_gradients], own_gradients)

    def average(self, game: Game, tensors: list[Tensor]) -> None:
        game.average_(tensors)


class SaysNothingOfGraphs(OneGraph):
    needs_one_graph = False


class SaysNothingOfSecondDerivatives(OneGraph):
    needs_double_backward = False


class ForOneProcess(OneGraph):
    def average(self, game: Game, tensors: list[Tensor]) -> None:
        pass


class NeedsZeroSum(Heavy):
    """A rule that is only right for such a loss, and says so: it moves the generator by the discriminator's loss."""

    needs_zero_sum = True

    def step(self, game: Game) -> None:
        assert game.zero_sum
        super().step(game)


class FlagIsNoFlag(Heavy):
    scalable = 1  # type: ignore[assignment]


def test_directions_that_conform_pass() -> None:
    for cls in (Heavy, OneGraph, NeedsZeroSum):
        check_direction(cls)
    check_direction(Alternating, discriminator_steps=3, fresh=True)


@pytest.mark.parametrize(
    ("cls", "found"),
    [
        (FlagIsNoFlag, "has the flags"),
        (FirstDraw, r"asks for the draws that it declares, 2 .* asked for \[0\]"),
        (SecondDraw, r"asks for the draws that it declares, 1 .* asked for \[0, 1\]"),
        (OnePlayer, "moves the generator"),
        (DrawsGlobally, "global generator"),
        (Restless, "same start"),
        (DividesByTheGradient, "where gradients are zero"),
        (KeepsBuffers, "same memory at every call"),
        (SaysAgainTooOften, "and then nobody"),
        (MovesInBetween, "with the generator as it was"),
        (LeavesGradients, "without gradients of their own"),
        (Forgets, "goes on exactly"),
        (Keeps, "begin anew"),
        (StoresAnything, "checkpoints are safetensors and JSON"),
        (StoresNumbersAsKeys, "with string keys"),
        (SaysNothingOfCopies, "copies"),
        (MovesPastTheOptimiser, "called Player.move"),
        (UpdatesTwice, "handed to Player.update once"),
        (MovesAfterOverflow, "where Player.update returns False"),
        (ReadsTheNorm, "reads nothing on the host. Found: it used _local_scalar_dense"),
        (ReadsTheRate, "it used Player.rate"),
        (SaysNothingOfGraphs, "needs_one_graph"),
        (SaysNothingOfSecondDerivatives, "needs_double_backward"),
        (ForOneProcess, "averages over the processes"),
    ],
)
def test_faulty_directions_are_caught(cls: type[Direction], found: str) -> None:
    with pytest.raises(AssertionError, match=r"(?s)^Promised: .+\. Found: .+\. To mend it: .+\.$") as caught:
        check_direction(cls)
    assert caught.match(found)


def test_the_losses_of_the_kit_are_what_they_say() -> None:
    """L_G = -L_D up to terms without the generator's parameters, for one of the two."""
    for loss, zero_sum in ((ZeroSum(), True), (GeneralSum(), False)):
        game = dirac(loss, start=(0.7, -1.3))
        making, judging = game.losses(0)
        (theta,), (psi,) = game.generator.parameters, game.discriminator.parameters
        of_making = torch.autograd.grad(making, (theta, psi), retain_graph=True)
        of_judging = torch.autograd.grad(judging, (theta, psi))
        pairs = zip(of_making, of_judging, strict=True)
        assert all(torch.allclose(a, -b) for a, b in pairs) is zero_sum


def test_host_reads_are_found_and_paused() -> None:
    x = torch.arange(4.0)
    ways: dict[str, Callable[[], object]] = {
        "item": lambda: x[0].item(),
        "float": lambda: float(x.sum()),
        "bool": lambda: bool(x[1] > 0),
        "mask": lambda: x[x > 1],
        "write by mask": lambda: x.clone().index_put((x > 1,), torch.tensor(0.0)),
        "nonzero": lambda: x.nonzero(),
        "equal": lambda: torch.equal(x, x),
        "allclose": lambda: torch.allclose(x, x),
        "unique": lambda: x.unique(),
        "tolist": lambda: x.tolist(),
        "numpy": lambda: x.numpy(),
    }
    for name, way in ways.items():
        with HostReads() as reads:
            way()
        assert reads.found, name
        with HostReads() as reads, reads.paused():
            way()
        assert reads.found == []
    with HostReads() as reads:
        torch.where(x > 1, x, 0.0).masked_fill(x > 2, 1.0).index_select(0, torch.tensor([0, 2]))
        x[torch.tensor([0, 1])], x[1:], torch.full((2,), 0.5)
    assert reads.found == []
