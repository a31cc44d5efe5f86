"""What holds on the CPU holds on a CUDA device."""

import pytest
import torch
from safetensors.torch import load_file
from synthetic import Squares

import gadkit
from gadkit.randomness import Key, bits, integers, normal, permutation, uniform
from gadkit.runs.folder import Run

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

PENALTIES = ["none", "r1", "r1r2", "approx-r1r2", "wgan-gp"]


def small(out, **choices):
    settings = {"generator.width": 8, "discriminator.width": 8, "run.samples": 2, "run.log_every": 2}
    settings |= choices.pop("set", {})
    fixed = {"dataset": Squares, "generator": "dcgan", "resolution": 16, "frames": 8, "batch_size": 8, "steps": 4}
    return gadkit.train(out=out, set=settings, **(fixed | {"device": "cuda", "penalty": "r1"} | choices))


def weights(path):
    return load_file(Run(path).find_checkpoint() / "training.safetensors")


def test_integers_and_uniforms_are_the_same_numbers():
    key, samples, at = Key.of(3, "gpu"), torch.arange(1000) * 2**33, torch.arange(1000) - 500
    for draw in (
        lambda s, a: bits(key, s, a, 7),
        lambda s, a: uniform(key, s, a, 7),
        lambda s, a: integers(key, s, a, 1000),
    ):
        assert torch.equal(draw(samples, at), draw(samples.cuda(), at.cuda()).cpu())
    here, there = normal(key, samples, at, 8), normal(key, samples.cuda(), at.cuda(), 8).cpu()
    torch.testing.assert_close(here, there, rtol=3e-7, atol=3e-7)
    assert permutation(key, 100).device.type == "cpu"


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_every_penalty_trains_in_every_precision(tmp_path, precision, penalty):
    small(tmp_path / "run", precision=precision, penalty=penalty)
    assert all(tensor.isfinite().all() for tensor in weights(tmp_path / "run").values())


def test_float64_steps_agree_with_the_cpu(tmp_path):
    small(tmp_path / "cuda", precision="fp64", penalty="r1r2")
    small(tmp_path / "cpu", precision="fp64", penalty="r1r2", device="cpu")
    one, other = weights(tmp_path / "cuda"), weights(tmp_path / "cpu")
    # Normals may differ in the last bit of float64 between the two devices' logarithms, so the noise is the CPU's.
    assert max(float((one[key] - other[key]).abs().max()) for key in one if one[key].numel()) < 1e-9


def test_a_resumed_run_equals_the_unbroken_one(tmp_path):
    exact = {"set": {"run.deterministic": True}, "precision": "bf16", "penalty": "r1r2"}
    small(tmp_path / "unbroken", steps=6, **exact)
    small(tmp_path / "resumed", steps=3, **exact)
    gadkit.train(resume=tmp_path / "resumed", steps=6)
    one, other = weights(tmp_path / "unbroken"), weights(tmp_path / "resumed")
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_longer_video_begins_with_the_shorter_one(tmp_path):
    small(tmp_path / "run")
    model = gadkit.load(tmp_path / "run", device="cuda")
    assert torch.equal(model.sample(num=2, length=40)[:, :20], model.sample(num=2, length=20))


def test_no_step_waits_for_the_device(tmp_path, monkeypatch):
    """PyTorch raises at any call that synchronises, between two steps that log nothing."""

    class Watch(gadkit.Reporter):
        def advanced(self, step):
            torch.cuda.set_sync_debug_mode("error" if step == 2 else "default")

    try:
        small(tmp_path / "run", reporter=Watch(), penalty="r1r2", set={"run.log_every": 100})
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("resident", ["always", "never"])
def test_clips_on_the_device_and_clips_read_ahead_are_the_same(tmp_path, resident):
    """Resident frames are gathered by the device; others are read by a thread into page-locked memory."""
    settings = {"run.deterministic": True, "run.log_every": 1}
    small(tmp_path / "auto", precision="fp32", flip=True, set=settings | {"clips.resident": "auto"})
    small(tmp_path / resident, precision="fp32", flip=True, set=settings | {"clips.resident": resident})
    one, other = weights(tmp_path / "auto"), weights(tmp_path / resident)
    assert all(torch.equal(one[key], other[key]) for key in one)
