"""Nets without second derivatives are refused in one sentence with the ways out, before there is a run folder."""

import gc
import weakref

import pytest
import torch
from test_minimax import furthest, small, weights
from torch import nn
from torch.nn import functional as F

import gadkit
from gadkit.engine import GroupedBatchNorm
from gadkit_plugins.minimax import trainer as minimax
from gadkit_plugins.minimax.trainer import MinimaxTrainer
from gadkit_plugins.vae.trainer import VaeTrainer


class Judge(gadkit.Discriminator):
    """Frames to vectors, a layer over time, and a linear map of the last."""

    def __init__(self, video):
        super().__init__(video)
        self.frames = nn.Linear(video.channels * video.height * video.width, 16)
        self.normal = nn.BatchNorm1d(16)
        self.drop = nn.Dropout(0.1)
        self.over_time = self.layer()
        self.last = nn.Linear(16, 1)

    def features(self, video, labels=None, times=None):
        vectors = self.drop(torch.tanh(self.frames(video.flatten(2))))
        vectors = self.normal(vectors.transpose(1, 2)).transpose(1, 2)
        return self.along(vectors)[:, -1]

    def forward(self, video, labels=None, times=None):
        return self.last(self.features(video, labels, times))

    def along(self, vectors):
        return self.over_time(vectors)


class Recurrent(Judge):
    def layer(self):
        return nn.LSTM(16, 16, batch_first=True)

    def along(self, vectors):
        return self.over_time(vectors)[0]


class Attending(Judge):
    """Fused attention by the function, as most write it."""

    def layer(self):
        return nn.Linear(16, 48)

    def along(self, vectors):
        query, key, value = self.over_time(vectors).unflatten(2, (3, 2, 8)).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


class ByMaths(Attending):
    """The same, by the way out that the sentence names."""

    def along(self, vectors):
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            return super().along(vectors)


class Heads(Judge):
    def layer(self):
        return nn.MultiheadAttention(16, 2, batch_first=True)

    def along(self, vectors):
        return self.over_time(vectors, vectors, vectors, need_weights=False)[0]


class Refusing(torch.autograd.Function):
    """The identity, whose gradient is differentiated with the words that PyTorch has for it."""

    @staticmethod
    def forward(ctx, x, words):
        ctx.words = words
        return x.clone()

    @staticmethod
    def backward(ctx, slope):
        return Unwilling.apply(slope, ctx.words), None


class Unwilling(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, words):
        ctx.words = words
        return x.clone()

    @staticmethod
    def backward(ctx, slope):
        raise RuntimeError(ctx.words)


class Unwritten(Recurrent):
    """An LSTM that refuses as cuDNN's does, or with other words."""

    words = (
        "the derivative for '_cudnn_rnn_backward' is not implemented. Double backwards is not supported for CuDNN RNNs "
        "due to limitations in the CuDNN API."
    )

    def along(self, vectors):
        return Refusing.apply(super().along(vectors), self.words)


def says(words):
    return type("Other", (Unwritten,), {"words": words})


class Compiled(ByMaths):
    """The last part is compiled; the backend does not matter here."""

    def __init__(self, video):
        super().__init__(video)
        torch.compiler.reset()  # what was compiled for other shapes before decides on what is said
        self.last = self.compiled(self.last)

    def compiled(self, net):
        return torch.compile(net, backend="aot_eager")


class Restrided(Compiled):
    """The first part is, and gets gradients in another layout than it was compiled for: PyTorch says it otherwise."""

    def __init__(self, video):
        super().__init__(video)
        self.frames = super().compiled(self.frames)

    def compiled(self, net):
        return net


BY_PENALTY = r"^penalty 'r1' needs the derivative of a gradient .* choose --penalty approx-r1r2, which needs none, or "
BY_DIRECTION = r"^direction 'competitive' needs the derivative of a gradient .* choose another --direction, such as al"
MATHS = r".*sdpa_kernel\(SDPBackend\.MATH\)\.$"
ASKING = [({"penalty": "r1"}, BY_PENALTY), ({"penalty": "none", "direction": "competitive"}, BY_DIRECTION)]


@pytest.mark.parametrize(("choices", "who"), ASKING)
@pytest.mark.parametrize(
    ("net", "what"),
    [
        (Attending, r".*has none for fused attention;" + MATHS),
        (Heads, r".*has none for fused attention \(discriminator\.over_time: nn\.MultiheadAttention\);" + MATHS),
        (
            Unwritten,
            r".*a fused recurrent layer \(discriminator\.over_time: nn\.LSTM\);.*cudnn\.flags\(enabled=False\)",
        ),
        (says("derivative for aten::grid_sampler_2d_backward is not implemented"), r".*operation grid_sampler_2d_back"),
        (
            says("trying to differentiate twice a function that was marked with @once_differentiable"),
            r".*has none for an operation;.*compute it by others that have one\.$",
        ),
        (Compiled, r".*has none for a compiled network;.*leave torch\.compile away\.$"),
        (Restrided, r".*has none for a compiled network;.*leave torch\.compile away\.$"),
    ],
)
def test_a_net_without_second_derivatives_is_refused(tmp_path, choices, who, net, what):
    with pytest.raises(gadkit.ConfigError) as caught:
        small(tmp_path / "run", discriminator=net, precision="fp32", **choices)
    sentence = str(caught.value)
    assert caught.match(who)
    assert caught.match(what)
    assert sentence.count(". ") == 0
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("early", [True, False])
def test_the_adversarial_term_of_an_autoencoder_is_told_too(tmp_path, monkeypatch, early):
    """Before there is a run, and where nothing was measured before, with the steps."""
    if not early:
        monkeypatch.setattr(VaeTrainer, "footprint", lambda self, session: None)
    choices = {"trainer": "vae", "direction": "none", "loss": "nonsaturating", "penalty": "r1", "batch_size": 4}
    with pytest.raises(gadkit.ConfigError, match=BY_PENALTY) as caught:
        small(tmp_path / "run", discriminator=Heads, set={"trainer.adversarial": 0.1}, **choices)
    assert caught.match(r".*has none for fused attention \(discriminator\.over_time: nn\.MultiheadAttention\);")
    assert early != (tmp_path / "run").exists()


