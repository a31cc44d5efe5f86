"""The clips that come with gadkit."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from gadkit import DataError, Dataset, Footage, Source
from gadkit.video.decode import open_video


class Embedded(Dataset):
    """Animated yellow faces of Microsoft's Fluent Emoji, 128×128 on white, 25 frames a second, 37 to 96 frames each.

    Enough for a first training without data of one's own. The licence is MIT; see `NOTICE` beside the clips.

    Args:
        path: Not looked at, since the clips lie in the installed package; there because every dataset has it.
    """

    licence = "MIT"
    homepage = "https://github.com/microsoft/fluentui-emoji"

    def __init__(self, path: Path | str = Path()) -> None:
        self._folder = Path(str(resources.files("gadkit_plugins.data").joinpath("embedded")))

    def sources(self) -> Sequence[Source]:
        """The clips in order of their code points."""
        clips = sorted(self._folder.glob("*.mp4"), key=lambda clip: clip.name)
        if not clips:
            raise DataError(f"{self._folder} holds no clips; install gadkit again, unpacked.")
        return [Source(name=clip.name, files=(clip,)) for clip in clips]

    def open(self, source: Source) -> Footage:
        """Decodes a clip."""
        return open_video(source.files[0])
