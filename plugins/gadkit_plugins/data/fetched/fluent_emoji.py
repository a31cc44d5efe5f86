"""The animated Fluent Emoji, fetched from a package registry."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from gadkit import DataError
from gadkit_plugins.data.fetched.fetch import Package, fetched
from gadkit_plugins.data.videos import Videos

# fmt: off
PACKAGES = tuple(
    Package(client="npm", name=f"@lobehub/fluent-emoji-anim-{number}", version="1.0.0", sha256=sha256)
    for number, sha256 in (
        (1, "4c03ac178c1eabf2e2a16dd498f3cc2b92dc30ec3466ae38fdc497d4774c99ea"),
        (2, "e431da8172e394036c330faa77648d6fbbae1fd3b0be95637c4497c9075019c0"),
        (3, "3624d0c34c819c1794b74ccf6ae9034adff7c4cb6318dd2a645145f0196feb43"),
        (4, "3d4c08f1e321f70808ef4996aba0ab575a9d97b6c56ffffc92cf6161a7836aa3"),
    )
)
# fmt: on

#: Fewer frames than this are stills, and blinks of a few frames.
LEAST_FRAMES = 24
_MEMBER = re.compile(r"package/assets/([0-9a-f]+(?:-[0-9a-f]+)*)\.webp")
#: The code points that give a figure another colour of skin.
_SKIN_TONES = frozenset(("1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"))

_MIT = """\
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""
_NOTICE = f"""\
The files in this folder are animations of the Fluent Emoji by Microsoft, as the npm packages
@lobehub/fluent-emoji-anim-1 to -4, version 1.0.0, by LobeHub carry them, unchanged; left out are those of fewer than
{LEAST_FRAMES} frames and those that differ from another by the colour of skin alone. Both are under the MIT licence:

Copyright (c) Microsoft Corporation.
Copyright (c) LobeHub.

{_MIT}"""


class FluentEmoji(Videos):
    """Microsoft's Fluent Emoji, animated: 732 clips of 256×256 with transparency, 24 to 97 frames at about 24 a second.

    `gadkit data get fluent-emoji DEST` fetches 0.7 GB with npm and keeps 0.26 GB of it: the animated WebP files as they
    are, so that frames lose nothing by a second encoding and the ground behind them stays a choice
    (`video.background`).

    Args:
        path: The folder that they were fetched into.
    """

    licence = "MIT"
    homepage = "https://github.com/microsoft/fluentui-emoji"

    @classmethod
    def accepts(cls, path: Path | str) -> bool:
        """False: the fetched folder is one of videos, which `videos` takes."""
        return False

    @classmethod
    def get(cls, folder: Path, progress: Callable[[int, int, str], None] | None = None) -> None:
        """Fetches the packages, and keeps the animations of them."""
        for number, package in enumerate(PACKAGES):
            if progress:
                progress(number, len(PACKAGES), f"{package} through npm")
            with fetched(package, folder) as archive:
                kept = 0
                for name, data in _animations(archive):
                    (folder / f"{name}.webp").write_bytes(data)
                    kept += 1
            if not kept:
                raise DataError(
                    f"{package}: holds no animated WebP; expected assets/*.webp with {LEAST_FRAMES} frames."
                )
        (folder / "LICENSE").write_text(_NOTICE, encoding="utf-8")
        if progress:
            progress(len(PACKAGES), len(PACKAGES), "done")


def _animations(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of the files of an archive that are wanted; nothing else is read, and no name leads anywhere."""
    with tarfile.open(archive) as opened:
        for member in opened:
            match = _MEMBER.fullmatch(member.name)
            if match is None or not member.isfile() or _SKIN_TONES & set(match[1].split("-")):
                continue
            file = opened.extractfile(member)
            assert file is not None  # a plain file
            data = file.read()
            with Image.open(io.BytesIO(data), formats=("WEBP",)) as image:
                frames = getattr(image, "n_frames", 1)
            if frames >= LEAST_FRAMES:
                yield match[1], data
