"""A run's samples: some of its videos, spread over the training, as part of the page."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from pathlib import Path

from gadkit.report.reading import Files
from gadkit.report.words import told
from gadkit.words import count_text, size_text

#: The most videos of a page, and the most bytes of all of them as they lie in the run.
VIDEOS = 12
MOST_BYTES = 10 << 20
_NAME = re.compile(r"step-(\d{1,15})\.mp4")


def chosen(sizes: Sequence[int], videos: int = VIDEOS, most: int = MOST_BYTES) -> list[int]:
    """Which files are shown, by their places: the last, the first, and others evenly between, as many as fit.

    Args:
        sizes: Bytes of each, in the order of the training.
        videos: The most files.
        most: The most bytes of all of them together.
    """
    fitting = [place for place, size in enumerate(sizes) if 0 < size <= most]
    for count in range(min(videos, len(fitting)), 0, -1):
        ends = max(1, count - 1)
        found = [fitting[-1 - round((count - 1 - number) * (len(fitting) - 1) / ends)] for number in range(count)]
        if sum(sizes[place] for place in found) <= most:
            return found
    return []


def samples(files: Files) -> str:
    """HTML of the samples: a large view of one, chosen by a slider, and all of them small, from first to last."""
    there = sorted((int(match[1]), path) for path, match in files.matching("samples", _NAME))
    sizes = [files.size(path) or 0 for _, path in there]
    shown = [(there[place], content) for place in chosen(sizes) if (content := _content(files, there[place][1]))]
    if not shown:
        return f'<p class="soft">{_left_out(len(there), 0, sizes)}</p>' if there else ""
    last = shown[-1][0][0]
    figures = "".join(
        f'<li><figure class="sample"><video controls muted loop playsinline preload="auto" data-step="{step}" '
        f'aria-label="samples of step {step:,}" src="data:video/mp4;base64,{base64.b64encode(content).decode()}">'
        f"</video><figcaption>step {step:,}</figcaption></figure></li>"
        for (step, _), content in shown
    )
    stage = (
        '<div class="stage" hidden><video muted loop playsinline></video><div class="controls">'
        '<button type="button" class="play">Pause</button>'
        f'<label for="sample">after step <output for="sample">{last:,}</output></label>'
        f'<input type="range" id="sample" min="0" max="{len(shown) - 1}" step="1" value="{len(shown) - 1}"></div></div>'
    )
    about = f'<p class="soft">{_left_out(len(there), len(shown), sizes)}</p>' if len(shown) < len(there) else ""
    return f'<div class="samples">{stage}<ol class="strip">{figures}</ol>{about}</div>'


def _content(files: Files, path: Path) -> bytes | None:
    """The video in a file; one that is none is told and left out."""
    content = files.read(path, MOST_BYTES)
    if content is not None and content[4:8] != b"ftyp":
        files.trouble(path, "is no MP4 video")
        return None
    return content


def _left_out(there: int, shown: int, sizes: Sequence[int]) -> str:
    total = size_text(sum(sizes))
    return told(
        f"Shown: {shown:,} of {count_text(there, 'file')} ({total}), spread over the training: at most {VIDEOS} files "
        f"and {size_text(MOST_BYTES)}. The others lie in the run's folder, under samples."
    )
