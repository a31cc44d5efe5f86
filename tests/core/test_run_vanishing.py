"""A run whose data vanish ends with one sentence, and goes on as if nothing had been when they are back."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from small_runs import SETTINGS, folder_of_clips, own_registry, same_tensors
from sources import webdataset
from vanishing import without_pauses

import gadkit
from gadkit import Reporter, UnavailableError
from gadkit.checkpoints.store import read_tensors, verify
from gadkit.data.machine import Memory
from gadkit.runs.folder import Run


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    monkeypatch.setenv("GADKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("gadkit.data.budget.main_memory", lambda: Memory(0, 0))  # streams hold no frames
    without_pauses(monkeypatch)
    with own_registry():
        yield


class After(Reporter):
    """Does something after a step."""

    def __init__(self, step: int, deed: Callable[[], object]) -> None:
        self.step, self.deed = step, deed

    def advanced(self, step: int) -> None:
        if step == self.step:
            self.deed()


def train(**choices: object) -> None:
    settings = SETTINGS | {"clips.resident": "never", "run.samples": 1}
    base = {"recipe": "dcgan", "resolution": 16, "frames": 4, "batch_size": 2, "steps": 16, "checkpoint_every": 4}
    gadkit.train(set=settings, device="cpu", precision="fp32", log_every=1, **(base | choices))


def end(run: Path) -> dict:
    return read_tensors(Run(run).find_checkpoint(), "training.safetensors")


def cut_pack(tmp_path: Path) -> tuple[Path, Callable[[], object], Callable[[], object]]:
    """A folder of videos, of whose pack in the cache a shard is cut; nobody has to bring it back."""

    def take() -> None:
        (shard,) = (tmp_path / "cache" / "packs").rglob("*.safetensors")
        os.truncate(shard, 400)

    return folder_of_clips(tmp_path / "clips"), take, lambda: None


def lost_folder(tmp_path: Path) -> tuple[Path, Callable[[], object], Callable[[], object]]:
    """A folder of tars that goes away, and comes back."""
    folder, away = tmp_path / "clips", tmp_path / "away"
    folder.mkdir()

    def bring_back() -> None:
        with pytest.raises(gadkit.DataError, match="there is no such file or folder"):
            gadkit.train(resume=tmp_path / "broken")
        away.rename(folder)

    return webdataset(folder), lambda: folder.rename(away), bring_back


@pytest.mark.parametrize("case", [cut_pack, lost_folder])
def test_data_that_vanish_at_step_5_cost_what_came_after_the_last_checkpoint(tmp_path, case):
    data, take, bring_back = case(tmp_path)
    train(data=data, out=tmp_path / "unbroken")
    with pytest.raises(UnavailableError, match=r"(clips|cache).*: (found 400 bytes|No such file).*; bring"):
        train(data=data, out=tmp_path / "broken", reporter=After(5, take))
    run = Run(tmp_path / "broken")
    assert run.find_checkpoint().name in {"step-000004", "step-000008"}  # some batches were read ahead
    verify(run.find_checkpoint())
    bring_back()
    gadkit.train(resume=run.path)
    assert run.find_checkpoint().name == "step-000016"
    assert same_tensors(end(run.path), end(tmp_path / "unbroken"))
