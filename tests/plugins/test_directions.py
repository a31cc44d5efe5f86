"""Directions on games whose answer is known, and against the rules written out by hand."""

import copy

import numpy as np
import pytest
import small_games
import torch
from small_games import Bilinear
from test_minimax import small

import gadkit
from gadkit.checkpoints.trees import snapshot
from gadkit.registry import get_registry
from gadkit.testing.games import Mixture, MixtureGame, SmallPlayer, dirac
from gadkit.testing.reads import HostReads

#: Every bundled direction with the settings that change its steps.
DIRECTIONS = [
    ("alternating", {}),
    ("simultaneous", {}),
    ("optimistic", {}),
    ("optimistic", {"alternating": True}),
    ("extragradient", {}),
    ("extragradient", {"fresh": True}),
    *(("conjugate", {"beta": rule}) for rule in ("FR", "PRP", "HS", "DY", "HZ", "FR_PRP", "HS_DY")),
]
REMEMBERING = [choice for choice in DIRECTIONS if choice[0] in ("optimistic", "conjugate")]


def load(kind, name):
    return get_registry().find(kind, name).load()


def make(choice):
    name, settings = choice
    return load("direction", name)(**settings)


def adam(parameters):
    return torch.optim.Adam(parameters, lr=0.01, betas=(0.5, 0.9))


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.5)


def parameters(game):
    return [*game.generator.parameters, *game.discriminator.parameters]


def distances(game, direction, steps):
    """The distance from the equilibrium of a Dirac-GAN after each step."""
    found = []
    for _ in range(steps):
        direction.step(game)
        found.append(float(sum(p.detach() ** 2 for p in parameters(game)).sqrt()))
    return found


def zero_sum(step):
    """The zero-sum Dirac-GAN at the papers' (1, 1).

    They have V = f(psi theta) + f(0) with f(t) = -log(1 + e^-t), which the discriminator climbs. The bundled `minimax`
    loss judges generated videos by -log(1 + e^t), so that its psi is the papers' -psi: their start is its (1, -1).
    """
    return dirac(load("loss", "minimax")(), start=(1.0, -1.0), step=step)


@pytest.mark.parametrize("start", [(0.5, 0.5), (3.5, -3.5), (-2.0, 1.0)])
def test_alternating_steps_with_rpgan_and_r1_converge_on_the_dirac_gan(start):
    game = dirac(load("loss", "rpgan")(), load("penalty", "r1")(gamma=0.3), start=start)
    assert distances(game, make(("alternating", {})), 1000)[-1] <= 1e-5


def test_without_a_penalty_they_do_not():
    found = distances(dirac(load("loss", "rpgan")()), make(("alternating", {})), 1000)
    assert max(found[-200:]) > 0.1


def test_simultaneous_steps_leave_the_equilibrium_of_a_zero_sum_game():
    found = distances(zero_sum(0.1), make(("simultaneous", {})), 2000)
    assert [round(found[step - 1], 2) for step in (100, 500, 2000)] == [1.55, 2.25, 3.10]


@pytest.mark.parametrize(
    ("choice", "steps"),
    [(("optimistic", {}), 2000), (("optimistic", {"alternating": True}), 2000), (("extragradient", {}), 1000)],
)
def test_optimistic_and_extragradient_steps_reach_it(choice, steps):
    assert distances(zero_sum(0.5), make(choice), steps)[-1] <= 1e-9


def test_conjugate_directions_do_not_reach_it():
    found = distances(zero_sum(0.5), make(("conjugate", {"beta": "FR_PRP"})), 2000)
    assert min(found[-200:]) > 1


RATES = [0.05, 0.05, 0.05, 0.02, 0.02, 0.01]


def walked(choice, rates=RATES, **changes):
    """Where the direction leads on the bilinear game."""
    game, direction = Bilinear(adam), make(choice)
    for side, change in changes.items():
        setattr(game, side, change(getattr(game, side)))
    for rate in rates:
        game.generator.rate = game.discriminator.rate = rate
        direction.step(game)
    return game.point


