"""The variational trainer: what it reaches, what a step is made of, and runs of it from begin to end."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_runs import SETTINGS, CommandLine, config, folder_of_clips, own_registry, small
from synthetic import Squares
from torch import nn

import gadkit
from gadkit import ConfigError, Dataset, Discriminator, Footage, Generator, RunError, Scheduled, Source
from gadkit.runs.folder import Run
from gadkit.runs.health import Health
from gadkit_plugins.vae.trainer import VaeTrainer

VAE = {"recipe": "vae", "precision": "fp64", "log_every": 1, "batch_size": 8, "steps": 3}
GAME = {"loss": "rpgan", "penalty": "r1r2"}


def train(out, **choices):
    """A training of a moment; settings of the vae trainer in `set`."""
    settings = SETTINGS | {"trainer.scale": "optimal", "trainer.beta": 1.0} | choices.pop("set", {})
    return small(out, set=settings, **(VAE | choices))


def weights(path, name="training.safetensors"):
    return load_file(Run(path).find_checkpoint() / name)


def furthest(one, other):
    assert one.keys() == other.keys()
    return max(float((one[key].double() - other[key].double()).abs().max()) for key in one if one[key].numel())


def logged(path):
    return [
        {key: value for key, value in line.items() if key not in ("seconds", "waited")}
        for line in Run(path).read_log()
        if "event" not in line
    ]


# --- what it reaches -------------------------------------------------------------------------------------------------


def cloud():
    """Frames of 2x2 pixels, levels uint8 `(64, 2, 2, 2, 3)`: two directions in which they vary, and noise."""
    chance = np.random.default_rng(0)
    directions = chance.normal(size=(2, 12)) * np.array([[30.0], [14.0]])
    values = 127 + chance.normal(size=(128, 2)) @ directions / 2 + 4 * chance.normal(size=(128, 12))
    return values.round().clip(0, 255).astype(np.uint8).reshape(64, 2, 2, 2, 3)


class Cloud(Dataset):
    """Videos of two such frames, which have nothing to do with each other."""

    def __init__(self, path) -> None:
        self.frames = cloud()

    def sources(self):
        return [Source(name=f"{index}") for index in range(64)]

    def open(self, source):
        return Footage(fps=10.0, frames=iter(self.frames[int(source.name)]))


class Linear(Generator):
    """x = W z + m."""

    def __init__(self, video):
        super().__init__(video)
        self.latent_dim, self.motion_dim = 2, 0
        self.map = nn.Linear(2, 12)

    def forward(self, codes, labels=None):
        return self.map(codes).view(*codes.shape[:2], 3, 2, 2)


class Pixels(Discriminator):
    """Its features are the pixels."""

    def features(self, video, labels=None, times=None):
        return video.flatten(1)

    def forward(self, video, labels=None, times=None):
        return self.features(video)[:, :1]


def test_a_linear_model_reaches_the_evidence_of_probabilistic_pca(tmp_path):
    """The maximum of the bound is that of the likelihood, which is known: Tipping & Bishop 1999, equations 7 and 8."""
    frames = cloud().reshape(128, 12).astype(float) * 2 / 255 - 1
    variances = np.linalg.eigvalsh(np.cov(frames.T, bias=True))[::-1]
    noise = variances[2:].mean()
    best = -0.5 * (12 * math.log(2 * math.pi) + np.log(variances[:2]).sum() + 10 * math.log(noise) + 12) / 12
    with own_registry():
        gadkit.train(
            out=tmp_path / "run",
            recipe="none",
            trainer="vae",
            generator=Linear,
            discriminator=Pixels,
            assembler="independent",
            dataset=Cloud,
            resolution=2,
            frames=2,
            steps=500,
            batch_size=64,
            device="cpu",
            precision="fp64",
            log_every=100,
            sample_every=10000,
            checkpoint_every=10000,
            set={
                "trainer.generator_lr": {"start": 0.2, "end": 1e-3, "shape": "exponential"},
                "clips.offset": "fixed",
                "trainer.ema": 0.0,
                "run.samples": 1,
            },
        )
    last = logged(tmp_path / "run")[-1]
    assert last["elbo"] == pytest.approx(best, abs=0.01)  # the mean over 100 steps, whose draws are random
    assert last["elbo"] < best + 0.002
    assert best - logged(tmp_path / "run")[0]["elbo"] > 0.2
    learned = weights(tmp_path / "run", "model.safetensors")["generator.map.weight"]
    found = np.linalg.eigvalsh((learned.T @ learned).numpy())
    assert found == pytest.approx(np.sort(variances[:2] - noise), rel=0.35)


def test_training_brings_the_videos_closer_to_the_data(tmp_path):
    data = Squares(None)
    frames = [frame for source in data.sources() for frame in data.open(source).frames]
    mean = torch.tensor(np.stack(frames)).double().mean(dim=(0, 1, 2))

    def off(path):
        made = gadkit.load(path, device="cpu").sample(num=16, length=8).double().mean(dim=(0, 1, 3, 4))
        return float((made - mean).abs().mean())

    settings = {"trainer.generator_lr": 3e-3, "trainer.ema": 50.0}
    train(tmp_path / "first", steps=1, precision="fp32", set=settings)
    train(tmp_path / "run", steps=80, precision="fp32", set=settings)
    assert off(tmp_path / "run") < 0.5 * off(tmp_path / "first")
    lines = logged(tmp_path / "run")
    assert lines[-1]["elbo"] > lines[0]["elbo"] + 0.5
    assert lines[-1]["error"] < 0.5 * lines[0]["error"]


# --- what a step is made of ------------------------------------------------------------------------------------------

NUMBERS = 8 * 3 * 16 * 16
ENTRIES = 4 + 4 * 4  # content, and the four anchors of the walk that 8 frames depend on


def test_the_loss_is_the_bound_with_the_weights_that_are_set(tmp_path):
    train(tmp_path / "plain", set={"trainer.beta": 3.0})
    for line in logged(tmp_path / "plain"):
        assert line["kl/total"] == pytest.approx(line["kl/content"] + line["kl/motion"], abs=1e-9)
        expected = line["loss/reconstruction"] + 3 * line["kl/total"] / NUMBERS
        assert line["loss/generator"] == pytest.approx(expected, abs=1e-12)
        assert line["elbo"] == pytest.approx(-line["loss/reconstruction"] - line["kl/total"] / NUMBERS, abs=1e-12)
    train(tmp_path / "free", set={"trainer.free_bits": 50.0, "trainer.beta": 2.0})
    for line in logged(tmp_path / "free"):
        expected = line["loss/reconstruction"] + 2 * 50 * ENTRIES / NUMBERS
        assert line["loss/generator"] == pytest.approx(expected, abs=1e-12)
    train(tmp_path / "game", **GAME, set={"trainer.adversarial": 0.3})
    for line in logged(tmp_path / "game"):
        expected = line["loss/reconstruction"] + line["kl/total"] / NUMBERS + 0.3 * line["loss/adversarial"]
        assert line["loss/generator"] == pytest.approx(expected, abs=1e-12)


def test_beta_can_be_warmed_up(tmp_path):
    train(tmp_path / "run", set={"trainer.beta": {"start": 0.0, "end": 100.0, "steps": 2}})
    for line, beta in zip(logged(tmp_path / "run"), (0, 50, 100), strict=True):
        expected = line["loss/reconstruction"] + beta * line["kl/total"] / NUMBERS
        assert line["loss/generator"] == pytest.approx(expected, abs=1e-12)


def test_a_larger_beta_leaves_less_information_in_the_draws(tmp_path):
    ends = []
    for beta in (0.1, 300.0):
        train(tmp_path / f"{beta}", steps=60, precision="fp32", set={"trainer.beta": beta, "trainer.scale": 0.1})
        ends.append(logged(tmp_path / f"{beta}")[-1])
    assert ends[1]["kl/total"] < 0.2 * ends[0]["kl/total"]
    assert ends[1]["active"] <= ends[0]["active"]


CUTS = {
    "plain": {"set": {"trainer.free_bits": 0.3, "trainer.norm_group": 2, "generator.norm": "batch"}},
    "laplace": {"set": {"trainer.density": "laplace", "discriminator.norm": "batch", "trainer.norm_group": 2}},
    "sparse": {"discriminator": "dcgan-frame", "set": {"trainer.free_bits": 0.3, "trainer.norm_group": 2}},
    "game": {**GAME, "set": {"trainer.adversarial": 0.3, "trainer.norm_group": 2, "discriminator.norm": "batch"}},
}


@pytest.mark.parametrize("case", CUTS)
def test_accumulation_changes_nothing(tmp_path, case):
    for accumulate in (1, 4):
        train(tmp_path / f"{accumulate}", accumulate=accumulate, **CUTS[case])
    assert furthest(weights(tmp_path / "1"), weights(tmp_path / "4")) < 1e-9
    for one, other in zip(logged(tmp_path / "1"), logged(tmp_path / "4"), strict=True):
        assert one == pytest.approx(other, abs=1e-8)


def test_the_decoder_the_encoder_and_the_assembler_all_learn(tmp_path):
    for name, steps in (("first", 1), ("second", 3)):
        train(tmp_path / name, steps=steps, assembler="lstm", set={"assembler.hidden": 8})
    one, other = weights(tmp_path / "first"), weights(tmp_path / "second")
    still = [
        key
        for key in one
        if key.startswith("nets.") and one[key].is_floating_point() and torch.equal(one[key], other[key])
    ]
    assert all(".last." in key for key in still), still  # of a trunk the last layer is not used
    assert any(key.startswith("nets.assembler") for key in one)


# --- runs ------------------------------------------------------------------------------------------------------------

RESUMED = {
    "walk": {"set": {"trainer.free_bits": 0.1}},
    "independent bf16": {"assembler": "independent", "precision": "bf16"},
    "lstm": {"assembler": "lstm", "set": {"assembler.hidden": 8, "trainer.beta": {"start": 0.0, "end": 1.0}}},
    "game": {**GAME, "set": {"trainer.adversarial": 0.3}, "augmentation": "diffaugment"},
    "game fp16": {**GAME, "set": {"trainer.adversarial": 0.3}, "precision": "fp16"},
}


@pytest.mark.parametrize("case", RESUMED)
def test_a_run_that_was_stopped_goes_on_exactly(tmp_path, case):
    choices = {"precision": "fp32", "ema": 50.0, "log_every": 2} | RESUMED[case]
    train(tmp_path / "unbroken", steps=5, **choices)
    train(tmp_path / "stopped", steps=5, checkpoint_every=3, set=choices.pop("set", {}), **choices)
    newest = Run(tmp_path / "stopped").checkpoints()[-1]
    for file in newest.iterdir():
        file.unlink()
    newest.rmdir()
    with own_registry():
        gadkit.train(resume=tmp_path / "stopped", dataset=Squares)
    for name in ("training.safetensors", "model.safetensors"):
        one, other = weights(tmp_path / "unbroken", name), weights(tmp_path / "stopped", name)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one), name
    assert logged(tmp_path / "unbroken") == logged(tmp_path / "stopped")


def test_a_scale_that_is_set_anew_counts_from_there_on(tmp_path):
    run = tmp_path / "run"
    train(run, precision="fp32")
    optimal = float(weights(run)["training.scale"])
    for number, scale in enumerate((0.25, "optimal"), 4):
        with own_registry():
            choices = {"resume": run, "dataset": Squares, "steps": number, "allow_changes": True}
            gadkit.train(set={"trainer.scale": scale}, **choices)
        found = float(weights(run)["training.scale"])
        assert found == 0.25 if scale == 0.25 else found not in (0.25, optimal)


def test_classes_reach_the_decoder(tmp_path):
    train(tmp_path / "run", labels="own", precision="fp32")
    model = gadkit.load(tmp_path / "run", device="cpu")
    assert not torch.equal(model.sample(labels=["even"], seed=3), model.sample(labels=["odd"], seed=3))


def test_without_an_adversarial_term_there_is_no_discriminator_to_refine_along(tmp_path):
    train(tmp_path / "run", **GAME)  # which are not used
    state = json.loads((Run(tmp_path / "run").find_checkpoint() / "state.json").read_text())
    assert set(state["nets"]) == {"generator", "assembler", "encoder"}
    model = gadkit.load(tmp_path / "run", device="cpu")
    assert not model.has_discriminator
    with pytest.raises(RunError, match="without a discriminator"):
        model.sample(refine=2)
    with pytest.raises(ConfigError, match=r"refiner 'proximal' .* trainer 'vae' trains none"):
        train(tmp_path / "refined", refiner="proximal")
    assert not (tmp_path / "refined").exists()


def test_with_an_adversarial_term_the_encoder_is_a_net_of_its_own_and_samples_can_be_refined(tmp_path):
    train(tmp_path / "run", **GAME, refiner="proximal", set={"trainer.adversarial": 0.1}, precision="fp32")
    first = load_file(Run(tmp_path / "run").checkpoints()[0] / "training.safetensors")
    pairs = [(key, key.replace("encoder.trunk", "discriminator")) for key in first if "encoder.trunk" in key]
    drawn = [(first[a], first[b]) for a, b in pairs if first[a].dim() > 1]
    assert drawn
    assert not any(torch.equal(a, b) for a, b in drawn)
    model = gadkit.load(tmp_path / "run", device="cpu")
    assert model.refinement().use == "gadkit:proximal"
    assert torch.equal(model.discriminator.last.weight, weights(tmp_path / "run")["nets.discriminator.last.weight"])
    assert model.sample().shape == model.sample(refine=0).shape
    line = logged(tmp_path / "run")[-1]
    assert {"loss/discriminator", "loss/adversarial", "penalty", "accuracy", "logits/real"} <= line.keys()


class Dimmed(Discriminator):
    """Looks through a dark glass, and notes how dark it was when features were asked for, which a trunk alone is.

    Args:
        dim: Times every pixel.
        width: Features.
    """

    seen = ()

    def __init__(self, video, *, dim: Scheduled = 1.0, width: int = 8) -> None:
        super().__init__(video)
        self.dim = dim
        self.trunk = nn.Linear(video.frames * video.channels * video.height * video.width, width)
        self.last = nn.Linear(width, 1)

    def features(self, video, labels=None, times=None):
        if video.shape[0] > 1:
            type(self).seen += (self.dim,)
        return self.trunk(self.dim * video.flatten(1))

    def forward(self, video, labels=None, times=None):
        return self.last(self.trunk(self.dim * video.flatten(1)))


def test_the_encoder_follows_a_schedule_of_the_discriminators(tmp_path, monkeypatch):
    """It holds a second net of its kind."""
    monkeypatch.setattr(Dimmed, "seen", ())
    settings = {"discriminator.dim": {"start": 1, "end": 0.2}, "trainer.adversarial": 0.1}
    train(tmp_path / "run", discriminator=Dimmed, loss="hinge", steps=4, set=settings)
    assert Dimmed.seen[-4:] == pytest.approx([1.0, 0.8, 0.6, 0.4])


def test_an_adversarial_term_without_a_loss_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"loss\.use: found none"):
        train(tmp_path / "run", set={"trainer.adversarial": 0.1})


def test_micro_batches_that_free_bits_cannot_be_counted_over_are_refused_and_auto_batch_finds_others(tmp_path):
    with pytest.raises(ConfigError, match=r"trainer\.norm_group: found 8"):
        train(tmp_path / "run", accumulate=2, set={"trainer.free_bits": 0.1})
    train(tmp_path / "auto", auto_batch=True, set={"trainer.free_bits": 0.1})
    assert config(tmp_path / "auto")["trainer"]["accumulate"] == 1

    class Cut(VaeTrainer):
        def fit(self, session):
            before = states(session)
            self.rehearse(session, 4)
            assert self.cut(session, 4) == {"accumulate": 4, "norm_group": 2}
            after = states(session)
            assert all(torch.equal(before[key], after[key]) for key in before)
            return super().fit(session)

    def states(session):
        nets = {kind: session.parts[kind] for kind in ("generator", "assembler", "discriminator")}
        found = {f"{kind}.{key}": v.clone() for kind, net in nets.items() for key, v in net.state_dict().items()}
        pending = {f"{kind}.{key}": v.clone() for kind, net in nets.items() for key, v in net.named_buffers()}
        return found | pending

    with own_registry():
        settings = SETTINGS | {"trainer.free_bits": 0.1, "generator.norm": "batch"}
        small(tmp_path / "cut", trainer=Cut, set=settings, **VAE)


def test_a_batch_that_cannot_be_cut_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"trainer\.batch_size: found 8, expected a multiple of 3"):
        train(tmp_path / "run", accumulate=3)


def test_nothing_of_a_vae_looks_like_a_game_that_goes_wrong():
    health = Health()
    line = {"gradient/generator": 1e-9, "loss/generator": -1e6, "elbo": 1e6, "active": 0.0, "kl/total": 0.0}
    assert [sign for step in range(10, 3000, 10) for sign in health.see(step, line)] == []


def test_it_trains_samples_and_evaluates_from_the_command_line(tmp_path, monkeypatch, capsys):
    gadkit_command = CommandLine(monkeypatch, capsys)
    done = gadkit_command.train(folder_of_clips(tmp_path / "clips"), "--recipe", "vae", "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert gadkit_command("train", "--resume", tmp_path / "run", "--steps", 3).code == 0
    assert gadkit_command("sample", tmp_path / "run", "--length", 20, "--out", tmp_path / "video.png").code == 0
    refused = gadkit_command("sample", tmp_path / "run", "--refine", 3, "--out", tmp_path / "none.png")
    assert "without a discriminator" in refused.error
    network = ("--features", "random-r3d", "--frames", 8, "--clips", 4, "--device", "cpu", "--metric", "fvd")
    done = gadkit_command("evaluate", tmp_path / "run", *network, "--json")
    assert done.code == 0, done.err


def test_parts_that_nobody_uses_are_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    gadkit_command = CommandLine(monkeypatch, capsys)
    choices = ["--trainer", "vae", "--direction", "optimistic", "--refiner", "none", "--dry-run"]
    done = gadkit_command("train", "--resolution", 32, "--batch-size", 2, *choices, "--set", "generator.norm=none")
    assert "loss 'nonsaturating', penalty 'r1', direction 'optimistic': not used by trainer 'vae'." in " ".join(
        (done.out + done.err).split()
    )
    used = gadkit_command("train", "--resolution", 32, "--batch-size", 2, "--recipe", "vae", "--dry-run")
    assert used.code == 0
    assert "not used by" not in used.out + used.err
