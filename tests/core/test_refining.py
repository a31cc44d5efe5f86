"""Refined samples: which latents move, in which windows, and that a longer video still begins with the shorter one."""

import threading
from contextlib import nullcontext

import pytest
import torch
from small_runs import own_registry, small
from test_background import casts_of_two_passes
from torch import nn

import gadkit
from gadkit import ConfigError, Discriminator, Generator, Noise, Refiner, RunError, Trainer, VideoAssembler, VideoSpec
from gadkit.randomness import Key
from gadkit.runs.model import Model
from gadkit.runs.refining import RefinedAssembler

FRAMES, STILL, MOVING = 6, 3, 2
VIDEO = VideoSpec(height=4, width=4, frames=FRAMES, fps=10.0)


class Painter(Generator):
    """Every frame is a smooth function of its own code and of `context` codes on each side."""

    latent_dim = STILL + MOVING
    motion_dim = MOVING

    def __init__(self, video, context=0):
        super().__init__(video)
        self.context = context
        self.seen = []
        torch.manual_seed(1)
        self.paint = nn.Linear(self.latent_dim, video.channels * video.height * video.width)

    def forward(self, codes, labels=None):
        self.seen.append(codes.detach())
        reach = self.context if isinstance(self.context, int) else 0
        around = torch.stack([codes.roll(shift, dims=1) for shift in range(-reach, reach + 1)]).mean(0)
        return torch.tanh(self.paint(around)).view(*codes.shape[:2], *VIDEO_SHAPE)


VIDEO_SHAPE = (VIDEO.channels, VIDEO.height, VIDEO.width)


class Drift(VideoAssembler):
    """A motion that goes on from state to state, so that codes come in order."""

    def codes(self, noise, times, labels=None, state=None):
        at = times.long()
        steps = noise.normal("steps", self.moving, at)
        start = noise.normal("start", self.moving).unsqueeze(1) if state is None else state
        motion = start + 0.1 * steps.cumsum(1)
        content = noise.normal("content", self.latent_dim - self.moving).unsqueeze(1).expand(-1, at.shape[1], -1)
        return torch.cat((content, motion), dim=2), motion[:, -1:]


class Judge(Discriminator):
    """A smooth net, of all frames or of a few."""

    def __init__(self, video, looks=None, heads=False):
        super().__init__(video)
        torch.manual_seed(2)
        self.looks, self.two = looks, heads
        if heads:
            self.head_weights = {"b": 0.5}
        self.first = nn.Linear(video.channels * video.height * video.width, 8)
        self.last = nn.Linear(8, 1)

    def times(self, noise):
        if self.looks is None:
            return None
        return torch.argsort(noise.uniform("times", self.video.frames), dim=1)[:, : self.looks].sort(dim=1).values

    def features(self, video, labels=None, times=None):
        frames = torch.tanh(self.first(video.flatten(2)))
        if times is not None:
            frames = frames * torch.cos(times.to(frames))[..., None]
        return frames.mean(1)

    def forward(self, video, labels=None, times=None):
        logits = 20 * self.last(self.features(video, labels, times))
        return {"a": logits, "b": -0.2 * logits} if self.two else logits


def model(context=0, looks=None, heads=False, assembler=Drift, spec=VIDEO):
    generator = Painter(spec, context)
    drawn = assembler(spec, generator.latent_dim, generator.motion_dim)
    return Model(generator, drawn, spec, judge=lambda: Judge(spec, looks, heads))


def refined(made, refiner, count=1):
    """The codes of the first `count` windows of two videos."""
    codes = RefinedAssembler(made.assembler, made.generator, made.discriminator, refiner, nullcontext)
    noise = Noise(Key.of(0, "test"), torch.tensor([3, 4]))
    times = torch.arange(FRAMES * count, dtype=torch.float64).expand(2, -1)
    return codes.codes(noise, times)[0], made.assembler.draw_codes(noise, 0, FRAMES * count, None, None)[0]


def proximal(**settings):
    from gadkit.registry import get_registry

    return get_registry().find("refiner", "proximal").load()(**settings)


