"""The game around a point, to second order: both players' gradients, and how each one's changes with the other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gadkit import Game


class BilinearGame:
    """What is left of a game close to a point when each player's own second derivatives are left out.

    x, of X numbers, are the generator's parameters with the loss f; y, of Y numbers, the discriminator's with g.
    F = D_xy f and G = D_yx g are the mixed second derivatives, of which only products are ever made. Vectors are flat
    and of the parameters' type. Everything is linear in the losses, so its mean over the processes is what the whole
    batch gives.

    Args:
        game: At the point; its draw 0 is taken.

    Attributes:
        x: The generator's parameters.
        y: The discriminator's.
        zero_sum: Whether G = -F'.
        gradients: grad_x f, then grad_y g: `(X + Y,)`.
    """

    def __init__(self, game: Game) -> None:
        self._game = game
        self.zero_sum = game.zero_sum
        self.x: list[nn.Parameter] = list(game.generator.parameters)
        self.y: list[nn.Parameter] = list(game.discriminator.parameters)
        self._sizes = [sum(parameter.numel() for parameter in side) for side in (self.x, self.y)]
        both, sides = [*self.x, *self.y], len(self.x)
        f, g = game.losses(0)
        of_f = torch.autograd.grad(f, both, create_graph=True, materialize_grads=True)
        self._f = of_f[:sides], of_f[sides:]
        if self.zero_sum:  # what f does not hold of -g, the discriminator alone moves
            own: Sequence[Tensor] = torch.autograd.grad(g, self.y, retain_graph=True, materialize_grads=True)
            self._g = tuple(-gradient for gradient in self._f[0]), tuple(-gradient for gradient in self._f[1])
        else:
            of_g = torch.autograd.grad(g, both, create_graph=True, materialize_grads=True)
            self._g = of_g[:sides], of_g[sides:]
            own = self._g[1]
        self.gradients = flatten([*self._f[0], *own])
        game.average_([self.gradients])

    def system(self, vector: Tensor, scale: Tensor) -> Tensor:
        """M v: `(X + Y,)`. With S, the diagonal matrix of `scale`, M is I + S [[0, F], [G, 0]] S.

        Args:
            vector: `(X + Y,)`; for a zero-sum game `(X,)`, of which M makes (v, S G S v): its first columns.
            scale: `(X + Y,)`.
        """
        at_x, at_y = scale.split(self._sizes)
        if self.zero_sum:
            moved = self._averaged(self._product(self._g[0], self.y, at_x * vector))
            return torch.cat((vector, moved.mul_(at_y)))
        u, v = (vector * scale).split(self._sizes)
        moved = self._averaged(torch.cat((self._product(self._f[1], self.x, v), self._product(self._g[0], self.y, u))))
        return moved.mul_(scale).add_(vector)

    def transposed(self, vector: Tensor, scale: Tensor) -> Tensor:
        """M'v; arguments as for `system`.

        Args:
            vector: `(X + Y,)`.
            scale: `(X + Y,)`.

        Returns:
            `(X + Y,)`; for a zero-sum game `(X,)`.
        """
        u, v = (vector * scale).split(self._sizes)
        moved = self._product(self._g[1], self.x, v)
        if self.zero_sum:
            wanted = self._sizes[0]
            return self._averaged(moved).mul_(scale[:wanted]).add_(vector[:wanted])
        moved = self._averaged(torch.cat((moved, self._product(self._f[0], self.y, u))))
        return moved.mul_(scale).add_(vector)

    def _averaged(self, flat: Tensor) -> Tensor:
        self._game.average_([flat])
        return flat

    def _product(self, gradient: Sequence[Tensor], parameters: Sequence[nn.Parameter], vector: Tensor) -> Tensor:
        """The derivative of <gradient, vector> in `parameters`, flat."""
        pairs = [pair for pair in zip(gradient, shaped(vector, gradient), strict=True) if pair[0].requires_grad]
        if not pairs:  # the gradient is a constant
            return vector.new_zeros(sum(parameter.numel() for parameter in parameters))
        outputs, weights = zip(*pairs, strict=True)
        return flatten(torch.autograd.grad(outputs, parameters, weights, retain_graph=True, materialize_grads=True))


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    """Their numbers one after the other, without a graph."""
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


def shaped(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """The numbers of `flat` in the shapes of other tensors."""
    parts = flat.split([tensor.numel() for tensor in like])
    return [part.view(tensor.shape) for part, tensor in zip(parts, like, strict=True)]
