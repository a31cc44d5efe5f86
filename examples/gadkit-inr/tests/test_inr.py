"""Frames are functions of the plane, by weights that the code modulates."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gadkit import ConfigError, VideoSpec
from gadkit.testing import check_generator
from gadkit_inr.inr import ImplicitGenerator, Modulated

SMALL: dict[str, Any] = {"latent_dim": 8, "motion_dim": 4, "width": 8, "style_dim": 16, "frequencies": 6}


def made(height: int = 16, width: int = 24, **settings: Any) -> tuple[ImplicitGenerator, Tensor]:
    torch.manual_seed(0)
    net = ImplicitGenerator(VideoSpec(height=height, width=width, frames=3), **(SMALL | settings))
    return net.double(), torch.randn(2, 3, net.latent_dim, dtype=torch.float64)


@pytest.mark.parametrize("settings", [{"depth": 1}, {"levels": 0, "coordinates": "stretched"}], ids=str)
def test_it_conforms_with_other_settings(settings: dict[str, Any]) -> None:
    check_generator(ImplicitGenerator, **(SMALL | settings))


@pytest.mark.parametrize("size", [(1, 1), (7, 30), (45, 17)])
def test_any_size_can_be_made(size: tuple[int, int]) -> None:
    net, codes = made(*size)
    assert net(codes).shape == (2, 3, 3, *size)


@pytest.mark.parametrize("coordinates", ["square", "stretched"])
def test_more_pixels_show_the_same_function_of_the_plane(coordinates: str) -> None:
    net, codes = made(levels=0, coordinates=coordinates)
    fine = net.render(codes, None, (48, 72))  # the middle of three pixels stands where the one of the coarse frame does
    torch.testing.assert_close(fine[..., 1::3, 1::3], net(codes), rtol=0, atol=1e-12)
    assert fine[..., 0::3, 0::3].sub(net(codes)).abs().max() > 1e-3


@pytest.mark.parametrize("levels", [0, 2])
def test_a_wider_view_has_the_frame_in_its_middle(levels: int) -> None:
    net, codes = made(16, 32, levels=levels)
    wide = net.render(codes, None, (32, 64), extent=2.0)
    torch.testing.assert_close(wide[..., 8:24, 16:48], net(codes), rtol=0, atol=1e-12)


def test_square_pixels_are_as_far_apart_along_both_sides() -> None:
    for coordinates, ratio in (("square", 1.0), ("stretched", 1.5)):
        net, codes = made(coordinates=coordinates)
        rows, columns = net.points((16, 24), 1.0, codes).unflatten(1, (16, 24))
        assert (rows[1, 0] - rows[0, 0]).item() == pytest.approx(2 / 16)
        assert (rows[1, 0] - rows[0, 0]).item() == pytest.approx(ratio * (columns[0, 1] - columns[0, 0]).item())


def test_modulation_is_multiplicative_and_of_low_rank() -> None:
    torch.manual_seed(0)
    layer, styles = Modulated(16, 20, 12, rank=3).double(), torch.randn(5, 16, dtype=torch.float64)
    weights, _ = layer.modulate(styles)
    factor = weights / layer.weight / 2  # sigma(A B / sqrt(r)), between 0 and 1
    assert ((factor > 0) & (factor < 1)).all()
    spectrum = torch.linalg.svdvals(torch.logit(factor))
    assert (spectrum[:, 3:] < 1e-9 * spectrum[:, :1]).all()
    assert (spectrum[:, 2] > 1e-3).all()
    neutral, _ = layer.modulate(torch.zeros(1, 16, dtype=torch.float64))
    assert torch.equal(neutral[0], layer.weight)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"generator\.motion_dim: found 9"):
        made(motion_dim=9)
    net = ImplicitGenerator(VideoSpec(height=8, width=8, frames=2, classes=3), **SMALL)
    with pytest.raises(ConfigError, match="labels: found none"):
        net(torch.zeros(1, 2, 8))