STRONG = {"steps": 4, "weight": 1.0, "rate": 0.5}
KINDS = [
    {},
    {"context": 2},
    {"context": FRAMES + 3},
    {"looks": 2},
    {"heads": True},
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize(("use", "precision"), [("proximal", "fp32"), ("flow", "bf16")])
def test_a_longer_video_begins_with_the_shorter_one(kind, use, precision):
    made = model(**kind)
    made.precision = precision
    refine = STRONG if use == "proximal" else {"use": "flow", "steps": 3}
    longest = made.sample(2, 41, seed=5, refine=refine)
    assert not torch.equal(longest, made.sample(2, 41, seed=5, refine=0))
    for length in (1, FRAMES + 1, 16, 40):
        assert torch.equal(made.sample(2, length, seed=5, refine=refine), longest[:, :length]), length
    pieces = list(made.stream(41, 2, seed=5, chunk=7, refine=refine))
    assert torch.equal(torch.cat(pieces, dim=1), longest)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_video_is_the_same_alone_and_among_others(kind):
    made = model(**kind)
    several = made.sample(4, 2 * FRAMES, refine=STRONG)
    assert torch.equal(made.sample(1, 2 * FRAMES, first=2, refine=STRONG), several[2:3])


def test_no_steps_are_no_refinement():
    made = model()
    plain = made.sample(2, 20)
    for refine in (0, {"steps": 0}, proximal(steps=0)):
        assert made.refinement(refine) is None
        assert torch.equal(made.sample(2, 20, refine=refine), plain)


def test_the_content_moves_in_the_first_window_and_stays_for_the_rest():
    after, before = refined(model(), proximal(**STRONG), count=3)
    shift = (after - before)[..., :STILL]
    assert torch.allclose(shift, shift[:, :1].expand_as(shift), atol=1e-6)
    assert (shift.abs().amax(dim=(1, 2)) > 1e-3).all()
    moved = (after - before)[..., STILL:].unflatten(1, (3, FRAMES)).abs().amax(dim=(2, 3))
    assert (moved > 1e-3).all()  # and the motion in every window of every video


class Report(Refiner):
    """Notes what it is given; moves nothing."""

    def __init__(self, *, steps=1):
        self.steps, self.sizes, self.scores = steps, [], []

    def refine(self, score, start, noise):
        self.sizes.append(start.shape[1])
        self.scores.append(score(start))
        return start


@pytest.mark.parametrize("context", [0, 2])
def test_latents_are_the_content_once_and_the_motion_of_every_frame(context):
    report = Report()
    after, before = refined(model(context=context), report, count=3)
    assert report.sizes == [STILL + FRAMES * MOVING, FRAMES * MOVING, FRAMES * MOVING]
    assert torch.allclose(after, before)


@pytest.mark.parametrize("kind", [{"context": 2}, {"context": 2, "heads": True}, {"context": FRAMES + 3}], ids=str)
def test_the_score_is_the_discriminators_of_the_frames_that_are_rendered(kind):
    """So every window is judged with the codes before and after it that its frames are rendered with."""
    made, report = model(**kind), Report()
    guided = RefinedAssembler(made.assembler, made.generator, made.discriminator, report, nullcontext)
    noise = Noise(Key.of(0, "test"), torch.tensor([3]))
    video = torch.cat(list(guided.stream(made.generator, noise, 3 * FRAMES)), dim=1)
    for window, score in enumerate(report.scores[:3]):
        logits = made.discriminator(video[:, window * FRAMES : (window + 1) * FRAMES])
        expected = logits["a"] + 0.5 * logits["b"] if "heads" in kind else logits
        assert abs(float(score) - float(expected)) < 1e-4


def test_the_score_rises_in_every_window():
    made, high = model(), proximal(**STRONG)
    before, after = [], []

    class Both(Report):
        def refine(self, score, start, noise):
            found = high.refine(score, start, noise)
            before.append(score(start).detach())
            after.append(score(found).detach())
            return found

    refined(made, Both(), count=3)
    assert len(after) == 3
    assert (torch.cat(after) > torch.cat(before)).all()


class Linear(Judge):
    """D(x) = a sum x."""

    def features(self, video, labels=None, times=None):
        return video.flatten(1)

    def forward(self, video, labels=None, times=None):
        return 0.3 * video.flatten(1).sum(1, keepdim=True)


class Plain(Painter):
    """x = the code's sum in every pixel: dD/dz is the same for every entry of every frame's code."""

    def forward(self, codes, labels=None):
        return codes.sum(2)[..., None, None, None].expand(*codes.shape[:2], *VIDEO_SHAPE)


def test_a_linear_game_has_the_fixed_point_that_its_gradient_says():
    generator = Plain(VIDEO)
    made = Model(generator, Drift(VIDEO, STILL + MOVING, MOVING), VIDEO, judge=lambda: Linear(VIDEO))
    after, before = refined(made, proximal(steps=300, weight=10.0, rate=0.05))
    slope = 0.3 * VIDEO.channels * VIDEO.height * VIDEO.width  # of a frame's code; the content's has every frame's
    moved = (after - before) * 10.0 / slope
    assert torch.allclose(moved[..., STILL:], torch.ones_like(moved[..., STILL:]), atol=1e-3)
    assert torch.allclose(moved[..., :STILL], FRAMES * torch.ones_like(moved[..., :STILL]), atol=1e-3)


def test_a_generator_of_a_fixed_length_is_refined_in_one_window():
    made = model(context="fixed")
    longest = made.sample(2, FRAMES, refine=STRONG)
    assert torch.equal(made.sample(2, 3, refine=STRONG), longest[:, :3])
    with pytest.raises(ConfigError, match="exactly"):
        made.sample(1, FRAMES + 1, refine=STRONG)


def test_a_sparse_discriminator_is_shown_the_same_frames_at_every_step():
    made = model(looks=2)
    shown = []
    judge = made.discriminator
    before = judge.forward
    judge.forward = lambda video, labels=None, times=None: shown.append(times) or before(video, labels, times)
    made.sample(1, FRAMES, refine={"steps": 3})
    views = FRAMES // 2
    assert len(shown) % (4 * views) == 0  # in each of the windows that a block of frames needs
    for step in range(1, 4):
        for view in range(views):
            assert torch.equal(shown[step * views + view], shown[view])
    assert len({tuple(times.flatten().tolist()) for times in shown[:views]}) > 1


def test_the_score_of_a_sparse_discriminator_is_the_mean_of_what_it_says_of_each_draw():
    made, report, said = model(looks=2), Report(), []
    judge = made.discriminator
    before = judge.forward
    judge.forward = lambda *given: said.append(before(*given)) or said[-1]
    refined(made, report)
    assert len(said) == FRAMES // 2
    assert torch.allclose(report.scores[0], torch.stack(said).mean(0)[:, 0])
    assert not torch.allclose(report.scores[0], said[0][:, 0])


def test_refinement_leaves_no_gradients_behind():
    made = model()
    made.sample(1, FRAMES, refine=STRONG)
    for net in (made.generator, made.discriminator):
        assert all(p.grad is None and not p.requires_grad for p in net.parameters())


def test_what_a_model_says_of_its_refiner_is_what_it_does_by_default():
    part = {"use": "gadkit:flow", "version": "", "settings": {"steps": 7, "rate": 0.01}}
    made = model()
    made.document = {"refiner": part, "discriminator": {}}
    found = made.refinement()
    assert (found.use, found.refiner.steps, found.refiner.rate) == ("gadkit:flow", 7, 0.01)
    assert made.refinement(3).refiner.steps == 3
    assert made.refinement(3).refiner.rate == 0.01
    assert made.refinement({"use": "proximal"}).use == "gadkit:proximal"
    assert made.refinement(0) is None
    made.document = {"refiner": {**part, "use": "nobody:gone"}, "discriminator": {}}
    assert made.refinement(0) is None  # so that a model whose refiner is not installed can be sampled
    made.document = None
    assert made.refinement() is None
    assert made.refinement(3).use == "gadkit:proximal"


def test_a_wrong_number_of_steps_is_said():
    with pytest.raises(ConfigError, match="refine: found -1"):
        model().sample(1, refine=-1)
    with pytest.raises(ConfigError, match=r"refiner\.weight"):
        model().sample(1, refine={"weight": -1})
    with pytest.raises(ConfigError, match="wait"):
        model().sample(1, refine={"wait": 1})


def test_without_a_discriminator_the_way_out_is_named():
    made = model()
    bare = gadkit.Model(made.generator, made.assembler, VIDEO)
    with pytest.raises(RunError, match="discriminator"):
        bare.sample(1, refine=3)
    bare.sample(1)


class Alone(Trainer):
    """A trainer that has no use for a discriminator."""

    def __init__(self, *, batch_size: int = 4) -> None:
        self.batch_size = batch_size

    def fit(self, session):
        raise AssertionError("it should not come so far")


def test_a_refiner_without_a_discriminator_to_follow_is_refused_before_the_training(tmp_path):
    with own_registry(), pytest.raises(ConfigError, match=r"refiner 'proximal' .* 'Alone' trains none"):
        small(tmp_path / "run", trainer=Alone, refiner="proximal")
    assert not (tmp_path / "run").exists()


def test_videos_that_are_made_in_another_thread_leave_the_casts_of_a_training_alone():
    """A clip's weights are cast once in a forward pass: twice would round their gradient in another way."""
    made = model()

    def between():
        sampling = threading.Thread(target=made.sample, args=(1, 20))
        sampling.start()
        sampling.join()

    assert casts_of_two_passes(between) == 1
