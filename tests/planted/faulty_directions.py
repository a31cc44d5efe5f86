"""Directions that break one promise each."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gadkit import Direction, Game
from planted.table import planter

plant = planter("direction")


class Heavy(Direction):
    """Sound: alternating steps along a decaying sum of gradients, kept from step to step.

    Args:
        decay: What is left of the sum after a step.
    """

    copies = 1

    def __init__(self, *, decay: float = 0.5) -> None:
        self.decay = decay
        self.sums: dict[str, list[Tensor]] = {}

    def step(self, game: Game) -> None:
        self.along(game.discriminator, "discriminator", game.discriminator.gradient(0, again=True))
        self.along(game.generator, "generator", game.generator.gradient(0))

    def along(self, player: Any, name: str, gradients: list[Tensor]) -> None:
        before = self.sums.get(name) or [torch.zeros_like(gradient) for gradient in gradients]
        now = [self.decay * old.to(gradient.device) + gradient for old, gradient in zip(before, gradients, strict=True)]
        if player.update(now):
            self.sums[name] = now

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self.sums}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sums = {name: list(sums) for name, sums in state.get("sums", {}).items()}


@plant("fewer draws than declared", "asks for the draws that it declares, 2", "set `draws`")
class FirstDraw(Heavy):
    draws = 2


@plant("more draws than declared", "asks for the draws that it declares, 1", "set `draws`")
class SecondDraw(Heavy):
    def step(self, game: Game) -> None:
        self.along(game.discriminator, "discriminator", game.discriminator.gradient(0))
        self.along(game.generator, "generator", game.generator.gradient(1))


@plant("moves one player only", "moves the generator", "of each player")
class OnePlayer(Heavy):
    def step(self, game: Game) -> None:
        self.along(game.discriminator, "discriminator", game.discriminator.gradient(0))


@plant("hidden global randomness", "PyTorch's global generator", "draw from the noise")
class DrawsGlobally(Heavy):
    def step(self, game: Game) -> None:
        torch.rand(1)
        super().step(game)


@plant("state shared by all instances", "from the same start", "look for state that two share")
class Restless(Heavy):
    """Depends on how many of its kind there were."""

    count = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).count += 1
        self.decay = 1 / self.count


@plant("nan at a gradient of zero", "where gradients are zero", "guard the quotients")
class DividesByTheGradient(Heavy):
    """Gradients of one length, also where they have none."""

    def along(self, player: Any, name: str, gradients: list[Tensor]) -> None:
        super().along(player, name, [gradient / gradient.norm() for gradient in gradients])


@plant("keeps the player's buffers", "same memory at every call", "clone what must last")
class KeepsBuffers(Heavy):
    def along(self, player: Any, name: str, gradients: list[Tensor]) -> None:
        before = self.sums.get(name) or gradients
        player.update([old.to(gradient.device) + gradient for old, gradient in zip(before, gradients, strict=True)])
        self.sums[name] = gradients


@plant("`again` once too often", "after gradient(draw, again=True)", "say `again` only then")
class SaysAgainTooOften(Heavy):
    def step(self, game: Game) -> None:
        self.along(game.discriminator, "discriminator", game.discriminator.gradient(0, again=True))
        self.along(game.generator, "generator", game.generator.gradient(0, again=True))


@plant("the generator moved in between", "with the generator as it was", "say `again` only then")
class MovesInBetween(Heavy):
    def step(self, game: Game) -> None:
        judging = game.discriminator.gradient(0, again=True)
        with torch.no_grad():
            game.generator.parameters[0].add_(0.1)
        self.along(game.discriminator, "discriminator", judging)
        self.along(game.generator, "generator", game.generator.gradient(0))


@plant("gradients left on parameters", "without gradients of their own", "no backward()")
class LeavesGradients(Heavy):
    def step(self, game: Game) -> None:
        super().step(game)
        for parameter in game.generator.parameters:
            parameter.grad = torch.zeros_like(parameter)


@plant("forgets its state", "goes on exactly where its state was taken", "take it back in load_state_dict")
class Forgets(Heavy):
    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sums = {}


@plant(
    "adds to its state in place of replacing it", "makes Keeps begin anew", "forget everything where the state is empty"
)
class Keeps(Heavy):
    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sums = {**self.sums, **state.get("sums", {})}


@plant("a state of something else than numbers", "checkpoints are safetensors and JSON", "keep nothing else in it")
class StoresAnything(Heavy):
    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "kind": type(self)}


@plant("a state with numbers for keys", "with string keys", "keep nothing else in it")
class StoresNumbersAsKeys(Heavy):
    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "steps": {3: 1.0}}


@plant("copies not counted", ".copies says how many", "set `copies`")
class SaysNothingOfCopies(Heavy):
    copies = 0


@plant(
    "moves past the optimiser, though `scalable`",
    ".scalable says that nothing but Player.update",
    "set scalable to False",
)
class MovesPastTheOptimiser(Heavy):
    def along(self, player: Any, name: str, gradients: list[Tensor]) -> None:
        player.move([-0.1 * gradient for gradient in gradients], gradients)


@plant("a gradient used twice, though `scalable`", "handed to Player.update once", "set scalable to False")
class UpdatesTwice(Heavy):
    def along(self, player: Any, name: str, gradients: list[Tensor]) -> None:
        super().along(player, name, gradients)
        player.update(gradients)


@plant("moves after an overflow, though `scalable`", "where Player.update returns False", "look at what update returns")
class MovesAfterOverflow(Heavy):
    def along(self, player: Any, name: str, gradients: list[Tensor]) -> None:
        super().along(player, name, gradients)
        with torch.no_grad():
            for parameter in player.parameters:
                parameter.mul_(0.99)


@plant("reads on the host, though `capturable`", ".capturable says", "set capturable to False")
class ReadsTheNorm(Heavy):
    def along(self, player: Any, name: str, gradients: list[Tensor]) -> None:
        if gradients[0].norm() < 1e6:
            super().along(player, name, gradients)


@plant("reads the learning rate, though `capturable`", ".capturable says", "not by the learning rate")
class ReadsTheRate(Heavy):
    def along(self, player: Any, name: str, gradients: list[Tensor]) -> None:
        super().along(player, name, [gradient * (1 + player.rate) for gradient in gradients])


class OneGraph(Direction):
    """Sound: a step along the gradients with a term of second order (a gradient's own slope)."""

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


@plant("one graph needed without saying so", ".needs_one_graph says", "set needs_one_graph to True")
class SaysNothingOfGraphs(OneGraph):
    needs_one_graph = False


@plant(
    "second derivatives needed without saying so", ".needs_double_backward says", "set needs_double_backward to True"
)
class SaysNothingOfSecondDerivatives(OneGraph):
    needs_double_backward = False


@plant("gradients of one process alone", "averages over the processes", "call game.average_")
class ForOneProcess(OneGraph):
    def average(self, game: Game, tensors: list[Tensor]) -> None:
        pass


@plant("a flag that is none", "has the flags of gadkit.Direction", "set them on the class")
class FlagIsNoFlag(Heavy):
    scalable = 1  # type: ignore[assignment]
