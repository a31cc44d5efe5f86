"""The direction of the documentation does what its paper says, and a run with it goes on exactly."""

import pytest
import torch
from documented import documented, files_of
from small_runs import same_tensors, small, tensors_at_ends
from synthetic import Squares

import gadkit
from gadkit.registry import get_registry
from gadkit.testing import check_direction
from gadkit.testing.games import Mixture, MixtureGame, dirac


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    with documented(monkeypatch, tmp_path, "direction") as file:
        yield file


def played(direction, game, steps):
    for step in range(steps):
        game.begin(step)
        direction.step(game)
    return torch.cat([p.detach().flatten() for p in (*game.generator.parameters, *game.discriminator.parameters)])


def bundled(kind, name):
    return get_registry().find(kind, name).load()


def test_it_conforms_with_every_momentum(plugin):
    from damped import Damped

    for momentum in (-0.3, 0.0, 0.9):
        check_direction(Damped, momentum=momentum)


def test_it_reaches_the_equilibrium_where_momentum_of_0_circles(plugin):
    from damped import Damped

    names = {}
    exec(files_of("direction")["test_damped.py"], names)
    names["test_damped_steps_reach_the_equilibrium"]()
    assert float(played(Damped(momentum=0.0), dirac(bundled("loss", "minimax")(), step=0.5), 2000).norm()) > 1


def test_without_momentum_it_is_the_alternating_step(plugin):
    from damped import Damped

    game = MixtureGame(Mixture.ring(), bundled("loss", "rpgan")(), bundled("penalty", "r1")(), width=8, batch_size=4)
    same = MixtureGame(Mixture.ring(), bundled("loss", "rpgan")(), bundled("penalty", "r1")(), width=8, batch_size=4)
    assert torch.equal(played(Damped(momentum=0.0), game, 5), played(bundled("direction", "alternating")(), same, 5))


def test_a_run_with_it_that_was_stopped_goes_on_exactly(plugin):
    choices = {"direction": "damped", "plugins": [plugin]}
    small("unbroken", steps=4, **choices)
    small("stopped", steps=2, **choices)
    gadkit.train(resume="stopped", steps=4, plugins=[plugin], dataset=Squares)
    assert same_tensors(tensors_at_ends("unbroken")[-1], tensors_at_ends("stopped")[-1])
    small("plain", steps=4)
    assert not same_tensors(tensors_at_ends("unbroken")[-1], tensors_at_ends("plain")[-1])
