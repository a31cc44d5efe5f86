"""The competitive step is the solution of its system, found without the system and without a read by the host."""

import numpy as np
import pytest
import torch

from gadkit import RunError
from gadkit.checkpoints.trees import snapshot
from gadkit.registry import get_registry
from gadkit.testing.games import Mixture, MixtureGame, SmallPlayer, dirac
from gadkit.testing.reads import HostReads
from gadkit_plugins.gad import bilinear
from gadkit_plugins.gad.solvers import conjugate_gradients

RATES = 0.3, 0.2
LOSSES = ["minimax", "wasserstein", "rpgan", "nonsaturating", "hinge", "lsgan"]


def part(kind, name, **settings):
    return get_registry().find(kind, name).load()(**settings)


def competitive(**settings):
    return part("direction", "competitive", **settings)


def mixture(loss, penalty=None, rates=RATES, **settings):
    """A small game of plain steps."""
    cost = None if penalty is None else part("penalty", penalty, gamma=0.1)
    choices = {"width": 6, "batch_size": 16, "dtype": torch.float64} | settings
    optimiser = {"optimiser": lambda parameters: torch.optim.SGD(parameters, lr=1.0)}
    game = MixtureGame(Mixture.ring(), part("loss", loss), cost, **(optimiser | choices))
    game.generator.rate, game.discriminator.rate = rates
    return game


def parameters(game):
    return [*game.generator.parameters, *game.discriminator.parameters]


def point(game):
    return torch.cat([parameter.detach().flatten() for parameter in parameters(game)]).numpy().copy()


def written_out(game):
    """grad_x f, grad_y g and the whole matrices D_xy f and D_yx g, row by row."""
    x, y = list(game.generator.parameters), list(game.discriminator.parameters)

    def slope(value, side):
        found = torch.autograd.grad(value, side, create_graph=True, materialize_grads=True)
        return torch.cat([gradient.flatten() for gradient in found])

    def rows(own, side):
        basis = torch.eye(len(own), dtype=own.dtype)
        found = torch.autograd.grad(own, side, basis, retain_graph=True, allow_unused=True, is_grads_batched=True)
        pairs = zip(found, side, strict=True)
        return torch.cat([own.new_zeros(len(own), p.numel()) if e is None else e.flatten(1) for e, p in pairs], dim=1)

    f, g = game.losses(0)
    of_f, of_g = slope(f, x), slope(g, y)
    return [value.detach().numpy() for value in (of_f, of_g, rows(of_f, y), rows(of_g, x))]


def dense_step(game, scales):
    """The step, by a dense solve of A^-1 d + (F dy, G dx) = -gradients; `scales` are A's diagonal."""
    u, v, f, g = written_out(game)
    matrix = np.diag(1 / scales)
    matrix[: len(u), len(u) :], matrix[len(u) :, : len(u)] = f, g
    return np.linalg.solve(matrix, -np.concatenate((u, v)))


def plain(game):
    counts = [sum(p.numel() for p in player.parameters) for player in (game.generator, game.discriminator)]
    return np.repeat([game.generator.rate, game.discriminator.rate], counts)


