"""Colours that an ordinary display does not have: HDR (PQ and HLG) and wide gamuts, to sRGB.

The chain of HDR, all of it in linear light of the stream's primaries, BT.2020's where it names none, until the last
step:

1. The signal becomes the display's light in cd/m²: SMPTE ST 2084 for PQ; for HLG the inverse OETF and the OOTF of a
   1,000 cd/m² display, gamma 1.2 (ITU-R BT.2100-2, tables 4 and 5).
2. The roll-off of ITU-R BT.2390 (section 5.4.1, "EETF") maps the 1,000 cd/m² peak to 203 cd/m², the light of reference
   white in BT.2408; it leaves everything below about 88 cd/m² as it is. It is applied to the largest of the
   three channels, and the pixel is scaled by the ratio, which keeps its hue. Light above 1,000 cd/m² is clipped.
3. 203 cd/m² becomes 1, BT.2020 primaries become BT.709's (BT.2087), what lies outside is clipped, and the sRGB curve
   (IEC 61966-2-1) gives the bytes.

A wide gamut without HDR, BT.2020 or Display P3, becomes linear light by the sRGB curve, which is how BT.709 footage is
taken as well, and goes through step 3. DCI-P3 with the white of a cinema is left as it is.
"""

from __future__ import annotations

from functools import cache

import numpy as np

#: Light of the brightest pixel that is kept apart from white, in cd/m²; the nominal peak of HLG.
PEAK = 1000.0
#: Reference white of HDR video in cd/m² (BT.2408); the brightest that the result can show.
WHITE = 203.0

_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_HLG_A = 0.17883277
_HLG_B = 1 - 4 * _HLG_A
_HLG_C = 0.5 - _HLG_A * np.log(4 * _HLG_A)
_LUMINANCE_2020 = np.array([0.2627, 0.6780, 0.0593], np.float32)
# To BT.709, by the primaries' number in H.273; all have the white point D65 (BT.2087; SMPTE RP 431-2 and EG 432-1).
_TO_BT709 = {
    9: np.array(
        [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]],
        np.float32,
    ),
    12: np.array(
        [[1.224940, -0.224940, 0.0], [-0.042057, 1.042057, 0.0], [-0.019638, -0.078636, 1.098274]], np.float32
    ),
}
#: Primaries of ITU-T H.273 that are wider than sRGB's and are converted: BT.2020 and Display P3.
WIDE = frozenset(_TO_BT709)


def pq_to_nits(signal: np.ndarray) -> np.ndarray:
    """The EOTF of SMPTE ST 2084: signal in [0, 1] to light in cd/m², 0 to 10,000."""
    power = np.power(np.clip(signal, 0, 1), 1 / _M2)
    light: np.ndarray = 10000 * np.power(np.maximum(power - _C1, 0) / (_C2 - _C3 * power), 1 / _M1)
    return light


def nits_to_pq(nits: np.ndarray) -> np.ndarray:
    """The inverse of `pq_to_nits`."""
    power = np.power(np.clip(nits / 10000, 0, 1), _M1)
    signal: np.ndarray = np.power((_C1 + _C2 * power) / (1 + _C3 * power), _M2)
    return signal


def hlg_to_scene(signal: np.ndarray) -> np.ndarray:
    """The inverse OETF of HLG (ARIB STD-B67, BT.2100): signal in [0, 1] to scene light in [0, 1]."""
    clipped = np.clip(signal, 0, 1)
    scene: np.ndarray = np.where(clipped <= 0.5, clipped**2 / 3, (np.exp((clipped - _HLG_C) / _HLG_A) + _HLG_B) / 12)
    return scene


