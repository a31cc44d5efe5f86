"""Competitive steps: the equilibrium of the bilinear game around the point."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from gadkit import Direction, Game, RunError
from gadkit_plugins.gad.bilinear import BilinearGame, shaped
from gadkit_plugins.gad.solvers import conjugate_gradients

_MEMORY = ("squares", "weight", "solution")


class Competitive(Direction):
    """Competitive gradient descent, with or without Adam's preconditioner. Experimental.

    Each player answers the other's step instead of its position. The steps dx and dy are the equilibrium of the local
    game in which the generator pays <grad_x f, dx> + dx' F dy + dx' A_x^-1 dx / 2 and the discriminator
    <grad_y g, dy> + dy' G dx + dy' A_y^-1 dy / 2, with F = D_xy f and G = D_yx g:

        A_x^-1 dx + F dy = -grad_x f,    G dx + A_y^-1 dy = -grad_y g.

    With A = rate this is Schaefer & Anandkumar 2019 (arXiv:1905.12103), with A = diag(rate / (sqrt(v) + eps)), v the
    decaying mean of the squared gradients with Adam's correction, Schaefer, Zheng & Anandkumar 2020 (arXiv:1910.05852).
    No matrix is made: products with F, G and their transposes are derivatives of derivatives. In the coordinates
    z = A^(-1/2) (dx, dy) the system is (I + N) z = -A^(1/2) gradients, and conjugate gradients solve its normal
    equations, from the solution of the step before. For a zero-sum loss N' = -N, the discriminator's step follows from
    the generator's, and two products an iteration are enough; for others it is four. Where N' is nearly -N the normal
    equations are conditioned as those of a zero-sum game.

    Measured with three iterations: a step costs 4.5 alternating ones for a zero-sum loss and 6 to 9 for others (nets of
    two hidden layers on the plane). It is within 2.5 % of the exact one there at rates up to 2e-3, and mostly within
    8 % for videos of 32x32 at 2e-4; in the first steps of one loss it was off by a third. The larger the rates, the
    harder the system: at 2e-3 such videos would need more than 20. On a ring of Gaussians ten iterations led no further
    than three, and competitive steps no further than alternating ones.

    The nets need second derivatives, the batch cannot be cut into micro-batches, and fp16 cannot be used.

    Args:
        preconditioned: Whether A follows the gradients' sizes as in Adam; otherwise it is the learning rate alone.
        decay: beta_2 of v.
        eps: Added to sqrt(v).
        iterations: Of conjugate gradients in a step, always as many.
        tolerance: Iterations change nothing any more once the normal equations' residual is so small against the
            gradients, both in those coordinates.
    """

    needs_double_backward = True
    needs_one_graph = True
    scalable = False
    capturable = False  # for the learning rate alone, a number of the host that a captured step would keep
    copies = 12  # 15 are measured with the gradients: less these and the optimiser's two, which stay empty

    def __init__(
        self,
        *,
        preconditioned: bool = True,
        decay: Annotated[float, Field(ge=0, lt=1)] = 0.99,
        eps: Annotated[float, Field(gt=0)] = 1e-5,
        iterations: Annotated[int, Field(gt=0, le=1000)] = 3,
        tolerance: Annotated[float, Field(ge=0, lt=1)] = 1e-6,
    ) -> None:
        self.preconditioned = preconditioned
        self.decay = decay
        self.eps = eps
        self.iterations = iterations
        self.tolerance = tolerance
        self._memory: dict[str, Tensor] = {}

    def step(self, game: Game) -> None:
        """Both players move at once, by the solution of the system."""
        local = BilinearGame(game)
        gradients = local.gradients
        making = sum(parameter.numel() for parameter in local.x)
        memory = self._remembered(gradients)
        scale = torch.empty_like(gradients)
        scale[:making], scale[making:] = game.generator.rate, game.discriminator.rate
        if self.preconditioned:
            memory["squares"].lerp_(gradients.square(), 1 - self.decay)
            memory["weight"].lerp_(torch.ones_like(memory["weight"]), 1 - self.decay)  # 1 - decay^t
            scale /= (memory["squares"] / memory["weight"]).sqrt_().add_(self.eps)
        scale.sqrt_()
        start = memory["solution"]
        solution, residual = conjugate_gradients(
            lambda vector: local.system(vector, scale),
            lambda vector: local.transposed(vector, scale),
            -scale * gradients,
            start[:making] if local.zero_sum else start,
            iterations=self.iterations,
            tolerance=self.tolerance,
        )
        if local.zero_sum:  # the discriminator's answer to a step of the generator
            solution = torch.cat((solution, residual[making:]))
        memory["solution"].copy_(solution)
        steps, shapes = solution * scale, (local.x, local.y)
        for player, side, step, gradient in zip(
            (game.generator, game.discriminator),
            shapes,
            (steps[:making], steps[making:]),
            (gradients[:making], gradients[making:]),
            strict=True,
        ):
            player.move(shaped(step, side), shaped(gradient, side))

    def _remembered(self, like: Tensor) -> dict[str, Tensor]:
        """The memory of the step before, zeros where there is none, where `like` is."""
        for name in _MEMORY:
            shape = torch.Size(()) if name == "weight" else like.shape
            value = self._memory.get(name)
            if value is None:
                value = like.new_zeros(shape)
            elif value.shape != shape:
                raise RunError(
                    f"direction.{name}: the checkpoint holds {value.numel()} numbers of it, expected {shape.numel()}, "
                    "as many as the nets have parameters; go on from another checkpoint."
                )
            self._memory[name] = value.to(like.device, like.dtype)
        return self._memory

    def state_dict(self) -> dict[str, Any]:
        """v of all parameters, the generator's before the discriminator's, its weight, and the last solution."""
        return dict(self._memory)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `gadkit.Direction.load_state_dict`."""
        if unknown := state.keys() - set(_MEMORY):
            raise ValueError(f"competitive steps remember {', '.join(_MEMORY)}, and not {', '.join(sorted(unknown))}")
        for name, value in state.items():
            if not isinstance(value, Tensor) or not value.is_floating_point():
                raise TypeError(f"{name} is {type(value).__name__}, and must be a tensor of floating point numbers")
        self._memory = {name: value.clone() for name, value in state.items()}
