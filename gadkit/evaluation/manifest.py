"""Manifests: what a number depends on, in plain values, in one line, and held against another."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from gadkit.tables import flattened
from gadkit.words import count_text

#: What may differ between two results that are compared: what was judged, how videos are called, and what is told
#: twice.
_FREE = ("generated.", "real.name", "training.name", "protocol.changed.")
#: What is compared all the same: a distance depends on how many clips it is taken of.
_KEPT = ("generated.clips",)
_SOFTWARE = ("gadkit", "torch", "torchmetrics", "numpy", "av")
_DIGITS = 12


def software() -> dict[str, str]:
    """The versions that numbers may depend on."""
    found = {name: metadata.version(name) for name in _SOFTWARE}
    return {**found, "python": platform.python_version()}


def one_line(manifest: Mapping[str, Any]) -> str:
    """A manifest in one line: protocol, networks, clips, what they are compared with, seed and versions."""
    protocol, generated, real = manifest["protocol"], manifest["generated"], manifest.get("real")
    name = protocol["name"].removeprefix("gadkit:") + (" (changed)" if protocol["changed"] else "")
    parts = [name]
    for network in manifest["networks"].values():
        precision = network["preparation"].get("precision", "")
        words = f"{network['name'].removeprefix('gadkit:')} {network['weights'][:_DIGITS]}"
        parts.append(f"{words} {precision}".strip())
    counts = f"{generated['clips']:,} clips of {generated['name']}"
    if (refined := generated.get("refined")) is not None:
        counts += f" (refined by {refined['use'].removeprefix('gadkit:')}, {count_text(refined['steps'], 'step')})"
    if (truncation := generated.get("truncation")) is not None:
        counts += f" (truncation {truncation:g})"
    if real is not None:
        split = "" if real.get("split", "all") == "all" else f" ({real['split']})"
        counts += f" against {real['clips']:,} of {real['name']}{split}"
    parts.append(counts)
    height, width = manifest["size"]
    stride = f", stride {protocol['stride']}" if protocol["stride"] != 1 else ""
    scaled = f", {protocol['resize']}" if protocol["resize"] != "lanczos" else ""
    parts.append(f"{protocol['frames']} frames of {width}×{height}{stride}{scaled}")
    divisors = [each["settings"]["divisor"] for each in manifest["metrics"].values() if "divisor" in each["settings"]]
    parts += [f"/({each})" if "-" in each else f"/{each}" for each in divisors]
    if protocol["resamplings"]:
        parts.append(f"{protocol['resamplings']} random halves")
    parts.append(f"seed {protocol['seed']}")
    versions = manifest["software"]
    parts.append(f"gadkit {versions['gadkit']}, torch {versions['torch']}, {manifest['device']}")
    return " · ".join(parts)


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What two manifests say differently, beside what was judged: `"protocol.clips: 2048, 512"`."""
    first, second = dict(flattened(one)), dict(flattened(other))
    found = []
    for key in {**first, **second}:
        free = key.startswith(_FREE) and key not in _KEPT
        if not free and first.get(key) != second.get(key):
            found.append(f"{key}: {_shown(first, key)}, {_shown(second, key)}")
    return found


def _shown(values: Mapping[str, Any], key: str) -> str:
    if key not in values:
        return "nothing"
    text = str(values[key])
    return text if len(text) <= 40 else text[:_DIGITS] + "…"
