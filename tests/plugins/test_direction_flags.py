"""What a direction cannot be used with is refused before data are opened, and the game keeps what directions expect."""

import pytest
import torch
from small_runs import CommandLine, folder_of_clips
from synthetic import Squares
from test_minimax import small

import gadkit
from gadkit.testing.games import Mixture, MixtureGame
from gadkit_plugins.gad.alternating import Alternating


class Undecodable(Squares):
    """Clips that nobody may look at."""

    def sources(self):
        raise AssertionError("the data were opened")


class OnlyZeroSum(Alternating):
    needs_zero_sum = True


class Unscalable(Alternating):
    scalable = False


class Switched(Alternating):
    """A flag that depends on a setting."""

    def __init__(self, *, whole: bool = False) -> None:
        super().__init__()
        self.needs_one_graph = whole


REFUSED = [
    (
        {"direction": "competitive", "accumulate": 2},
        r"^trainer\.accumulate: found 2, but direction 'competitive' .* expected 1: use --accumulate 1 .* --direction",
    ),
    (
        {"direction": Switched, "accumulate": 4, "set": {"direction.whole": True}},
        r"^trainer\.accumulate: found 4, but direction 'Switched'",
    ),
    (
        {"direction": "competitive", "precision": "fp16"},
        r"^precision: found 'fp16', but direction 'competitive' .* expected bf16, fp32 or fp64: .* another --dir",
    ),
    ({"direction": Unscalable, "precision": "fp16"}, r"^precision: found 'fp16', but direction 'Unscalable'"),
    (
        {"direction": OnlyZeroSum, "loss": "rpgan"},
        r"^direction 'OnlyZeroSum' is only right for zero-sum losses, and loss 'rpgan' is none; choose --loss minimax",
    ),
]


@pytest.mark.parametrize(("choices", "sentence"), REFUSED)
def test_a_direction_that_cannot_be_used_is_refused_before_the_data_are_opened(tmp_path, choices, sentence):
    with pytest.raises(gadkit.ConfigError, match=sentence):
        small(tmp_path / "run", **({"dataset": Undecodable} | choices))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "choices",
    [
        {"direction": Switched, "accumulate": 4},
        {"direction": OnlyZeroSum, "loss": "minimax"},
        {"direction": OnlyZeroSum, "loss": "wasserstein"},
        {"direction": Unscalable, "precision": "bf16"},
        {"direction": "alternating", "precision": "fp16", "accumulate": 2},
    ],
)
def test_what_fits_is_let_through(tmp_path, choices):
    small(tmp_path / "run", set={"trainer.norm_group": 1}, **({"steps": 1} | choices))


def test_the_command_line_says_so_in_one_line_and_exits_with_2(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CI", raising=False)
    clips = folder_of_clips(tmp_path / "clips", count=2)
    command = CommandLine(monkeypatch, capsys)
    done = command.train(clips, "--out", "run", "--direction", "competitive", "--accumulate", "2")
    assert done.code == 2
    assert done.error.startswith("trainer.accumulate: found 2, but direction 'competitive'")
    assert not (tmp_path / "run").exists()


class Recorder(gadkit.Direction):
    """Holds the trainer's game against the promises of `gadkit.Game`."""

    needs_one_graph = needs_double_backward = True
    scalable = False
    seen: dict = {}

    def step(self, game):
        making, judging = list(game.generator.parameters), list(game.discriminator.parameters)
        f, g = game.losses(0)
        seen = Recorder.seen = {"zero_sum": game.zero_sum, "types": {f.dtype, g.dtype}}
        of_f = torch.autograd.grad(f, [*making, *judging], create_graph=True, materialize_grads=True)
        of_g = torch.autograd.grad(g, [*making, *judging], create_graph=True, materialize_grads=True)
        for player, mine in ((game.generator, of_f[: len(making)]), (game.discriminator, of_g[len(making) :])):
            alone = [gradient.clone() for gradient in player.gradient(0)]
            size = max(float(gradient.abs().max()) for gradient in alone)
            apart = max(float((a - b).detach().abs().max()) for a, b in zip(mine, alone, strict=True))
            seen.setdefault("apart", []).append(apart / size)
        seen["penalised"] = max(
            float((a + b).detach().abs().max()) for a, b in zip(of_f[: len(making)], of_g[: len(making)], strict=True)
        )
        before = [parameter.detach().clone() for parameter in making]
        steps = [torch.full_like(parameter, 0.25) for parameter in making]
        game.generator.move(steps, of_f[: len(making)])
        moved = [float((a - b).detach().abs().max()) for a, b in zip(making, before, strict=True)]
        seen["moved"] = (min(moved), max(moved), game.generator.optimiser.state == {})
        seen["rate"] = game.generator.rate


class TwoHeads(gadkit.Discriminator):
    """Judges the clip and its first frame, with weights."""

    head_weights = {"clip": 1.0, "frame": 0.3}

    def __init__(self, video, *, norm: str = "none") -> None:
        super().__init__(video)
        size = video.channels * video.height * video.width
        self.trunk = torch.nn.Sequential(torch.nn.Linear(video.frames * size, 8), torch.nn.BatchNorm1d(8))
        self.clip, self.frame = torch.nn.Linear(8, 1), torch.nn.Linear(size, 1)

    def features(self, video, labels=None, times=None):
        return torch.tanh(self.trunk(video.flatten(1)))

    def forward(self, video, labels=None, times=None):
        return {"clip": self.clip(self.features(video)), "frame": self.frame(video[:, 0].flatten(1)).square()}


@pytest.mark.parametrize("discriminator", ["dcgan-clip", "dcgan-frame", TwoHeads])
@pytest.mark.parametrize("penalty", ["none", "r1r2", "wgan-gp", "approx-r1r2"])
def test_both_losses_on_one_graph_are_the_players_own(tmp_path, discriminator, penalty):
    """With batch statistics and labels; no derivative leads from the penalty to the generator."""
    settings = {"discriminator.norm": "batch", "trainer.generator_lr": 3e-4}
    choices = {"discriminator": discriminator, "penalty": penalty, "labels": "own", "set": settings}
    small(tmp_path / "run", direction=Recorder, loss="minimax", steps=1, **choices)
    seen = Recorder.seen
    assert seen["zero_sum"] is True
    assert max(seen["apart"]) < 1e-12
    assert seen["penalised"] < 1e-12  # f + g would move the generator by the penalty alone
    assert seen["moved"] == (pytest.approx(0.25), pytest.approx(0.25), True)
    assert seen["rate"] == 3e-4


def test_both_losses_on_one_graph_in_bf16_are_float32_and_near(tmp_path):
    small(tmp_path / "run", direction=Recorder, loss="rpgan", penalty="r1r2", precision="bf16", steps=1)
    assert Recorder.seen["types"] == {torch.float32}
    assert Recorder.seen["zero_sum"] is False
    assert max(Recorder.seen["apart"]) < 2e-2


def test_the_small_games_keep_the_same_promise():
    """`MixtureGame.losses` and the trainer's mean one thing: the penalty is the discriminator's own there too."""
    from gadkit.registry import get_registry

    loss, penalty = (get_registry().find(*name).load() for name in (("loss", "minimax"), ("penalty", "r1r2")))
    game = MixtureGame(Mixture.ring(), loss(), penalty(gamma=3.0), width=6, batch_size=8, dtype=torch.float64)
    f, g = game.losses(0)
    both = [torch.autograd.grad(value, game.generator.parameters, retain_graph=True) for value in (f, g)]
    assert all(torch.allclose(a, -b, rtol=1e-12, atol=1e-15) for a, b in zip(*both, strict=True))
