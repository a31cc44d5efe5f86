"""The videos of a comparison's page: real clips, and beside them what every run makes of the same seeds."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from gadkit.comparison.plan import Plan
from gadkit.comparison.summary import Row
from gadkit.comparison.videos import real_place, sample_place
from gadkit.report.words import told
from gadkit.words import count_text, size_text

#: The most bytes of videos on a page, and seeds to choose from.
_MOST = 24 << 20
_SEEDS = 10


def gallery(plan: Plan, out: Path, rows: Sequence[Row]) -> str:
    """HTML of the videos; a choice of the training's seed above them, where there are several."""
    budget = _MOST
    real = _read(real_place(out), budget)
    budget -= len(real or b"")
    count = min(_SEEDS, max(len(row.runs) for row in rows))
    figures: list[str] = [] if real is None else [_figure("real clips", "held out of the trainings", real, "always")]
    left_out = 0
    shown: set[int] = set()
    seeds: dict[int, set[str]] = {}
    for place in range(count):
        for row in rows:
            run = row.runs[min(place, len(row.runs) - 1)]
            content = _read(sample_place(out, run.job), budget)
            if content is None:
                left_out += run.whole
                continue
            budget -= len(content)
            shown.add(place)
            seeds.setdefault(place, set()).add(str(run.facts.seed))
            seed = "" if run.facts.seed is None else f"trained with seed {run.facts.seed}"
            figures.append(_figure(row.name, seed, content, f"of-{place}"))
    if not shown:
        return ""
    picks = "".join(
        f'<input type="radio" name="training" id="training-{place}" class="chosen chosen-{place}"'
        f"{' checked' if place == min(shown) else ''}>"
        for place in sorted(shown)
    )
    labels = "".join(
        f'<label for="training-{place}" class="to-{place}">{told(" or ".join(sorted(seeds[place])))}</label>'
        for place in sorted(shown)
    )
    choice = f'<div class="choice"><span>trained with seed</span>{labels}</div>' if len(shown) > 1 else ""
    rest = f" {count_text(left_out, 'file')} beyond {size_text(_MOST)} left out." if left_out else ""
    small = " small" if max(plan.video["width"], plan.video["height"]) < 96 else ""
    return (
        f'<p class="soft">The same {count_text(plan.measuring.videos, "seed")} of the noise for all.{rest}</p>'
        f'<div class="videos{small}">{picks}<div class="bar-above"><button type="button" class="pause" hidden>Pause'
        f'</button>{choice}</div><div class="wall">{"".join(figures)}</div></div>'
    )


def _figure(name: str, about: str, content: bytes, style: str) -> str:
    data = base64.b64encode(content).decode()
    return (
        f'<figure class="clip {style}"><video autoplay muted loop playsinline controls preload="auto" '
        f'aria-label="videos of {told(name, 80)}" src="data:video/mp4;base64,{data}"></video>'
        f'<figcaption>{told(name, 80)} <span class="soft">{told(about)}</span></figcaption></figure>'
    )


def _read(path: Path, most: int) -> bytes | None:
    """A video, where it is there and not too large."""
    try:
        content = path.read_bytes() if path.stat().st_size <= most else b""
    except OSError:
        return None
    return content if content[4:8] == b"ftyp" else None
