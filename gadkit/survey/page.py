"""A page about a data set: one HTML file, without anything from elsewhere, on which its clips play."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gadkit.pages.document import document as document_page
from gadkit.pages.document import fact_cards, plain, section
from gadkit.pages.files import write_whole
from gadkit.survey.measure import Measure, Survey, Surveyed, spread
from gadkit.words import count_text, duration_text, rate_text, size_text

#: The most clips that play on a page, and names that one of its lists shows.
CLIPS = 24
_NAMES = 1000

_STYLE = """
.clips { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .8rem; align-items: start }
figure img { display: block; width: 100%; height: auto }
figure.small img { image-rendering: pixelated }
figcaption { padding: .3rem .5rem .45rem; font-size: .8rem; line-height: 1.35; overflow-wrap: anywhere }
td.wide { width: 45% }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(19rem, 1fr)); gap: 0 2.5rem }
svg { display: block; width: 100%; height: 7rem }
rect { fill: var(--bar) }
"""


def page(title: str, found: Survey, document: Mapping[str, Any]) -> str:
    """The page's text.

    Args:
        title: What was surveyed.
        found: A survey that was made with pictures.
        document: Its findings (`gadkit.survey.findings`), with `dataset` and `next` added.
    """
    body = [
        f"<h1>{plain(title)}</h1>",
        f'<p class="soft">{plain(document["dataset"]["summary"])} ({plain(document["dataset"]["name"])})'
        f"{_sampled(document)}</p>",
        _facts(document),
        _clips(found),
        _listed("Worth a look", _warnings(document["warnings"])),
        _reasons("Broken", document["broken"], "bad"),
        _reasons("Dropped", document["dropped"], ""),
        '<div class="columns">',
        _bars("Sizes", [(f"{each['width']}×{each['height']}", each["videos"]) for each in document["sizes"]["counts"]]),
        _bars("Aspect ratios", [(each["aspect"], each["videos"]) for each in document["sizes"]["aspects"]]),
        _bars("Frame rates", [(rate_text(each["fps"]), each["videos"]) for each in document["fps"]["counts"]]),
        _histogram("Lengths in frames", document["lengths"]["frames"], lambda value: f"{value:,}"),
        _histogram("Lengths in seconds", document["lengths"]["seconds"], duration_text),
        _bars("Classes", [(each["name"], each["videos"]) for each in document["labels"]["classes"]]),
        "</div>",
        f"<h2>Next</h2><p><code>{plain(document['next'])}</code></p>" if document["next"] else "",
    ]
    return document_page(title, body, style=_STYLE)


def write_page(path: Path, title: str, found: Survey, document: Mapping[str, Any]) -> None:
    """Writes `page`; raises `RunError` where it cannot be written."""
    write_whole(path, page(title, found, document).encode("utf-8"))


def _sampled(document: Mapping[str, Any]) -> str:
    videos = document["videos"]
    if videos["found"] == videos["measured"]:
        return ""
    return f"; a sample of {videos['measured']:,}" + (
        f" of {videos['found']:,} videos" if videos["found"] else " videos"
    )


def _facts(document: Mapping[str, Any]) -> str:
    videos, clips, pack = document["videos"], document["clips"], document["pack"]
    size = f"{document['geometry']['width']}×{document['geometry']['height']}"
    facts = [
        (f"{videos['usable']:,}", f"usable of {count_text(videos['measured'], 'video')}"),
        (f"{videos['broken']:,}", "broken"),
        (f"{videos['short']:,}", "too short"),
        (duration_text(document["seconds"]), f"of footage, {count_text(document['frames'], 'frame')}"),
        (f"{clips['disjoint']:,}", f"clips of {document['clip']['span']} frames side by side"),
        (size_text(pack["bytes"]), f"packed at {size}"),
        (
            duration_text(pack["seconds"]),
            f"of decoding to pack it, with {count_text(pack['workers'], 'worker')} (estimate)",
        ),
    ]
    return fact_cards(facts)


def _clips(found: Survey) -> str:
    playing = [(video, video.measure) for video in found.videos if video.measure is not None and video.measure.clip]
    if not playing:
        return ""
    small = " class=small" if max(found.geometry.height, found.geometry.width) < 96 else ""
    span = found.span
    shown = [playing[place] for place in spread(len(playing), CLIPS)]
    about = f"The first {found.frames} frames of {len(shown)}, as training sees them."
    figures = "".join(_figure(video, measure, small, span) for video, measure in shown)
    return f'<h2>Clips</h2><p class="soft">{about}</p><div class="clips">{figures}</div>'


def _figure(video: Surveyed, measure: Measure, small: str, span: int) -> str:
    """One clip; its first frame alone where motion is unwelcome."""
    name = plain(video.source.name)
    size = f"{measure.width}×{measure.height}"
    told = [size, rate_text(measure.fps), duration_text(measure.seconds)] + ["too short"] * (measure.kept < span)
    facts = ", ".join(f'<span class="whole">{plain(fact)}</span>' for fact in told)
    label = "" if video.source.label is None else f"{plain(video.source.label)}, "
    still = f"data:image/png;base64,{measure.stills[0]}"
    return (
        f'<figure{small}><picture><source media="(prefers-reduced-motion: reduce)" srcset="{still}">'
        f'<img alt="{name}" loading="lazy" src="data:image/webp;base64,{measure.clip}"></picture>'
        f'<figcaption>{name}<br><span class="soft">{label}{facts}</span></figcaption></figure>'
    )


def _warnings(warnings: Iterable[Mapping[str, Any]]) -> str:
    return "".join(f'<li class="warn">{plain(warning["text"])}{_names(warning["names"])}</li>' for warning in warnings)


def _names(names: Sequence[str]) -> str:
    if not names:
        return ""
    rest = f", and {len(names) - _NAMES:,} more" if len(names) > _NAMES else ""
    return f"<details><summary>which</summary>{plain(', '.join(names[:_NAMES]))}{rest}</details>"


def _listed(title: str, items: str) -> str:
    return section(title, f"<ul>{items}</ul>" if items else "")


def _reasons(title: str, videos: Sequence[Mapping[str, str]], style: str) -> str:
    if not videos:
        return ""
    rows = "".join(
        f'<tr><td class="name">{plain(video["name"])}</td><td>{plain(video["reason"])}</td></tr>'
        for video in videos[:_NAMES]
    )
    rest = f'<p class="soft">and {len(videos) - _NAMES:,} more</p>' if len(videos) > _NAMES else ""
    return section(f"{title}: {len(videos):,}", f"<table>{rows}</table>{rest}", style)


def _bars(title: str, counts: Sequence[tuple[str, int]], most: int = 20) -> str:
    if not counts:
        return ""
    largest = max(count for _, count in counts)
    rows = "".join(
        f'<tr><td class="name">{plain(name)}</td><td class="number">{count:,}</td><td class="wide">'
        f'<span class="bar" style="width:{100 * count / largest:.1f}%"></span></td></tr>'
        for name, count in counts[:most]
    )
    rest = f'<p class="soft">and {len(counts) - most:,} more</p>' if len(counts) > most else ""
    return f"<section><h2>{title}</h2><table>{rows}</table>{rest}</section>"


def _histogram(title: str, values: Mapping[str, Any] | None, say: Any) -> str:
    """Bars from the least to the most, with these and the median in words."""
    if values is None:
        return ""
    words = f"{say(values['min'])} to {say(values['max'])}, median {say(values['median'])}"
    counts = values["histogram"]
    if len(counts) == 1:
        return f"<section><h2>{title}</h2><p>{plain(words)}</p></section>"
    rects = "".join(
        f'<rect x="{number + 0.05}" width="0.9" y="{1 - count / max(counts):.4f}" height="{count / max(counts):.4f}">'
        f"<title>{count:,}</title></rect>"
        for number, count in enumerate(counts)
    )
    picture = f'<svg viewBox="0 0 {len(counts)} 1" preserveAspectRatio="none" role="img">{rects}</svg>'
    return f'<section><h2>{title}</h2>{picture}<p class="soft">{plain(words)}</p></section>'
