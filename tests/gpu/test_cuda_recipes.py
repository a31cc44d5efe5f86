"""Every recipe on CUDA: its parts train in every precision, agree with the CPU, go on exactly, and make long videos."""

import pytest
import torch
from safetensors.torch import load_file
from synthetic import Squares

import gadkit
from gadkit.registry import get_registry
from gadkit.runs.folder import Run

CUDA = torch.cuda.is_available()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not CUDA, reason="needs a CUDA device")]
RECIPES = sorted(set(get_registry().names("recipe")) - {"demo"})
#: Beside the recipes' own: parts that no recipe has.
PARTS = {
    "residual-clip": {"recipe": "gad", "discriminator": "residual-clip"},
    "residual-frame": {"recipe": "gad", "discriminator": "residual-frame"},
    "motion-codes": {"recipe": "gad", "assembler": "motion-codes"},
    "temporal": {"recipe": "gad", "set": {"generator.temporal": 2, "generator.checkpointing": True}},
    "vae-gan": {"recipe": "vae", "loss": "nonsaturating", "penalty": "r1", "set": {"trainer.adversarial": 0.1}},
    "adaptive": {"recipe": "dcgan", "augmentation": "diffaugment", "set": {"augmentation.target": 0.6}},
}
CASES = {**{name: {"recipe": name} for name in RECIPES}, **PARTS}


def train(out, case, **choices):
    side = 28 if case == "article" else 32
    fixed = {"dataset": Squares, "resolution": side, "frames": 8, "batch_size": 4, "steps": 2, "device": "cuda"}
    settings = {"run.samples": 1, "run.log_every": 1} | CASES[case].get("set", {}) | choices.pop("set", {})
    return gadkit.train(out=out, **(fixed | CASES[case] | {"set": settings} | choices))


def weights(path):
    return load_file(Run(path).find_checkpoint() / "training.safetensors")


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("case", CASES)
def test_it_trains_in_every_precision(tmp_path, case, precision):
    train(tmp_path / "run", case, precision=precision, **({"direction": "alternating"} if case != "vae" else {}))
    assert all(bool(tensor.isfinite().all()) for tensor in weights(tmp_path / "run").values())


@pytest.mark.parametrize("case", CASES)
def test_float64_steps_agree_with_the_cpu(tmp_path, case):
    for device in ("cuda", "cpu"):
        train(tmp_path / device, case, precision="fp64", device=device)
    one, other = weights(tmp_path / "cuda"), weights(tmp_path / "cpu")
    assert max(float((one[key] - other[key]).abs().max()) for key in one if one[key].numel()) < 1e-8


@pytest.mark.parametrize("case", CASES)
def test_a_resumed_run_equals_the_unbroken_one(tmp_path, case):
    exact = {"set": {"run.deterministic": True}, "precision": "fp32"}
    train(tmp_path / "whole", case, steps=4, **exact)
    train(tmp_path / "parts", case, steps=2, **exact)
    gadkit.train(resume=tmp_path / "parts", steps=4, dataset=Squares)
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("case", CASES)
def test_a_longer_video_begins_with_the_shorter_one(tmp_path, case):
    train(tmp_path / "run", case)
    model = gadkit.load(tmp_path / "run", device="cuda")
    longest = model.sample(2, 40)
    for length in (5, 17):
        assert torch.equal(model.sample(2, length), longest[:, :length])