def roll_off(nits: np.ndarray) -> np.ndarray:
    """The EETF of BT.2390 from a peak of `PEAK` to one of `WHITE`: light in cd/m² to light in cd/m²."""
    peak = nits_to_pq(np.array(PEAK))
    target = nits_to_pq(np.array(WHITE)) / peak
    knee = 1.5 * target - 0.5
    signal = nits_to_pq(np.minimum(nits, PEAK)) / peak
    t = (signal - knee) / (1 - knee)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * target
    return pq_to_nits(np.where(signal < knee, signal, spline) * peak)


def _to_linear(signal: np.ndarray) -> np.ndarray:
    linear: np.ndarray = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    return linear


def _index(values: np.ndarray) -> np.ndarray:
    """Where values in [0, 1] stand in a table of 65,536. Takes the place of `values`."""
    np.clip(values, 0, 1, out=values)
    values *= 65535
    values += 0.5
    return values.astype(np.uint16)


@cache
def _tables() -> dict[str, np.ndarray]:
    """Tables over 16-bit signals, and over square roots of light: they make a frame a matter of look-ups."""
    grid = np.arange(65536) / 65535
    light = np.minimum(pq_to_nits(grid), PEAK)
    display = grid**2 * PEAK
    return {
        "pq": light.astype(np.float32),
        # by the largest signal of the three: the roll-off's ratio, white being 1
        "pq_scale": _ratio(light).astype(np.float32),
        "hlg": hlg_to_scene(grid).astype(np.float32),
        # by the root of the scene's luminance: the gain of the OOTF
        "hlg_gain": (PEAK * np.power(grid, 0.4)).astype(np.float32),
        # by the root of light / PEAK
        "scale": _ratio(display).astype(np.float32),
        "curve": np.round(
            255 * np.where(grid <= 0.0031308, 12.92 * grid, 1.055 * np.power(grid, 1 / 2.4) - 0.055)
        ).astype(np.uint8),
        "linear": _to_linear(np.arange(256) / 255).astype(np.float32),
    }


def _ratio(light: np.ndarray) -> np.ndarray:
    ratio: np.ndarray = np.divide(roll_off(light), light, out=np.ones_like(light), where=light > 0) / WHITE
    return ratio


def to_srgb(signal: np.ndarray, transfer: str, primaries: int = 9) -> np.ndarray:
    """Bytes in sRGB of an HDR frame.

    Args:
        signal: R'G'B', float32 `(H, W, 3)`, nominally in [0, 1].
        transfer: `"pq"` or `"hlg"`.
        primaries: The primaries' number in ITU-T H.273: 1 for BT.709's, 12 for Display P3's; any other is BT.2020.

    Returns:
        uint8 `(H, W, 3)`.
    """
    tables = _tables()
    index = _index(np.array(signal, np.float32))
    if transfer == "pq":
        nits = tables["pq"][index]
        nits *= tables["pq_scale"][index.max(axis=2)][:, :, None]
    else:
        nits = tables["hlg"][index]
        gain = tables["hlg_gain"][_index(np.sqrt(nits @ _LUMINANCE_2020))]
        gain *= tables["scale"][_index(np.sqrt(nits.max(axis=2) * (gain / np.float32(PEAK))))]
        nits *= gain[:, :, None]
    return _to_bytes(nits, primaries if primaries == 1 or primaries in WIDE else 9)


def wide_to_srgb(frame: np.ndarray, primaries: int) -> np.ndarray:
    """Bytes in sRGB of a frame of a wide gamut.

    Args:
        frame: uint8 `(H, W, 3)`, R'G'B' of those primaries, of sRGB's curve.
        primaries: One of `WIDE`.

    Returns:
        uint8 `(H, W, 3)`; colours outside sRGB are clipped.
    """
    return _to_bytes(_tables()["linear"][frame], primaries)


def _to_bytes(linear: np.ndarray, primaries: int) -> np.ndarray:
    """sRGB bytes of linear light in which white is 1."""
    if primaries in _TO_BT709:
        linear = linear @ _TO_BT709[primaries].T
    bytes_: np.ndarray = _tables()["curve"][_index(linear)]
    return bytes_
