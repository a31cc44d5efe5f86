"""The direction of the documentation conforms, does what its paper says, and a run with it goes on exactly."""

import sys
from pathlib import Path

import pytest
import torch
from small_runs import own_registry, same_tensors, small
from synthetic import Squares
from test_docs import blocks
from test_example_trainer import ends

import gadkit
from gadkit.registry import get_registry
from gadkit.testing import check_direction
from gadkit.testing.games import Mixture, MixtureGame, dirac

PAGE = Path(__file__).parents[2] / "docs/plugins.md"


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (code,) = (block for block in blocks(PAGE, "python") if "class Damped" in block)
    (tmp_path / "damped.py").write_text(code, encoding="utf-8")
    with own_registry():
        yield tmp_path / "damped.py"
    sys.modules.pop("damped", None)


def played(direction, game, steps):
    for step in range(steps):
        game.begin(step)
        direction.step(game)
    return torch.cat([p.detach().flatten() for p in (*game.generator.parameters, *game.discriminator.parameters)])


def bundled(kind, name):
    return get_registry().find(kind, name).load()


def test_it_conforms(plugin):
    from damped import Damped

    for momentum in (-0.3, 0.0, 0.9):
        check_direction(Damped, momentum=momentum)


def test_it_reaches_the_equilibrium_where_momentum_of_0_circles(plugin):
    from damped import Damped

    (test,) = (block for block in blocks(PAGE, "python") if "test_damped_steps" in block)
    names = {}
    exec(test, names)
    names["test_damped_steps_reach_the_equilibrium"]()
    assert float(played(Damped(momentum=0.0), dirac(bundled("loss", "minimax")(), step=0.5), 2000).norm()) > 1


def test_without_momentum_it_is_the_alternating_step(plugin):
    from damped import Damped

    game = MixtureGame(Mixture.ring(), bundled("loss", "rpgan")(), bundled("penalty", "r1")(), width=8, batch_size=4)
    same = MixtureGame(Mixture.ring(), bundled("loss", "rpgan")(), bundled("penalty", "r1")(), width=8, batch_size=4)
    assert torch.equal(played(Damped(momentum=0.0), game, 5), played(bundled("direction", "alternating")(), same, 5))


def test_a_run_with_it_that_was_stopped_goes_on_exactly(plugin):
    choices = {"direction": "damped", "plugins": [str(plugin)]}
    small("unbroken", steps=4, **choices)
    small("stopped", steps=2, **choices)
    gadkit.train(resume="stopped", steps=4, plugins=[str(plugin)], dataset=Squares)
    assert same_tensors(ends("unbroken")[-1], ends("stopped")[-1])
    small("plain", steps=4)
    assert not same_tensors(ends("unbroken")[-1], ends("plain")[-1])