@pytest.mark.parametrize("net", [Recurrent, ByMaths])
@pytest.mark.parametrize("penalty", ["r1", "r1r2", "approx-r1r2"])
def test_nets_that_have_them_train(tmp_path, net, penalty):
    """The CPU's LSTM can be differentiated twice, and the way out of fused attention is one."""
    small(tmp_path / "run", discriminator=net, penalty=penalty, direction="competitive", steps=2, precision="fp32")
    assert all(bool(tensor.isfinite().all()) for tensor in weights(tmp_path / "run").values())


@pytest.mark.parametrize("net", [Attending, Heads, Unwritten])
def test_the_approximate_penalty_trains_with_nets_that_do_not(tmp_path, net):
    small(tmp_path / "run", discriminator=net, penalty="approx-r1r2", steps=2, precision="bf16")
    assert all(bool(tensor.isfinite().all()) for tensor in weights(tmp_path / "run").values())


@pytest.mark.parametrize(("choices", "who"), ASKING)
def test_a_refusal_that_comes_with_the_steps_is_told_too(tmp_path, monkeypatch, choices, who):
    monkeypatch.setattr(minimax, "differentiate_twice", lambda game, session: None)
    monkeypatch.setattr(MinimaxTrainer, "footprint", lambda self, session: None)
    with pytest.raises(gadkit.ConfigError, match=who):
        small(tmp_path / "run", discriminator=Attending, **choices)


def test_where_both_ask_in_a_step_both_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(MinimaxTrainer, "footprint", lambda self, session: None)
    with pytest.raises(gadkit.ConfigError, match=r"^penalty 'r1' and direction 'competitive' need the derivative"):
        small(tmp_path / "run", discriminator=Attending, penalty="r1", direction="competitive")


@pytest.mark.parametrize(("penalty", "direction"), [("r1", "alternating"), ("approx-r1r2", "competitive")])
def test_errors_of_another_kind_stay_what_they_are(tmp_path, penalty, direction):
    with pytest.raises(RuntimeError, match=r"^the tensors do not fit$"):
        small(tmp_path / "run", discriminator=says("the tensors do not fit"), penalty=penalty, direction=direction)


@pytest.mark.parametrize("choices", [{"penalty": "r1"}, {"penalty": "none", "direction": "competitive"}])
def test_nothing_remains_of_the_trial(tmp_path, monkeypatch, choices):
    """The weights of a run with batch statistics and dropout are those of one that was never tried."""
    states = []
    prepare = MinimaxTrainer.prepare

    def seen(self, session, clips=None):
        game = prepare(self, session, clips)
        nets = (session.generator, session.discriminator)
        layers = [layer for net in nets for layer in net.modules() if isinstance(layer, GroupedBatchNorm)]
        assert layers
        if clips is None:
            states.append(sum(int(layer.pending_count) for layer in layers))
            states.append(max(float(layer.pending_mean.abs().max()) for layer in layers))
        return game

    monkeypatch.setattr(MinimaxTrainer, "prepare", seen)
    choices = {"discriminator": ByMaths, "precision": "fp32", "steps": 2, **choices}
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    small(tmp_path / "tried", **choices)
    assert torch.equal(torch.rand(4), expected)
    assert states == [0, 0.0]
    monkeypatch.setattr(MinimaxTrainer, "footprint", lambda self, session: None)
    small(tmp_path / "untried", **choices)
    assert furthest(weights(tmp_path / "tried"), weights(tmp_path / "untried")) == 0


class Marked(torch.autograd.Function):
    """The identity, with an object in its graph that can be seen to go."""

    @staticmethod
    def forward(ctx, x, mark):
        ctx.mark = mark
        return x.clone()

    @staticmethod
    def backward(ctx, slope):
        return slope, None


class Mark:
    alive = weakref.WeakSet()

    def __init__(self):
        Mark.alive.add(self)


class Marking(ByMaths):
    def along(self, vectors):
        return torch.tanh(Marked.apply(super().along(vectors), Mark()))


@pytest.mark.parametrize("direction", ["alternating", "competitive"])
def test_the_graphs_that_were_measured_are_freed(tmp_path, monkeypatch, direction):
    footprint, left = MinimaxTrainer.footprint, []

    def measured(self, session):
        assert footprint(self, session).per_clip > 0
        gc.collect()
        left.append(len(Mark.alive))

    monkeypatch.setattr(MinimaxTrainer, "footprint", measured)
    small(tmp_path / "run", discriminator=Marking, direction=direction, steps=1)
    assert left == [0]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("choices", "who"), ASKING)
@pytest.mark.parametrize(("net", "what"), [(Recurrent, "a fused recurrent layer"), (Attending, "fused attention")])
def test_cuda_refuses_its_own(tmp_path, choices, who, net, what):
    with pytest.raises(gadkit.ConfigError, match=who + f".*{what}"):
        small(tmp_path / "run", discriminator=net, device="cuda", precision="bf16", **choices)
    assert not (tmp_path / "run").exists()
