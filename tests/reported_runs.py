"""Folders of runs for tests of their pages: made of files alone, nothing is trained."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from page_reader import Page

from gadkit.report.page import page
from gadkit.video.encode import write_video

#: A text that would break out of anything that does not escape it, and what a page shows of it.
EVIL = "<script>alert(1)</script></table></title>\x1b[31m\u202e\"'&`--><img src=x onerror=alert(2)>"
SPELLED = "<script>alert(1)</script></table></title>\\x1b[31m\\u202e\"'&`--><img src=x onerror=alert(2)>"

CONFIG = """
recipe = "demo"
seed = 3

[run]
steps = 1000

[video]
height = 32
width = 48
frames = 16

[data]
path = "clips/"

[generator]
use = "gadkit:dcgan"
width = 32
"""


def lines(steps: Sequence[int], **values: Sequence[float]) -> list[dict[str, Any]]:
    """Lines of a log, by default with both losses, at ten steps a second."""
    values = values or {"loss/generator": [1 + step / 100 for step in steps], "loss/discriminator": [0.5] * len(steps)}
    return [
        {
            "step": step,
            "seconds": step / 10,
            "waited": step / 40,
            **{name: all_[index] for name, all_ in values.items()},
        }
        for index, step in enumerate(steps)
    ]


def make_run(
    folder: Path,
    log: Sequence[Mapping[str, Any]] | bytes = (),
    *,
    config: str = CONFIG,
    environment: Mapping[str, Any] | None = None,
    samples: Mapping[int, bytes] | None = None,
    checkpoints: Sequence[int] = (),
    evaluations: Mapping[str, Any] | None = None,
    files: Mapping[str, str | bytes] | None = None,
) -> Path:
    """A run's folder with these files; `files` are written as they are, over the others."""
    folder.mkdir(parents=True, exist_ok=True)
    text = log if isinstance(log, bytes) else "".join(json.dumps(line) + "\n" for line in log).encode()
    made: dict[str, str | bytes] = {"config.toml": config, "log.jsonl": text}
    made["environment.json"] = json.dumps(environment or {"device": "cpu", "libraries": {"gadkit": "1.2.3"}})
    made |= {f"samples/step-{step:06d}.mp4": content for step, content in (samples or {}).items()}
    made |= {f"evaluations/{name}": json.dumps(each) for name, each in (evaluations or {}).items()}
    made |= {f"checkpoints/step-{step:06d}/state.json": "{}" for step in checkpoints}
    for name, content in {**made, **(files or {})}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def video(folder: Path, shade: int = 0, frames: int = 24) -> bytes:
    """The bytes of a small MP4 as training writes them: a bright bar that moves over a shade."""
    picture = np.full((frames, 32, 48, 3), shade, np.uint8)
    for number in range(frames):
        picture[number, :, number : number + 6] = 255
    write_video(folder / "made.mp4", picture, 12.0)
    return (folder / "made.mp4").read_bytes()


def result(step: int | None, value: Any, *, made: str = "2026-01-01T10:00:00+00:00", **manifest: Any) -> dict[str, Any]:
    """An evaluation of one value, `fvd[i3d]`, and one that is comparable with nothing, `fvd[random-r3d]`."""
    score = {"value": value, "std": 2.5, "floor": 11.5, "floor_std": 0.75, "best": "lowest"}
    return {
        "format": 1,
        "made": made,
        "step": step,
        "values": {
            "fvd[i3d]": {**score, "literature": "I3D (Kinetics-400 logits)"},
            "fvd[random-r3d]": {**score, "literature": ""},
        },
        "manifest": {"protocol": {"name": "p", "clips": 2048, **manifest}, "generated": {"name": "a", "step": step}},
        "line": "p · 2,048 clips",
        "warnings": [],
    }


def shown(folder: Path, **how: Any) -> Page:
    """The page of a run, checked to be well formed and to load nothing from elsewhere."""
    text = page(folder, **how)
    found = Page(text)
    assert all(value.startswith("data:video/mp4;base64,") for value in found.loaded), found.loaded
    assert not found.tags & {"link", "iframe", "object", "embed", "form", "base", "img"}
    assert len(found.of("script")) == 1
    assert text.isprintable() or not re.search(r"[^\n\x20-\U0010ffff]", text)
    return found


def row(found: Page, name: str) -> list[str]:
    """The cells of the first row that begins with a name."""
    return next(cells[1:] for cells in found.cells if cells and cells[0] == name)
