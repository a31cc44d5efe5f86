"""HDR becomes sRGB as the standards say."""

import numpy as np
import pytest

from gadkit.video.hdr import PEAK, WHITE, hlg_to_scene, nits_to_pq, pq_to_nits, roll_off, to_srgb


def srgb(linear):
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)


def rgb_to_xyz(primaries):
    """The matrix of RGB primaries with white D65, from their chromaticities."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    white = np.array([0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])
    return columns * np.linalg.solve(columns, white)


BT709 = rgb_to_xyz([(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)])
BT2020 = rgb_to_xyz([(0.708, 0.292), (0.170, 0.797), (0.131, 0.046)])


# BT.2408-7, table 1, and BT.2100: signals and the light that they stand for.
@pytest.mark.parametrize(("signal", "nits"), [(0, 0), (0.5081, 100), (0.5807, 203), (0.7518, 1000), (1, 10000)])
def test_pq_at_published_points(signal, nits):
    assert float(pq_to_nits(np.array(float(signal)))) == pytest.approx(nits, rel=2e-3)


def test_pq_inverse():
    nits = np.geomspace(1e-3, 1e4, 200)
    assert np.allclose(pq_to_nits(nits_to_pq(nits)), nits, rtol=1e-9)


@pytest.mark.parametrize(("signal", "scene"), [(0, 0), (0.5, 1 / 12), (1, 1)])
def test_hlg_at_defined_points(signal, scene):
    assert float(hlg_to_scene(np.array(float(signal)))) == pytest.approx(scene, abs=1e-6)


def test_hlg_reference_white_is_203_nits():
    # 75 % of an HLG signal on a 1,000 cd/m² display (BT.2408).
    assert 1000 * float(hlg_to_scene(np.array(0.75))) ** 1.2 == pytest.approx(203, rel=5e-3)


def test_roll_off_keeps_the_dark_maps_the_peak_and_never_falls():
    dark = np.linspace(0, 87.8, 100)
    assert np.allclose(roll_off(dark), dark, rtol=1e-9)
    assert float(roll_off(np.array(PEAK))) == pytest.approx(WHITE)
    assert float(roll_off(np.array(4 * PEAK))) == pytest.approx(WHITE)
    curve = roll_off(np.linspace(0, PEAK, 5000))
    slope = np.diff(curve)
    assert (slope >= 0).all()
    assert slope.max() <= 1.001 * PEAK / 4999  # nothing is made brighter
    assert np.abs(np.diff(slope)).max() < 2e-3 * slope.max()  # and there is no kink


@pytest.mark.parametrize("nits", [0.5, 5, 20, 60, 90])
@pytest.mark.parametrize("transfer", ["pq", "hlg"])
def test_dark_greys_have_a_closed_form(transfer, nits):
    if transfer == "pq":
        signal = float(nits_to_pq(np.array(nits)))
    else:
        scene = (nits / 1000) ** (1 / 1.2)
        signal = np.sqrt(3 * scene) if scene <= 1 / 12 else 0.17883277 * np.log(12 * scene - 0.28466892) + 0.55991073
    grey = to_srgb(np.full((1, 1, 3), signal, np.float32), transfer)[0, 0].astype(int)
    assert np.abs(grey - 255 * srgb(nits / WHITE)).max() <= 1


def test_white_and_black():
    signal = np.array([[[0.0] * 3, [0.5807] * 3, [0.7518] * 3, [1.0] * 3]], np.float32)
    black, white, peak, beyond = to_srgb(signal, "pq")[0].astype(int)
    assert (black == 0).all()
    assert (peak == 255).all()
    assert (beyond == 255).all()
    assert 220 <= white.min() <= white.max() <= 240  # room is left for highlights


@pytest.mark.parametrize("colour", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.7, 0.2, 0.4)])
def test_primaries(colour):
    # A colour of BT.709, seen at 60 cd/m², carried as PQ in BT.2020, is the same colour again.
    linear = np.array(colour) * 60
    wide = np.linalg.solve(BT2020, BT709 @ linear)
    signal = nits_to_pq(np.maximum(wide, 0))[None, None].astype(np.float32)
    assert np.abs(to_srgb(signal, "pq")[0, 0] - 255 * srgb(linear / WHITE)).max() <= 2


def test_highlights_keep_their_hue():
    nits = np.array([500.0, 600.0, 550.0])
    result = to_srgb(nits_to_pq(nits)[None, None].astype(np.float32), "pq")[0, 0] / 255
    linear = np.where(result <= 0.04045, result / 12.92, ((result + 0.055) / 1.055) ** 2.4)
    expected = np.linalg.solve(BT709, BT2020 @ nits)
    assert np.allclose(linear / linear[0], expected / expected[0], atol=0.02)
