"""Directions on a game whose answer is known, and the trainer's game against plain autograd."""

import pytest
import torch
from test_minimax import small

import gadkit
from gadkit.registry import get_registry


def load(kind, name):
    return get_registry().find(kind, name).load()


class DiracPlayer:
    """Gradient descent with step h on one number (Mescheder et al. 2018)."""

    def __init__(self, value, loss, step=0.1):
        self.parameters = [torch.nn.Parameter(torch.tensor(value, dtype=torch.float64))]
        self.loss, self.h, self.updates = loss, step, 0

    def gradient(self, draw, *, again=False):
        return list(torch.autograd.grad(self.loss(), self.parameters))

    def update(self, gradients):
        self.updates += 1
        with torch.no_grad():
            self.parameters[0] -= self.h * gradients[0]


class DiracGame:
    """G(z) = θ, D(x) = ψx, data at 0, with the bundled loss and penalty."""

    def __init__(self, loss, penalty, start):
        def critic(video):
            return self.discriminator.parameters[0] * video.flatten(1).sum(1)

        def judged(video):
            return critic(video)[:, None]

        def discriminate():
            real = torch.zeros(1, 1, 1, 1, 1, dtype=torch.float64, requires_grad=True)
            fake = (real + self.generator.parameters[0]).detach().requires_grad_()
            total = loss.discriminator(judged(real), judged(fake))
            return total if penalty is None else total + penalty(critic, real, fake, None)

        def generate():
            real = torch.zeros(1, 1, 1, 1, 1, dtype=torch.float64)
            return loss.generator(judged(real + self.generator.parameters[0]), judged(real))

        self.generator = DiracPlayer(start[0], generate)
        self.discriminator = DiracPlayer(start[1], discriminate)

    @property
    def distance(self):
        return float(
            (self.generator.parameters[0].detach() ** 2 + self.discriminator.parameters[0].detach() ** 2).sqrt()
        )


@pytest.mark.parametrize("start", [(0.5, 0.5), (3.5, -3.5), (-2.0, 1.0)])
def test_alternating_steps_with_rpgan_and_r1_converge_on_the_dirac_gan(start):
    game = DiracGame(load("loss", "rpgan")(), load("penalty", "r1")(gamma=0.3), start)
    direction = load("direction", "alternating")()
    for _ in range(1000):
        direction.step(game)
    assert game.distance <= 1e-5


def test_without_a_penalty_they_do_not():
    game = DiracGame(load("loss", "rpgan")(), None, (1.0, 1.0))
    direction = load("direction", "alternating")()
    distances = []
    for _ in range(1000):
        direction.step(game)
        distances.append(game.distance)
    assert max(distances[-200:]) > 0.1


def test_the_discriminator_steps_first_and_as_often_as_asked():
    order = []
    game = DiracGame(load("loss", "rpgan")(), None, (1.0, 1.0))
    for name in ("generator", "discriminator"):
        player = getattr(game, name)
        before = player.gradient
        player.gradient = lambda draw, *, again=False, n=name, b=before: order.append((n, draw, again)) or b(draw)
    load("direction", "alternating")(discriminator_steps=2).step(game)
    load("direction", "alternating")(fresh=True).step(game)
    assert order == [
        ("discriminator", 0, False),
        ("discriminator", 1, True),
        ("generator", 1, False),
        ("discriminator", 0, False),
        ("generator", 1, False),
    ]


class OneGraph(gadkit.Direction):
    """Compares the two losses on one graph with the players' own gradients, and steps along neither."""

    seen = []

    def step(self, game):
        generator_loss, discriminator_loss = game.losses(0)
        for player, loss in ((game.generator, generator_loss), (game.discriminator, discriminator_loss)):
            together = torch.autograd.grad(loss, player.parameters, retain_graph=True)
            alone = player.gradient(0)
            self.seen.append(max(float((a - b).abs().max()) for a, b in zip(together, alone, strict=True)))
        mixed = torch.autograd.grad(generator_loss, game.discriminator.parameters, create_graph=True)
        assert all(gradient.requires_grad for gradient in mixed)


@pytest.mark.parametrize("loss", ["rpgan", "nonsaturating"])
def test_both_losses_on_one_graph_have_the_players_gradients(tmp_path, loss):
    OneGraph.seen = []
    small(tmp_path / "run", direction=OneGraph, loss=loss, penalty="r1", steps=1)
    assert len(OneGraph.seen) == 2
    assert max(OneGraph.seen) < 1e-12


def test_training_leaves_the_callers_random_numbers_alone(tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    small(tmp_path / "run", steps=1)
    assert torch.equal(torch.rand(4), expected)
