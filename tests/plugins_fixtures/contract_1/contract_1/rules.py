"""What makes a game of contract 1: a loss, a penalty, an augmentation, a direction, a refiner."""

from typing import Annotated

import torch
from pydantic import Field

from gadkit import Augmentation, Direction, Loss, Penalty, Refiner, Scheduled


class Squares(Loss):
    """Least squares.

    Args:
        target: Of the real logits.
    """

    def __init__(self, *, target: Annotated[Scheduled, Field(gt=0)] = 1.0) -> None:
        self.target = target

    def discriminator(self, real, fake):
        return (real - self.target).square().mean() + fake.square().mean()

    def generator(self, fake, real):
        return (fake - self.target).square().mean()


class Slope(Penalty):
    """The squared gradient at real clips.

    Args:
        weight: Times the penalty.
    """

    double_backward = True

    def __init__(self, *, weight: float = 0.1) -> None:
        self.weight = weight

    def __call__(self, critic, real, fake, noise):
        video = real.detach().requires_grad_()
        (slope,) = torch.autograd.grad(critic(video).sum(), video, create_graph=True)
        return self.weight * slope.square().sum() / len(video)


class Mirror(Augmentation):
    """Turns clips left to right.

    Args:
        strength: Twice the share that is turned.
    """

    def __init__(self, *, strength: Annotated[Scheduled, Field(ge=0, le=1)] = 0.5) -> None:
        self.strength = strength

    def __call__(self, video, noise, strength):
        turned = noise.uniform("turned", 1) < strength / 2
        return torch.where(turned.view(-1, 1, 1, 1, 1), video.flip(4), video)


class Turns(Direction):
    """One step of the discriminator, one of the generator."""

    def __init__(self) -> None:
        self.made = 0

    def step(self, game):
        for player in (game.discriminator, game.generator):
            player.update(player.gradient(0))
        self.made += 1

    def state_dict(self):
        return {"made": self.made}

    def load_state_dict(self, state):
        self.made = state["made"]


class Nudge(Refiner):
    """Steps along the gradient.

    Args:
        steps: How many.
        rate: How far.
    """

    def __init__(self, *, steps: int = 2, rate: float = 0.1) -> None:
        self.steps, self.rate = steps, rate

    def refine(self, score, start, noise):
        latents = start.detach()
        for _ in range(self.steps):
            with torch.enable_grad():
                leaf = latents.clone().requires_grad_()
                (slope,) = torch.autograd.grad(score(leaf).sum(), leaf)
            latents = latents + self.rate * slope
        return latents
