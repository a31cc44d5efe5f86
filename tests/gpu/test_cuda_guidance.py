"""Directions and refined samples on CUDA: the same promises as on the CPU."""

import pytest
import torch
from safetensors.torch import load_file
from small_runs import SETTINGS, small
from synthetic import Squares

import gadkit
from gadkit.registry import get_registry
from gadkit.runs.folder import Run

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
DIRECTIONS = [entry.qualified for entry in get_registry().entries("direction")]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_resumed_run_equals_the_unbroken_run(tmp_path, direction):
    exact = SETTINGS | {"run.deterministic": True}
    for side, steps in (("whole", 4), ("parts", 2)):
        small(tmp_path / side, steps=steps, direction=direction, device="cuda", set=exact)
    gadkit.train(resume=tmp_path / "parts", steps=4, dataset=Squares)
    one, other = (
        load_file(Run(tmp_path / side).find_checkpoint() / "training.safetensors") for side in ("whole", "parts")
    )
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_longer_refined_video_begins_with_the_shorter_one(tmp_path, precision):
    small(tmp_path / "run", steps=2, device="cuda", precision="bf16")
    model = gadkit.load(tmp_path / "run", device="cuda")
    model.precision = precision
    refine = {"steps": 3, "weight": 0.1, "rate": 1.0}
    longest = model.sample(2, 40, refine=refine)
    assert not torch.equal(longest, model.sample(2, 40, refine=0))
    for length in (5, 17):
        assert torch.equal(model.sample(2, length, refine=refine), longest[:, :length])