def near(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_each_step_is_that_of_the_rule_with_adam_by_hand():
    near(walked(("simultaneous", {})), small_games.simultaneous(RATES))
    for setting in (False, True):
        expected = small_games.optimistic(RATES, alternating=setting)
        near(walked(("optimistic", {"alternating": setting})), expected)
        expected = small_games.extragradient(RATES, fresh=setting)
        near(walked(("extragradient", {"fresh": setting})), expected)


@pytest.mark.parametrize("rule", ["FR", "PRP", "HS", "DY", "HZ", "FR_PRP", "HS_DY"])
@pytest.mark.parametrize("cap", [0.0, 0.5, 1e9])
def test_the_shares_of_conjugate_directions_are_the_formulas(rule, cap):
    rates = [0.5, 0.5, 0.3, 0.3, 0.3]
    expected, betas = small_games.conjugate(rates, rule, cap)
    assert max(betas) > 0.5 > min(betas)  # so that a cap of a half is felt, and not always
    near(walked(("conjugate", {"beta": rule, "cap": cap}), rates), expected)


def test_a_zero_denominator_gives_no_share():
    for rule in ("FR", "PRP", "HS", "DY", "HZ", "FR_PRP", "HS_DY"):
        (flat,) = [torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))]
        game = Bilinear(sgd)
        game.generator = SmallPlayer([flat], lambda draw, p=flat: (p * 0).sum(), sgd([flat]))
        direction = make(("conjugate", {"beta": rule}))
        for _ in range(3):
            direction.step(game)
        assert torch.equal(flat.detach(), torch.zeros(3, dtype=torch.float64))
        assert all(np.isfinite(side).all() for side in game.point)


class Overflowing:
    """A player whose updates of the given numbers overflow: nothing moves."""

    def __init__(self, player, calls):
        self.player, self.calls, self.count = player, calls, 0

    def __getattr__(self, name):
        return getattr(self.player, name)

    def __setattr__(self, name, value):
        if name == "rate":
            self.player.rate = value
        else:
            object.__setattr__(self, name, value)

    def update(self, gradients):
        self.count += 1
        return False if self.count in self.calls else self.player.update(gradients)


@pytest.mark.parametrize("alternating", [False, True])
def test_an_overflowing_optimistic_step_never_was(alternating):
    choice = ("optimistic", {"alternating": alternating})
    game, other = Bilinear(adam), Bilinear(adam)
    game.generator, game.discriminator = Overflowing(game.generator, {3}), Overflowing(game.discriminator, {3})
    direction, unbroken = make(choice), make(choice)
    for step in range(6):
        before, memory = [p.detach().clone() for p in parameters(game)], snapshot(direction.state_dict())
        direction.step(game)
        if step == 2:
            assert all(torch.equal(a, b) for a, b in zip(before, parameters(game), strict=True))
            assert str(memory) == str(snapshot(direction.state_dict()))
        else:
            unbroken.step(other)
    assert all(torch.equal(a, b) for a, b in zip(parameters(other), parameters(game), strict=True))


def test_a_player_that_cannot_look_ahead_steps_from_where_it_is():
    def blind(player):
        return Overflowing(player, {2 * 2 + 1})

    expected = small_games.extragradient(RATES, fresh=False, blind={2})
    near(walked(("extragradient", {}), generator=blind), expected)


def test_an_overflow_at_the_point_ahead_ends_where_the_step_began():
    game, direction = Bilinear(adam), make(("extragradient", {}))
    game.generator = Overflowing(game.generator, {4})
    direction.step(game)
    before = copy.deepcopy(parameters(game))
    direction.step(game)
    assert all(torch.equal(a, b) for a, b in zip(before[:2], parameters(game), strict=False))
    assert not torch.equal(before[2], game.discriminator.parameters[0])


def asked(game, choices):
    """Which gradients the directions ask the two players for, one step of each."""
    order = []
    for name in ("generator", "discriminator"):
        player = getattr(game, name)
        before = player.gradient
        player.gradient = lambda draw, *, again=False, n=name, b=before: order.append((n, draw, again)) or b(draw)
    for choice in choices:
        make(choice).step(game)
    return order


def test_the_discriminator_steps_first_and_as_often_as_asked():
    order = asked(dirac(load("loss", "rpgan")()), [("alternating", {"discriminator_steps": 2})])
    order += asked(dirac(load("loss", "rpgan")()), [("alternating", {"fresh": True})])
    assert order == [
        ("discriminator", 0, False),
        ("discriminator", 1, True),
        ("generator", 1, False),
        ("discriminator", 0, False),
        ("generator", 1, False),
    ]


