"""A game in closed form, and the directions' rules by hand in NumPy."""

from __future__ import annotations

import numpy as np
import torch

from gadkit.testing.games import SmallPlayer

_RANDOM = np.random.default_rng(5)
A, B = _RANDOM.standard_normal((2, 7, 5))
C, E = _RANDOM.standard_normal((3, 7)), _RANDOM.standard_normal((3, 5))
X, Y = _RANDOM.standard_normal(7), _RANDOM.standard_normal(5)


class Bilinear:
    """L_G = x'Ay + |x|²/5 + c'x and L_D = y'B'x + |y|²/4 + e'y, where c and e are the draw's; no zero-sum game.

    x stands in parameters of 2×2 and 3 entries, y in one of 5.
    """

    zero_sum = False

    def __init__(self, optimiser):
        a, b, c, e = (torch.tensor(values) for values in (A, B, C, E))
        theta = [torch.nn.Parameter(torch.tensor(part)) for part in (X[:4].reshape(2, 2), X[4:])]
        phi = [torch.nn.Parameter(torch.tensor(Y))]

        def x():
            return torch.cat([part.flatten() for part in theta])

        def making(draw):
            return x() @ a @ phi[0].detach() + x().square().sum() / 5 + c[draw] @ x()

        def judging(draw):
            return x().detach() @ b @ phi[0] + phi[0].square().sum() / 4 + e[draw] @ phi[0]

        self.generator = SmallPlayer(theta, making, optimiser(theta))
        self.discriminator = SmallPlayer(phi, judging, optimiser(phi))

    @property
    def point(self):
        players = self.generator, self.discriminator
        return [np.concatenate([p.detach().numpy().ravel() for p in player.parameters]) for player in players]


def slopes(x, y, draw=0):
    """The gradients of `Bilinear`, the discriminator's first."""
    return B.T @ x + y / 2 + E[draw], A @ y + 2 * x / 5 + C[draw]


class Adam:
    """Kingma & Ba 2015, algorithm 1: `step` gives what is added to the parameters."""

    def __init__(self, size, betas=(0.5, 0.9)):
        self.m, self.v, self.t, self.betas = np.zeros(size), np.zeros(size), 0, betas

    def step(self, gradient, rate):
        (one, two), self.t = self.betas, self.t + 1
        self.m = one * self.m + (1 - one) * gradient
        self.v = two * self.v + (1 - two) * gradient**2
        return -rate * (self.m / (1 - one**self.t)) / (np.sqrt(self.v / (1 - two**self.t)) + 1e-8)


def simultaneous(rates):
    x, y, making, judging = X, Y, Adam(7), Adam(5)
    for rate in rates:
        v, u = slopes(x, y)
        x, y = x + making.step(u, rate), y + judging.step(v, rate)
    return x, y


def optimistic(rates, alternating):
    x, y, making, judging, px, py = X, Y, Adam(7), Adam(5), 0.0, 0.0
    for rate in rates:
        v, u = slopes(x, y)
        sy = judging.step(v, rate)
        y, py = y + 2 * sy - py, sy
        if alternating:
            _, u = slopes(x, y)
        sx = making.step(u, rate)
        x, px = x + 2 * sx - px, sx
    return x, y


def extragradient(rates, fresh, blind=()):
    """`blind`: the steps, from 0, in which the generator does not look ahead."""
    x, y, making, judging = X, Y, Adam(7), Adam(5)
    for index, rate in enumerate(rates):
        v, u = slopes(x, y)
        ahead = x if index in blind else x + making.step(u, rate)
        v, u = slopes(ahead, y + judging.step(v, rate), int(fresh))
        x, y = x + making.step(u, rate), y + judging.step(v, rate)
    return x, y


def beta(rule, g, before, d):
    """The share of the direction before, uncapped."""
    y = g - before
    if rule == "FR":
        return g @ g / (before @ before)
    if rule == "PRP":
        return g @ y / (before @ before)
    if rule == "HS":
        return g @ y / (d @ y)
    if rule == "DY":
        return g @ g / (d @ y)
    if rule == "HZ":  # as Hager & Zhang 2005 write it, equation 1.3
        return (y - 2 * d * (y @ y) / (d @ y)) @ g / (d @ y)
    one, other = rule.split("_")
    return max(0.0, min(beta(one, g, before, d), beta(other, g, before, d)))


def conjugate(rates, rule, cap):
    """The end, and the betas on the way."""
    point, before, d, betas = [Y, X], [None, None], [None, None], []
    for index, rate in enumerate(rates):
        found = slopes(point[1], point[0])
        for side, g in enumerate(found):
            share = 0.0 if index == 0 else beta(rule, g, before[side], d[side])
            betas.append(share)
            d[side] = -g + (0.0 if index == 0 else np.clip(share, -cap, cap) * d[side])
            before[side] = g
            point[side] = point[side] + rate * d[side]
    return (point[1], point[0]), betas
