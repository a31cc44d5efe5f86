"""The loss and the penalty of the documentation equal their formulas."""

import pytest
import torch
from documented import documented

from gadkit import Key, Noise


@pytest.fixture
def page(request, tmp_path, monkeypatch):
    with documented(monkeypatch, tmp_path, request.param):
        yield


@pytest.mark.parametrize("page", ["loss"], indirect=True)
def test_the_paired_hinge_is_its_formula_and_goes_by_pairs(page):
    from rphinge import PairedHinge

    real, fake = torch.tensor([[2.0], [0.0], [1.0]]), torch.tensor([[0.5], [1.0], [1.0]])
    loss = PairedHinge(margin=1.0)
    assert loss.discriminator(real, fake).item() == pytest.approx((0 + 2 + 1) / 3)
    assert loss.generator(fake, real).item() == pytest.approx((2.5 + 0 + 1) / 3)
    assert loss.discriminator(real + 7, fake + 7).item() == pytest.approx(1.0)  # differences alone count
    assert PairedHinge(margin=2.0).discriminator(real, fake).item() == pytest.approx((0.5 + 3 + 2) / 3)


@pytest.mark.parametrize("page", ["penalty"], indirect=True)
def test_of_a_linear_critic_dragan_is_a_closed_form(page):
    """D(x) = w.x has the gradient w everywhere: weight (|w| - slope)^2."""
    from dragan import Dragan

    real = torch.rand(3, 2, 3, 4, 4, dtype=torch.float64)
    weights = torch.rand(96, dtype=torch.float64)
    noise = Noise(Key.of(1), torch.arange(3), dtype=torch.float64)
    found = Dragan(weight=5.0, slope=0.5)(lambda x: x.flatten(1) @ weights, real, real, noise)
    assert found.item() == pytest.approx(5 * (float(weights.norm()) - 0.5) ** 2)


@pytest.mark.parametrize("page", ["penalty"], indirect=True)
def test_the_critic_is_asked_around_real_clips_alone_at_the_spread_that_is_set(page):
    from dragan import Dragan

    real, fake = torch.zeros(200, 1, 3, 8, 8), torch.full((200, 1, 3, 8, 8), torch.nan)
    asked = []

    def critic(video):
        asked.append(video.detach())
        return video.flatten(1).square().sum(1)

    penalty = Dragan(spread=0.09)(critic, real, fake, Noise(Key.of(1), torch.arange(200)))
    (around,) = asked
    assert float(around.mean()) == pytest.approx(0, abs=0.01)
    assert float(around.var()) == pytest.approx(0.09, rel=0.05)
    assert bool(penalty.isfinite())
