"""From a decoded frame to a frame of the training size."""

from __future__ import annotations

import numpy as np
from PIL import Image

from gadkit.errors import ConfigError, nearest

_NAMED = {"white": (255, 255, 255), "black": (0, 0, 0), "gray": (128, 128, 128), "grey": (128, 128, 128)}


def parse_colour(text: str) -> tuple[int, int, int]:
    """The bytes (R, G, B) of a colour in sRGB.

    Args:
        text: `white`, `black`, `gray` or `grey`, or `#rrggbb`.

    Raises:
        ConfigError: For anything else.
    """
    word = text.strip().lower()
    if word in _NAMED:
        return _NAMED[word]
    digits = word.removeprefix("#")
    if word.startswith("#") and len(digits) == 6 and all(digit in "0123456789abcdef" for digit in digits):
        red, green, blue = bytes.fromhex(digits)
        return red, green, blue
    raise ConfigError(
        f"background: {text!r} is no colour; give white, black, gray or #rrggbb, such as #ff8800."
        f"{nearest(word, _NAMED)}"
    )


def composite(frame: np.ndarray, background: tuple[int, int, int]) -> np.ndarray:
    """Lays a frame with straight alpha over a colour: (a x + (255 - a) b) / 255, rounded.

    Args:
        frame: uint8 `(H, W, 4)`, or `(H, W, 3)`, which is returned as it is.
        background: Bytes (R, G, B).

    Returns:
        uint8 `(H, W, 3)`.
    """
    if frame.shape[2] == 3:
        return frame
    alpha = frame[:, :, 3:].astype(np.uint32)
    below = np.array(background, np.uint32)
    mixed: np.ndarray = ((alpha * frame[:, :, :3] + (255 - alpha) * below + 127) // 255).astype(np.uint8)
    return mixed


def fit(
    frame: np.ndarray,
    height: int,
    width: int,
    background: str | tuple[int, int, int] = "white",
    how: str = "crop",
) -> np.ndarray:
    """A frame at the training size: composited, brought to the aspect ratio, and resized.

    Compositing comes first, so that the colour of transparent pixels never bleeds into the edges. Resizing is Lanczos'
    filter widened by the scale, which does not alias; a frame that has the size already keeps its pixels.

    Args:
        frame: uint8 `(h, w, 3)`, or `(h, w, 4)` with straight alpha.
        height: H in pixels.
        width: W in pixels.
        background: What transparent pixels and letterboxes show, as for `parse_colour`, or bytes (R, G, B).
        how: `crop` cuts what is too much, about the centre; `letterbox` shows all of the frame and fills up with the
            background; `stretch` distorts.

    Returns:
        uint8 `(H, W, 3)`, contiguous.
    """
    colour = parse_colour(background) if isinstance(background, str) else background
    opaque = np.ascontiguousarray(composite(frame, colour))
    h, w = opaque.shape[:2]
    if (h, w) == (height, width):
        return opaque
    if how == "letterbox":
        return _letterboxed(opaque, height, width, colour)
    crop_h, crop_w = float(h), float(w)
    if how == "stretch":
        pass
    elif w * height > h * width:
        crop_w = h * width / height
    else:
        crop_h = w * height / width
    left, top = (w - crop_w) / 2, (h - crop_h) / 2
    box = (left, top, left + crop_w, top + crop_h)
    return np.asarray(Image.fromarray(opaque).resize((width, height), Image.Resampling.LANCZOS, box=box))


def _letterboxed(frame: np.ndarray, height: int, width: int, colour: tuple[int, int, int]) -> np.ndarray:
    """The whole frame, as large as it fits, in the middle of the colour."""
    h, w = frame.shape[:2]
    scale = min(height / h, width / w)
    inner = max(1, round(w * scale)), max(1, round(h * scale))
    resized = np.asarray(Image.fromarray(frame).resize(inner, Image.Resampling.LANCZOS))
    canvas = np.empty((height, width, 3), np.uint8)
    canvas[:] = colour
    top, left = (height - inner[1]) // 2, (width - inner[0]) // 2
    canvas[top : top + inner[1], left : left + inner[0]] = resized
    return canvas
