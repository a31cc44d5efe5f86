"""The report of `gadkit data inspect` as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gadkit.words import count_text, duration_text, printable, rate_text, size_text

_VALUES = 5
_NAMES = 5
_REASONS = 50


def print_report(document: Mapping[str, Any]) -> None:
    """Prints what `gadkit.survey.findings` found: facts, warnings, every broken video, and what to run next."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)

    def tell(text: str, style: str = "") -> None:
        console.print(Text(printable(text), style))

    for name, text in _facts(document):
        console.print(Text(f"{name:<13}", "bold"), Text(printable(text)), sep="")
    for warning in document["warnings"]:
        word, style = ("hint", "") if warning["kind"] == "folders" else ("warning", "yellow")
        tell(f"{word}: {warning['text'].removesuffix('.')}{_which(warning['names'])}.", style)
    for kind, style in (("broken", "red"), ("dropped", "")):
        for video in document[kind][:_REASONS]:
            named = "" if video["name"] in video["reason"] else f"{video['name']}: "
            tell(f"{kind}: {named}{video['reason']}", style)
        if len(document[kind]) > _REASONS:
            tell(f"{kind}: {len(document[kind]) - _REASONS:,} more; --json names them all")
    for path in document["files"]:
        tell(f"wrote {path}")
    if not document["files"] and document["videos"]["usable"]:
        tell("see them: add --out FOLDER for a contact sheet and a page with the clips playing")
    if document["next"]:
        tell(f"next: {document['next']}", "bold")


def _facts(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    dataset, videos, clip = document["dataset"], document["videos"], document["clip"]
    yield "dataset", f"{dataset['name']} ({dataset['provider']}): {dataset['summary']}"
    if dataset["licence"]:
        yield "licence", dataset["licence"]
    if videos["measured"] != videos["found"]:
        whole = f" of {videos['found']:,}" if videos["found"] else ""
        yield "sample", f"{count_text(videos['measured'], 'video')}{whole}; more or fewer with --limit"
    parts = [f"{videos[kind]:,} {words}" for kind, words in _STATES if videos[kind]]
    yield "videos", f"{videos['measured']:,}: {', '.join(parts) or 'none'}"
    if not document["frames"]:
        return
    lengths = document["lengths"]
    yield "footage", f"{count_text(document['frames'], 'frame')}, {duration_text(document['seconds'])}"
    sizes = [(f"{each['width']}×{each['height']}", each["videos"]) for each in document["sizes"]["counts"]]
    yield "sizes", _counts(sizes)
    if len(document["sizes"]["counts"]) > 1:
        low, median, high = (_size(document["sizes"][name]) for name in ("min", "median", "max"))
        yield "", f"{low} to {high} by area, median {median}"
    yield "shapes", _counts([(each["aspect"], each["videos"]) for each in document["sizes"]["aspects"]])
    varying = document["fps"]["variable"]
    rates = _counts([(rate_text(each["fps"]), each["videos"]) for each in document["fps"]["counts"]])
    yield "frame rates", rates + (f"; {varying:,} variable" if varying else "")
    yield "lengths", f"{_range(lengths['frames'], str)} frames; {_range(lengths['seconds'], duration_text)}"
    yield "labels", _labels(document)
    clips, geometry, pack = document["clips"], document["geometry"], document["pack"]
    stride = f" at stride {clip['stride']}" if clip["stride"] > 1 else ""
    one = f"{count_text(clip['frames'], 'frame')}{stride}, {duration_text(clip['seconds'])}"
    yield "clips", f"of {one}: {clips['disjoint']:,} side by side, {clips['starts']:,} places to begin"
    part = "" if videos["found"] else " for these"
    size = f"{geometry['width']}×{geometry['height']}"
    yield "packed", f"{size_text(pack['bytes'])}{part} at {size}, and as much memory where all of it is resident"
    workers = f"{count_text(pack['workers'], 'worker')} of up to {size_text(pack['memory'])}"
    yield "to pack", f"{_about(pack['seconds'])} of decoding with {workers}"


_STATES = (("usable", "usable"), ("short", "too short"), ("broken", "broken"))


def _about(seconds: float) -> str:
    return f"about {duration_text(seconds)}" if seconds >= 1 else "less than a second"


def _size(size: Sequence[int]) -> str:
    return f"{size[0]}×{size[1]}"


def _counts(counts: Sequence[tuple[str, int]]) -> str:
    """The most common values, each with its count: `"24 Hz (700), 25 Hz (32)"`."""
    if len(counts) == 1:
        return counts[0][0]
    shown = ", ".join(f"{name} ({count:,})" for name, count in counts[:_VALUES])
    return shown + (f" and {len(counts) - _VALUES:,} other values" if len(counts) > _VALUES else "")


def _range(values: Mapping[str, Any], say: Any) -> str:
    if values["min"] == values["max"]:
        return str(say(values["min"]))
    return f"{say(values['min'])} to {say(values['max'])} (median {say(values['median'])})"


def _labels(document: Mapping[str, Any]) -> str:
    classes = document["labels"]["classes"]
    if not classes:
        return "none"
    largest = sorted(((each["name"], each["videos"]) for each in classes), key=lambda pair: (-pair[1], pair[0]))
    times = document["labels"]["imbalance"]
    balance = f"; the largest is {times:.3g} times the smallest" if times > 1 else ""
    return f"{count_text(len(classes), 'class', 'classes')}: {_each(largest)}{balance}"


def _each(counts: Sequence[tuple[str, int]]) -> str:
    shown = ", ".join(f"{name} ({count:,})" for name, count in counts[: 2 * _VALUES])
    return shown + (f" and {len(counts) - 2 * _VALUES:,} more" if len(counts) > 2 * _VALUES else "")


def _which(names: Sequence[str]) -> str:
    if not names:
        return ""
    rest = f" and {len(names) - _NAMES:,} more" if len(names) > _NAMES else ""
    return f" ({', '.join(names[:_NAMES])}{rest})"
