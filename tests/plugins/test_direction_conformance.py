"""What the checks of directions are made of is what it says, and directions with settings pass. The planted faults:
`tests/planted`; the bundled: `test_conformance.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from planted.faulty_directions import Heavy

from gadkit import Game
from gadkit.testing import check_direction
from gadkit.testing.games import dirac
from gadkit.testing.reads import HostReads
from gadkit.testing.watched import GeneralSum, ZeroSum
from gadkit_plugins.gad.alternating import Alternating


class NeedsZeroSum(Heavy):
    """A rule that is only right for such a loss, and says so."""

    needs_zero_sum = True

    def step(self, game: Game) -> None:
        assert game.zero_sum
        super().step(game)


def test_directions_that_conform_pass() -> None:
    check_direction(NeedsZeroSum)
    check_direction(Alternating, discriminator_steps=3, fresh=True)


def test_the_losses_of_the_kit_are_what_they_say() -> None:
    """L_G = -L_D up to terms without the generator's parameters, for one of the two."""
    for loss, zero_sum in ((ZeroSum(), True), (GeneralSum(), False)):
        game = dirac(loss, start=(0.7, -1.3))
        making, judging = game.losses(0)
        (theta,), (psi,) = game.generator.parameters, game.discriminator.parameters
        of_making = torch.autograd.grad(making, (theta, psi), retain_graph=True)
        of_judging = torch.autograd.grad(judging, (theta, psi))
        pairs = zip(of_making, of_judging, strict=True)
        assert all(torch.allclose(a, -b) for a, b in pairs) is zero_sum


def test_host_reads_are_found_and_paused() -> None:
    x = torch.arange(4.0)
    ways: dict[str, Callable[[], object]] = {
        "item": lambda: x[0].item(),
        "float": lambda: float(x.sum()),
        "bool": lambda: bool(x[1] > 0),
        "mask": lambda: x[x > 1],
        "write by mask": lambda: x.clone().index_put((x > 1,), torch.tensor(0.0)),
        "nonzero": lambda: x.nonzero(),
        "equal": lambda: torch.equal(x, x),
        "allclose": lambda: torch.allclose(x, x),
        "unique": lambda: x.unique(),
        "tolist": lambda: x.tolist(),
        "numpy": lambda: x.numpy(),
    }
    for name, way in ways.items():
        with HostReads() as reads:
            way()
        assert reads.found, name
        with HostReads() as reads, reads.paused():
            way()
        assert reads.found == []
    with HostReads() as reads:
        torch.where(x > 1, x, 0.0).masked_fill(x > 2, 1.0).index_select(0, torch.tensor([0, 2]))
        x[torch.tensor([0, 1])], x[1:], torch.full((2,), 0.5)
    assert reads.found == []