def apart(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


EXACT = {"iterations": 200, "tolerance": 1e-14}


@pytest.mark.parametrize("penalty", [None, "r1r2", "approx-r1r2"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_step_is_the_dense_solution(loss, penalty):
    game = mixture(loss, penalty)
    expected, before = dense_step(game, plain(game)), point(game)
    competitive(preconditioned=False, **EXACT).step(game)
    assert apart(point(game) - before, expected) < 1e-8


@pytest.mark.parametrize(("loss", "penalty"), [("minimax", None), ("minimax", "r1"), ("rpgan", "r1r2")])
def test_preconditioned_steps_are_those_of_the_paper(loss, penalty):
    """Three steps with a rate that changes: v, its bias correction and eps against NumPy."""
    game, direction = mixture(loss, penalty), competitive(decay=0.9, eps=1e-3, **EXACT)
    squares = 0.0
    for step in range(3):
        game.begin(step)
        game.generator.rate, game.discriminator.rate = RATES[0] / (step + 1), RATES[1]
        u, v, _, _ = written_out(game)
        squares = 0.9 * squares + 0.1 * np.concatenate((u, v)) ** 2
        scales = plain(game) / (np.sqrt(squares / (1 - 0.9 ** (step + 1))) + 1e-3)
        expected, before = dense_step(game, scales), point(game)
        direction.step(game)
        assert apart(point(game) - before, expected) < 1e-8


def test_a_zero_sum_game_takes_half_the_products_for_the_same_steps():
    """Its shortcut leads where the general system does, with 2k + 1 products in place of 4k + 2."""
    ends, products = [], []
    product = bilinear.BilinearGame._product
    for shortcut in (True, False):
        game, count = mixture("minimax", "r1"), []

        def counted(*arguments, count=count):
            count.append(1)
            return product(*arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(MixtureGame, "zero_sum", shortcut)
            patch.setattr(bilinear.BilinearGame, "_product", counted)
            competitive(iterations=60, tolerance=1e-13).step(game)
        ends.append(point(game))
        products.append(len(count))
    assert apart(ends[0], ends[1]) < 1e-8
    assert products == [2 * 60 + 1, 4 * 60 + 2]


@pytest.mark.parametrize("start", [(1.0, 1.0), (1.0, -1.0)])
def test_competitive_steps_converge_on_the_zero_sum_dirac_gan(start):
    game, direction = dirac(part("loss", "minimax"), start=start, step=0.5), competitive(preconditioned=False)
    for step in range(667):
        game.begin(step)
        direction.step(game)
    assert np.linalg.norm(point(game)) <= 1e-6


def test_the_first_step_on_the_dirac_gan_is_the_closed_form():
    """dx = -h (f_x - h f_xy f_y) / (1 + h^2 f_xy^2) of Schaefer & Anandkumar 2019, with f = -log(1 + e^(psi theta))."""
    h, theta, psi = 0.5, 1.3, -0.4
    s = 1 / (1 + np.exp(-psi * theta))
    slope, mixed = -s, -(s + psi * theta * s * (1 - s))
    f_theta, f_psi = slope * psi, slope * theta
    denominator = 1 + (h * mixed) ** 2
    expected = np.array([-h * (f_theta + h * mixed * f_psi), h * (f_psi - h * mixed * f_theta)]) / denominator
    game = dirac(part("loss", "minimax"), start=(theta, psi), step=h)
    before = point(game)
    competitive(preconditioned=False).step(game)
    assert apart(point(game) - before, expected) < 1e-12


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("loss", ["minimax", "rpgan"])
def test_iterations_beyond_the_tolerance_change_nothing(loss, dtype):
    ends = []
    for iterations in (25, 125):
        game = mixture(loss, "r1", rates=(0.02, 0.02), dtype=dtype)
        competitive(iterations=iterations, tolerance=1e-4).step(game)
        ends.append(point(game))
    assert np.array_equal(ends[0], ends[1])


def test_iterations_beyond_the_accuracy_of_float32_do_no_harm():
    """A zero-sum game's system leaves a residual, and rounding must not be mistaken for what is left to do."""
    ends = []
    for dtype, iterations in ((torch.float64, 60), (torch.float32, 60), (torch.float32, 400)):
        game = mixture("minimax", dtype=dtype, rates=(0.02, 0.02))
        with torch.no_grad():
            for mine, same in zip(parameters(game), parameters(mixture("minimax", dtype=torch.float32)), strict=True):
                mine.copy_(same)
        before = point(game)
        competitive(iterations=iterations, tolerance=0.0).step(game)
        ends.append(point(game) - before)
    assert apart(ends[2], ends[1]) < 1e-5
    assert apart(ends[2], ends[0]) < 1e-3


@pytest.mark.parametrize("zero_sum", [True, False])
def test_zero_gradients_and_losses_without_mixed_terms_give_finite_steps(zero_sum):
    """A step without any gradient, then one of a game that is two separate minimisations: plain descent."""
    x, y = (torch.nn.Parameter(torch.zeros(3, dtype=torch.float64)) for _ in range(2))

    class Separate:
        generator = SmallPlayer([x], lambda draw: f(), torch.optim.SGD([x], lr=0.1))
        discriminator = SmallPlayer([y], lambda draw: g(), torch.optim.SGD([y], lr=0.1))

        def losses(self, draw):
            return f(), g()

        def average_(self, tensors):
            pass

    def f():
        return (x - shift).square().sum()

    def g():
        return (y * shift).sum()  # linear: its gradient is a constant

    game = Separate()
    game.zero_sum = zero_sum
    direction = competitive(preconditioned=False)
    shift = 0.0
    direction.step(game)
    assert bool((x == 0).all() & (y == 0).all())
    shift = 2.0
    direction.step(game)
    torch.testing.assert_close(x.detach(), torch.full((3,), 0.4, dtype=torch.float64), rtol=1e-12, atol=0)
    torch.testing.assert_close(y.detach(), torch.full((3,), -0.2, dtype=torch.float64), rtol=1e-12, atol=0)


@pytest.mark.parametrize("loss", ["minimax", "rpgan"])
def test_what_is_not_finite_is_not_hidden(loss):
    """A masked iteration must not pass for a converged one: whoever watches finds the numbers."""
    game = mixture(loss)
    with torch.no_grad():
        game.discriminator.parameters[0].fill_(float("nan"))
    competitive(preconditioned=False).step(game)
    assert np.isnan(point(game)).all()
    matrix, target = system(0)
    target[3] = float("nan")
    found, residual = solved(matrix, target, torch.zeros(24, dtype=torch.float64), 3)
    assert bool(found.isnan().all() & residual.isnan().all())


@pytest.mark.parametrize("preconditioned", [True, False])
@pytest.mark.parametrize("loss", ["minimax", "rpgan"])
def test_no_step_reads_the_device(loss, preconditioned):
    game, direction = mixture(loss, "r1r2"), competitive(preconditioned=preconditioned)
    with HostReads() as reads:
        for step in range(3):
            game.begin(step)
            direction.step(game)
    assert reads.found == []


def system(seed):
    """I + N with N nearly antisymmetric and not small, and a right-hand side."""
    random = torch.Generator().manual_seed(seed)
    draws = torch.randn(24, 24, generator=random, dtype=torch.float64)
    target = torch.randn(24, generator=random, dtype=torch.float64)
    return torch.eye(24, dtype=torch.float64) + 0.5 * (draws - draws.T) + 0.1 * draws, target


def solved(matrix, target, start, iterations):
    return conjugate_gradients(
        lambda x: matrix @ x, lambda r: matrix.T @ r, target, start, iterations=iterations, tolerance=0.0
    )


def test_the_solver_solves_least_squares_and_gives_the_residual():
    matrix, target = system(0)
    tall = matrix[:, :15].clone()
    expected = np.linalg.lstsq(tall.numpy(), target.numpy())[0]
    found, residual = solved(tall, target, torch.zeros(15, dtype=torch.float64), 40)
    assert apart(found.numpy(), expected) < 1e-10
    torch.testing.assert_close(residual, target - tall @ found, rtol=0, atol=1e-10)


def test_a_start_near_the_solution_leaves_less_to_do_and_a_bad_one_no_more():
    matrix, target = system(1)
    answer = torch.linalg.solve(matrix, target)
    random = torch.Generator().manual_seed(2)
    noise = torch.randn(24, generator=random, dtype=torch.float64)
    left = {
        name: float((answer - solved(matrix, target, start, 3)[0]).norm())
        for name, start in {
            "none": torch.zeros_like(answer),
            "near": answer + 0.05 * noise,
            "backwards": -7 * (answer + 0.05 * noise),
        }.items()
    }
    assert left["near"] < 0.2 * left["none"]
    assert left["backwards"] == pytest.approx(left["near"], rel=1e-9)  # only the line through it counts
    far = solved(matrix, target, 1e6 * noise, 1)[1].norm()
    assert float(far) <= float(target.norm())


@pytest.mark.parametrize("loss", ["rpgan", "minimax"])
def test_a_step_begins_with_the_solution_of_the_one_before(loss):
    """The same batch twice, hardly moved: two iterations from the memory are nearer than two from nothing."""
    errors = {}
    for remembers in (True, False):
        game, direction = mixture(loss, "r1r2", rates=(2e-3, 2e-3)), competitive(iterations=2)
        direction.step(game)
        state = snapshot(direction.state_dict())
        again = competitive(iterations=2)
        again.load_state_dict({name: value for name, value in state.items() if remembers or name != "solution"})
        exact = competitive(**EXACT)
        exact.load_state_dict(state)
        ends = []
        for way in (again, exact):
            start = [parameter.detach().clone() for parameter in parameters(game)]
            way.step(game)
            ends.append(point(game))
            with torch.no_grad():
                for parameter, value in zip(parameters(game), start, strict=True):
                    parameter.copy_(value)
        errors[remembers] = apart(ends[0] - point(game), ends[1] - point(game))
    assert errors[True] < 0.5 * errors[False]


def test_a_memory_of_other_nets_is_refused():
    direction = competitive()
    direction.step(mixture("rpgan"))
    with pytest.raises(RunError, match=r"direction.squares: the checkpoint holds \d+ numbers .* expected \d+"):
        direction.step(mixture("rpgan", width=7))
    for faulty, error in (({"momentum": torch.zeros(3)}, ValueError), ({"squares": [1.0]}, TypeError)):
        with pytest.raises(error):
            competitive().load_state_dict(faulty)
