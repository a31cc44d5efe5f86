"""`--refine` of `gadkit sample` and `gadkit evaluate`: what is refined, and a sentence for what cannot be."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_evaluations import own_run, plugin_file, write_videos

import gadkit

STRONG = ("--refine", 3, "--set", "refiner.weight=0.01", "--set", "refiner.rate=50")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A run on `real`, the model that it gives without its discriminator, and a plugin file."""
    root = tmp_path_factory.mktemp("refine")
    own_run(root / "run", write_videos(root / "real", range(12)), held_out=0.5)
    gadkit.load(root / "run", device="cpu").export(root / "bare")
    plugin_file(root)
    return root


def strip(path):
    return np.asarray(Image.open(path))


def test_refined_videos_are_those_that_python_makes(gadkit_command, root):
    assert gadkit_command("sample", root / "run", "--length", 20, "--out", "plain.png").code == 0
    done = gadkit_command("sample", root / "run", "--length", 20, "--out", "refined.png", *STRONG)
    assert (done.code, done.out, done.err) == (0, "wrote refined.png\n", "")
    made = gadkit.load(root / "run", device="cpu")
    refine = {"steps": 3, "weight": 0.01, "rate": 50.0}
    assert np.array_equal(
        strip("refined.png"),
        np.concatenate(list(made.grid(1, 20, refine=refine)), 0).transpose(1, 0, 2, 3).reshape(16, -1, 3),
    )
    assert not np.array_equal(strip("refined.png"), strip("plain.png"))


def test_bf16_makes_other_videos_of_the_same_seed(gadkit_command, root):
    for precision in ("fp32", "bf16"):
        done = gadkit_command("sample", root / "run", "--precision", precision, "--out", f"{precision}.png", *STRONG)
        assert done.code == 0, done.err
    one, other = (strip(f"{precision}.png").astype(int) for precision in ("fp32", "bf16"))
    assert not np.array_equal(one, other)
    assert np.abs(one - other).mean() < 8


def test_a_result_says_that_and_how_samples_were_refined(gadkit_command, root):
    network = ("--plugin", root / "nets.py", "--features", "pooled", "--frames", 4, "--clips", 8, "--device", "cpu")
    plain = gadkit_command("evaluate", root / "run", *network, "--json")
    refined = gadkit_command("evaluate", root / "run", *network, *STRONG, "--refiner", "flow", "--json")
    assert refined.code == 2
    assert "weight" in refined.err
    refined = gadkit_command("evaluate", root / "run", *network, *STRONG, "--json")
    assert (plain.code, refined.code) == (0, 0), refined.err
    one, other = (json.loads(done.out) for done in (plain, refined))
    assert "refined" not in one["manifest"]["generated"]
    said = other["manifest"]["generated"]["refined"]
    assert (said["use"], said["steps"], said["weight"], said["rate"]) == ("gadkit:proximal", 3, 0.01, 50.0)
    assert one["manifest"]["generated"]["content"] != other["manifest"]["generated"]["content"]
    assert one["values"]["fvd[pooled]"]["value"] != other["values"]["fvd[pooled]"]["value"]
    done = gadkit_command("evaluate", root / "run", *network, *STRONG)
    assert "8 clips of run (refined by proximal, 3 steps) against" in done.out


def test_a_run_that_names_a_refiner_is_sampled_with_it_unless_told_otherwise(gadkit_command, tmp_path):
    own_run(tmp_path / "run", write_videos(tmp_path / "real", range(4)), refiner="proximal")
    for name, flags in (("own", ()), ("none", ("--refine", 0)), ("ten", ("--refine", 10))):
        assert gadkit_command("sample", tmp_path / "run", "--out", f"{name}.png", *flags).code == 0
    model = gadkit.load(tmp_path / "run", device="cpu")
    assert model.refinement().use == "gadkit:proximal"
    assert np.array_equal(strip("own.png"), strip("ten.png"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("sample", "{}/bare", "--refine", 3), "exported without its discriminator"),
        (("sample", "{}/run", "--refiner", "proximall", "--refine", 1), "Did you mean"),
        (("sample", "{}/run", "--set", "refiner.wait=1"), "refiner.wait"),
        (("sample", "{}/run", "--set", "refiner.steps=1"), "--refine"),
        (("sample", "{}/run", "--set", "generator.width=1"), "expected a setting of the refiner"),
        (("sample", "{}/run", "--precision", "fp8"), "expected fp32 or bf16"),
        (("evaluate", "{}/real", "--against", "{}/real", "--refine", 3, "--quick"), "is no model"),
        (("evaluate", "{}/bare", "--against", "{}/real", "--refine", 3, "--quick"), "without its discriminator"),
    ],
)
def test_what_cannot_be_refined_is_one_sentence_and_exit_code_2(gadkit_command, root, arguments, sentence):
    done = gadkit_command(*(str(word).format(root) for word in arguments))
    assert done.code == 2
    assert sentence in done.err
    assert done.err.count("\n") <= 6
    assert not list(Path().glob("sample*"))
