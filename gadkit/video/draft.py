"""Small frames straight from the decoder: who draws frames says what size will do, and it scales as it converts.

A frame of 1920×1080 that becomes one of 64×64 need not be made in RGB first. The wish is in force while a frame is
drawn, in the thread that draws it, so whatever stands between the decoder and `Geometry` need not know of it. A decoder
may ignore it: `gadkit.video.transforms.fit` brings what comes to the size in either case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar

import numpy as np

#: From the size of an upright frame (H, W) to the smaller one that will do, or `None` where only its own will.
Shrink = Callable[[int, int], tuple[int, int] | None]


class Draft:
    """What is wished for while frames are drawn.

    Attributes:
        shrink: The size that will do.
        source: The size (H, W) that the last frame had before it was shrunk; `None` where it was not.
    """

    def __init__(self, shrink: Shrink) -> None:
        self.shrink = shrink
        self.source: tuple[int, int] | None = None


_current: ContextVar[Draft | None] = ContextVar("gadkit_draft", default=None)


def current() -> Draft | None:
    """The wish in force."""
    return _current.get()


def source_size(frame: np.ndarray) -> tuple[int, int]:
    """The size (H, W) at which a frame that was just drawn lies in its file."""
    draft = _current.get()
    if draft is not None and draft.source is not None:
        return draft.source
    return frame.shape[0], frame.shape[1]


def drawn(frames: Iterator[np.ndarray], shrink: Shrink) -> Iterator[np.ndarray]:
    """The same frames, or smaller ones, drawn while `shrink` is in force."""
    draft = Draft(shrink)
    while True:
        token = _current.set(draft)
        try:
            frame = next(frames, None)
        finally:
            _current.reset(token)
        if frame is None:
            return
        yield frame
