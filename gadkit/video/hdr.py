"""High dynamic range to sRGB: what PQ and HLG signals look like on an ordinary display.

The chain, all of it in linear light of BT.2020 primaries until the last step:

1. The signal becomes the display's light in cd/m²: SMPTE ST 2084 for PQ; for HLG the inverse OETF and the OOTF of a
   1,000 cd/m² display, gamma 1.2 (ITU-R BT.2100-2, tables 4 and 5).
2. The roll-off of ITU-R BT.2390 (section 5.4.1, "EETF") maps the 1,000 cd/m² peak to 203 cd/m², the light of reference
   white in BT.2408; it leaves everything below about 88 cd/m² as it is. It is applied to the largest of the
   three channels, and the pixel is scaled by the ratio, which keeps its hue. Light above 1,000 cd/m² is clipped.
3. 203 cd/m² becomes 1, BT.2020 primaries become BT.709's (BT.2087), what lies outside is clipped, and the sRGB curve
   (IEC 61966-2-1) gives the bytes.
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
_BT2020_TO_BT709 = np.array(
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]], np.float32
)


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


@cache
def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Tables over 16-bit signals, and the roll-off's ratio over light: what makes a frame a matter of look-ups."""
    signal = np.arange(65536) / 65535
    light = pq_to_nits(np.linspace(0, float(nits_to_pq(np.array(PEAK))), 4096))
    ratio = np.divide(roll_off(light), light, out=np.ones_like(light), where=light > 0) / WHITE
    curve = np.where(signal <= 0.0031308, 12.92 * signal, 1.055 * np.power(signal, 1 / 2.4) - 0.055)
    return (
        pq_to_nits(signal).astype(np.float32),
        hlg_to_scene(signal).astype(np.float32),
        light.astype(np.float32),
        ratio.astype(np.float32),
        np.round(255 * curve).astype(np.uint8),
    )


def to_srgb(signal: np.ndarray, transfer: str) -> np.ndarray:
    """Bytes in sRGB of an HDR frame.

    Args:
        signal: R'G'B' of BT.2020 primaries, floating point `(H, W, 3)`, nominally in [0, 1].
        transfer: `"pq"` or `"hlg"`.

    Returns:
        uint8 `(H, W, 3)`.
    """
    pq, hlg, light, ratio, curve = _tables()
    index = (np.clip(signal, 0, 1) * 65535 + 0.5).astype(np.uint16)
    if transfer == "pq":
        nits = np.minimum(pq[index], PEAK)
    else:
        nits = hlg[index]
        nits = nits * (PEAK * np.power(nits @ _LUMINANCE_2020, 0.2))[:, :, None]
    scale = np.interp(nits.max(axis=2), light, ratio).astype(np.float32)
    display = (nits * scale[:, :, None]) @ _BT2020_TO_BT709.T
    bytes_: np.ndarray = curve[(np.clip(display, 0, 1) * 65535 + 0.5).astype(np.uint16)]
    return bytes_