def test_videos_are_made_once_for_both_players():
    for choice in DIRECTIONS:
        halves = {"{}": [0, 0], "{'fresh': True}": [0, 1]}[str(choice[1])] if choice[0] == "extragradient" else [0]
        expected = [
            (player, draw, player == "discriminator") for draw in halves for player in ("discriminator", "generator")
        ]
        assert asked(dirac(load("loss", "rpgan")()), [choice]) == expected
        assert make(choice).draws == max(halves) + 1


def fused(parameters):
    return torch.optim.Adam(parameters, lr=2e-3, betas=(0.0, 0.99), fused=True)


@pytest.mark.parametrize("name", get_registry().names("direction"))
@pytest.mark.parametrize("penalty", [None, "r1r2"])
def test_no_direction_reads_the_device(name, penalty):
    cost = None if penalty is None else load("penalty", penalty)()
    game = MixtureGame(
        Mixture.ring(), load("loss", "rpgan")(), cost, batch_size=8, width=8, optimiser=fused, dtype=torch.float64
    )
    direction = load("direction", name)()
    direction.step(game)
    with HostReads() as reads:
        for step in (1, 2):
            game.begin(step)
            direction.step(game)
    assert reads.found == []


class Layered:
    """A float32 game of convolution kernels that lie channels-last, in which sums depend on the order in memory."""

    def __init__(self):
        def side(seed):
            values = torch.randn(24, 16, 3, 3, generator=torch.Generator().manual_seed(seed))
            return torch.nn.Parameter(values.to(memory_format=torch.channels_last))

        x, y = side(1), side(2)
        self.generator = SmallPlayer([x], lambda draw: (x.square() * y.detach()).mean() + x.square().mean(), adam([x]))
        self.discriminator = SmallPlayer([y], lambda draw: (x.detach() * y).mean() + y.square().mean(), adam([y]))
        for player in (self.generator, self.discriminator):
            player.rate = 50.0 if player is self.generator else 20.0


@pytest.mark.parametrize("choice", REMEMBERING, ids=str)
def test_what_is_remembered_comes_back_bit_for_bit(choice):
    """Contiguous on the CPU, as a checkpoint has it, and left as it was: it may be taken back once more."""
    unbroken, game = Layered(), Layered()
    one, other = make(choice), make(choice)
    for _ in range(3):
        one.step(unbroken)
        other.step(game)
    kept = snapshot(other.state_dict())
    text = str(kept)
    again = make(choice)
    again.load_state_dict(kept)
    assert str(snapshot(again.state_dict())) == text
    for _ in range(3):
        one.step(unbroken)
        again.step(game)
    assert all(torch.equal(a, b) for a, b in zip(parameters(unbroken), parameters(game), strict=True))
    assert str(kept) == text


@pytest.mark.parametrize("choice", REMEMBERING, ids=str)
def test_no_memory_begins_anew(choice):
    game, other = Bilinear(sgd), Bilinear(sgd)
    one, two = make(choice), make(choice)
    assert one.state_dict() == {}
    for _ in range(2):
        one.step(game)
        two.step(other)
    assert one.state_dict() != {}
    one.load_state_dict({})
    assert one.state_dict() == {}
    one.step(game)
    make(choice).step(other)
    near(game.point, other.point)


@pytest.mark.parametrize("choice", REMEMBERING, ids=str)
def test_memory_that_does_not_fit_is_refused(choice):
    game, direction = Bilinear(sgd), make(choice)
    direction.step(game)
    state = snapshot(direction.state_dict())
    for wrong in (
        {"generator": state["generator"]},
        state | {"generator": {}},
        state | {"generator": {name: [1.0] for name in state["generator"]}},
        state | {"generator": dict.fromkeys(state["generator"], 1.0)},
    ):
        with pytest.raises(ValueError, match="direction"):
            make(choice).load_state_dict(wrong)
    other = make(choice)
    other.load_state_dict(state | {"generator": {name: [torch.zeros(2, 2)] for name in state["generator"]}})
    with pytest.raises(gadkit.RunError, match="generator"):
        other.step(game)


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
