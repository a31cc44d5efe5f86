"""Every registered component keeps its interface's promises; that the kit finds broken ones is `tests/planted`'s."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sources import KINDS as SOURCES

from gadkit.component import KINDS
from gadkit.registry import get_registry
from gadkit.testing import Check, conformance
from gadkit.testing import placement as placing

#: What a component is built with where its own settings ask for more than a check gives.
SMALL = {("metric", "kid"): {"subset_size": 50}}
#: Aspects that other tests look at with what they need: data, weights, the tracker's own services.
ELSEWHERE = {(kind, "contract") for kind in ("dataset", "features", "metric", "tracker")} | {("dataset", "training")}
#: What datasets are trained on; those that bring their videos, on none.
DATA = {
    "videos": "video_tree",
    "frames": "frame_tree",
    "archive": "frame_zip",
    "arrays": "npz",
    "webdataset": "webdataset",
    "embedded": None,
    "moving-digits": None,
    "bouncing-shapes": None,
}


def registered() -> list[Check]:
    """Every check of every registered component, and of gadkit as a distribution."""
    checks = [check for check in conformance("gadkit") if check.kind == "plugin"]
    for entry in get_registry().entries():
        settings = SMALL.get((entry.kind, entry.name), {})
        own = conformance(entry.qualified, kind=entry.kind, **settings)
        checks += [each for each in own if each.kind != "plugin" and (each.kind, each.aspect) not in ELSEWHERE]
    return checks


@pytest.mark.parametrize("check", registered(), ids=str)
def test_registered_components_conform(check: Check) -> None:
    check()


@pytest.mark.parametrize("name", DATA)
def test_datasets_train_and_go_on_exactly(name: str, tmp_path: Path) -> None:
    written = DATA[name]
    data = None if written is None else SOURCES[written](tmp_path)
    checks = conformance(f"gadkit:{name}", kind="dataset", data=data)
    next(check for check in checks if check.aspect == "training")()


def test_the_bundled_components_are_registered() -> None:
    names = {kind: {entry.name for entry in get_registry().entries(kind)} for kind in KINDS}
    assert names["generator"] >= {"dcgan", "dcgan-article"}
    assert names["discriminator"] >= {"dcgan-frame", "dcgan-clip", "dcgan-article"}
    assert names["assembler"] >= {"independent", "walk"}
    assert names["loss"] >= {"minimax", "nonsaturating", "hinge", "lsgan", "wasserstein", "rpgan"}
    assert names["penalty"] >= {"r1", "r1r2", "approx-r1r2", "wgan-gp"}
    assert names["augmentation"] >= {"diffaugment"}
    assert names["direction"] >= {"alternating", "simultaneous", "optimistic", "extragradient", "competitive"}
    assert names["refiner"] >= {"proximal", "flow"}
    assert names["trainer"] >= {"minimax", "vae"}
    assert names["recipe"] >= {"dcgan", "demo", "gad", "article"}


@pytest.mark.parametrize(
    ("kind", "name"),
    [("generator", "dcgan"), ("assembler", "lstm"), ("discriminator", "dual"), ("penalty", "r1"), ("direction", "gad")],
)
def test_an_accelerator_is_tried_where_there_is_one(kind: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the CPU in its place, whose numbers are its own; and with one whose numbers are not."""
    entry = get_registry().entries(kind)[0] if name == "gad" else get_registry().find(kind, name)
    check = next(each for each in conformance(entry.qualified, kind=kind) if each.aspect == "devices")
    monkeypatch.setattr(placing, "accelerators", lambda: [torch.device("cpu")])
    check()
    use, calls = placing._USES[kind], iter(range(100))

    def drifting(*given):
        return {what: value + 0.3 * next(calls) for what, value in use(*given).items()}

    monkeypatch.setitem(placing._USES, kind, drifting)
    with pytest.raises(AssertionError, match="is what it is on the CPU"):
        check()
