"""The variational trainer's arithmetic: draws, divergences and the bound, against closed forms."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from gadkit import ConfigError, Discriminator, Generator, Key, Noise, VideoAssembler, VideoSpec
from gadkit.engine import Engine
from gadkit.registry import get_registry
from gadkit_plugins.vae.encoder import Encoder
from gadkit_plugins.vae.objective import Likelihood, active, cost
from gadkit_plugins.vae.posterior import Divergence, Group, Latent, Posterior, groups_of

VIDEO = VideoSpec(height=8, width=8, frames=6, fps=10.0)
DOUBLE = torch.float64


def noise_of(batch=3, seed=0, first=0):
    return Noise(Key.of(seed), torch.arange(first, first + batch), dtype=DOUBLE)


def random(*shape, seed=0):
    return torch.randn(shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def latent(batch=3, places=(0, 1, 4), size=2, path=("motion",), seed=0):
    group = Group(path, torch.tensor(places), size)
    shape = (batch, len(places), size)
    return Latent(group, random(*shape, seed=seed), random(*shape, seed=seed + 1))


class Frames(Generator):
    """A frame is a linear map of its code; with a context it needs the codes beside it, too."""

    def __init__(self, video, *, latent_dim=6, motion_dim=2, context=0):
        super().__init__(video)
        self.latent_dim, self.motion_dim, self.context = latent_dim, motion_dim, context
        self.map = nn.Linear(latent_dim, video.channels * video.height * video.width)

    def forward(self, codes, labels=None):
        video = self.video
        if self.context in (1, 2):
            codes = sum(codes.roll(shift, 1) for shift in range(-self.context, self.context + 1))
        return self.map(codes).view(*codes.shape[:2], video.channels, video.height, video.width)


class Folding(VideoAssembler):
    """Draws below a fold, the same number twice, a uniform and an integer, and at one place more than it is asked."""

    def codes(self, noise, times, labels=None, state=None):
        inner, at = noise.fold("inner", 3), times.long()
        motion = inner.normal("motion", self.moving, at) + inner.normal("motion", self.moving, at + 1)
        motion = motion + noise.uniform("motion", self.moving, at)
        return self.with_content(noise, motion * (1 + noise.integers("sign", 2).view(-1, 1, 1))), None


class Silent(VideoAssembler):
    """Draws nothing."""

    def codes(self, noise, times, labels=None, state=None):
        return torch.zeros(len(noise), times.shape[1], self.latent_dim), None


class Pixels(Discriminator):
    """Its features are the pixels."""

    def features(self, video, labels=None, times=None):
        return video.flatten(1)

    def forward(self, video, labels=None, times=None):
        return self.features(video)[:, :1]


def test_the_divergence_is_that_of_the_distributions():
    found = latent()
    found.take(random(3, 3, 2), torch.tensor([0, 1, 4]))
    posterior = Normal(found.mean, (0.5 * found.log_variance).exp())
    expected = kl_divergence(posterior, Normal(torch.zeros((), dtype=DOUBLE), 1.0))
    divergence = found.divergence()
    torch.testing.assert_close(divergence.nats, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(divergence.total, expected.sum(dim=(1, 2)), rtol=0, atol=1e-12)


def test_a_draw_is_the_means_and_the_priors_draw_scaled_and_has_the_gradient_of_that():
    found, at = latent(), torch.tensor([0, 1, 4])
    found.mean.requires_grad_()
    found.log_variance.requires_grad_()
    found = Latent(found.group, found.mean, found.log_variance)
    prior = noise_of()
    drawn = Posterior([found]).noise(prior).normal("motion", 2, at)
    noise = prior.normal("motion", 2, at)
    deviation = (0.5 * found.log_variance).exp()
    torch.testing.assert_close(drawn, found.mean + deviation * noise, rtol=0, atol=1e-12)
    slopes = torch.autograd.grad(drawn.sum(), (found.mean, found.log_variance))
    torch.testing.assert_close(slopes[0], torch.ones_like(drawn), rtol=0, atol=0)
    torch.testing.assert_close(slopes[1], 0.5 * deviation * noise, rtol=0, atol=1e-12)


def test_many_draws_have_the_posteriors_moments():
    one = latent(batch=1)
    many = Latent(one.group, one.mean.expand(20000, -1, -1), one.log_variance.expand(20000, -1, -1))
    drawn = Posterior([many]).noise(noise_of(20000)).normal("motion", 2, one.group.places)
    torch.testing.assert_close(drawn.mean(dim=0), one.mean[0], rtol=0, atol=0.05)
    torch.testing.assert_close(drawn.var(dim=0).log(), one.log_variance[0], rtol=0, atol=0.05)


def test_what_the_posterior_says_nothing_of_is_drawn_from_the_prior():
    prior = noise_of()
    noise = Posterior([latent()]).noise(prior)
    at = torch.tensor([4, 2, 0])
    mixed, plain = noise.normal("motion", 2, at), prior.normal("motion", 2, at)
    assert torch.equal(mixed[:, 1], plain[:, 1])
    assert not (mixed[:, [0, 2]] == plain[:, [0, 2]]).any()
    assert torch.equal(noise.normal("other", 2, at), prior.normal("other", 2, at))
    assert torch.equal(noise.fold("deep").normal("motion", 2, at), prior.fold("deep").normal("motion", 2, at))
    assert torch.equal(noise.normal("motion", 3, at), prior.normal("motion", 3, at))
    assert torch.equal(noise.uniform("motion", 2, at), prior.uniform("motion", 2, at))
    assert torch.equal(noise.integers("motion", 9, at), prior.integers("motion", 9, at))


def test_a_draw_is_one_number_in_whatever_order_it_is_asked_for_and_a_narrow_one_begins_a_wide_one():
    noise = Posterior([latent(places=(0,), size=3, path=("content",))]).noise(noise_of())
    wide = noise.normal("content", 3)
    assert torch.equal(noise.normal("content", 2), wide[:, :2])
    assert torch.equal(noise.normal("content", 3, torch.zeros(1, dtype=torch.int64)), wide.unsqueeze(1))
    noise = Posterior([latent()]).noise(noise_of())
    forth, back = (noise.normal("motion", 2, torch.tensor(at)) for at in ([0, 1, 4], [4, 1, 0]))
    assert torch.equal(forth, back.flip(1))


def test_only_places_that_were_drawn_count_and_each_counts_once():
    found = latent()
    at = torch.tensor([[0, 0, 1], [1, 1, 4], [4, 7, 4]])
    found.take(random(3, 3, 2), at)
    found.take(random(3, 3, 2), at)
    nats = latent_nats(found)
    expected = torch.stack((nats[0, :2].sum(), nats[1, 1:].sum(), nats[2, 2].sum()))
    torch.testing.assert_close(found.divergence().total, expected, rtol=0, atol=1e-12)
    whole = cost([found.divergence()], 0.0, 1)
    torch.testing.assert_close(whole, expected.mean(), rtol=0, atol=1e-12)


def latent_nats(found):
    return 0.5 * (found.mean**2 + found.log_variance.exp() - 1 - found.log_variance)


ASSEMBLERS = ["walk", "independent", "lstm", "transformer", "motion-codes", Folding]


def build(assembler, generator, video=VIDEO):
    cls = assembler if isinstance(assembler, type) else get_registry().find("assembler", assembler).load()
    torch.manual_seed(0)
    return cls(video, generator.latent_dim, generator.motion_dim)


@pytest.mark.parametrize("context", [0, 2, "fixed"])
@pytest.mark.parametrize("assembler", ASSEMBLERS)
def test_the_posterior_covers_every_normal_that_a_clip_is_made_of(assembler, context):
    """Where its variance is nothing, no clip depends on what the prior draws, and every latent moves the clip."""
    generator = Frames(VIDEO, context=context).double()
    net = build(assembler, generator).double()
    groups = groups_of(net, generator)
    assert {group.path[-1] for group in groups} >= {"content"}

    def render(seed, means, frames=None):
        latents = [Latent(group, mean, torch.full_like(mean, -80.0)) for group, mean in zip(groups, means, strict=True)]
        posterior = Posterior(latents)
        noise = posterior.noise(noise_of(2, seed))
        if assembler is Folding:  # its uniforms are the prior's
            noise.uniform = lambda purpose, size, at=None: torch.full((2, at.shape[1], size), 0.5, dtype=DOUBLE)
            noise.integers = lambda purpose, high, at=None: torch.ones(2, dtype=torch.int64)
        made = net.clip(generator, noise, frames)
        assert all(bool(latent.asked.all()) for latent in latents) or frames is not None
        return made

    means = [random(2, len(group.places), group.size, seed=7).requires_grad_() for group in groups]
    one, other = render(0, means), render(1, means)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-9)
    for slope in torch.autograd.grad(one.square().sum(), means):
        assert (slope.abs().amax(dim=(0, 2)) > 0).all()
    few = torch.tensor([[0, 5], [1, 3]])
    torch.testing.assert_close(render(2, means, few), one[torch.arange(2).unsqueeze(1), few], rtol=0, atol=1e-9)


def test_an_assembler_that_draws_nothing_is_refused():
    generator = Frames(VIDEO)
    with pytest.raises(ConfigError, match="Silent draws no normals"):
        groups_of(Silent(VIDEO, 6, 2), generator)


def test_features_of_another_shape_are_refused():
    class Tall(Pixels):
        def features(self, video, labels=None, times=None):
            return video.flatten(2)

    with pytest.raises(ConfigError, match=r"features of one clip have the shape \(1, 6, 192\)"):
        Encoder(Tall(VIDEO), [latent().group])


def test_the_frames_to_look_at_are_drawn_on_the_cpu_wherever_the_trunk_is():
    class Choosing(Pixels):
        def times(self, noise):
            assert noise.device.type == "cpu"
            return torch.tensor([[1, 4]])

        def features(self, video, labels=None, times=None):
            assert video.device == times.device == self.anchor.device
            return video.flatten(1)

    trunk = Choosing(VIDEO)
    trunk.anchor = nn.Parameter(torch.zeros((), device="meta"))  # a device that every machine has
    assert Encoder(trunk, [latent().group]).mean.in_features == 2 * 3 * 8 * 8


def test_free_bits_have_no_gradient_and_the_rest_has_all_of_it():
    """Two minibatches of two clips; an entry's nats are the mean over its places and clips."""
    nats = torch.zeros(4, 3, 2, dtype=DOUBLE)
    nats[:2, :, 0], nats[:2, :, 1] = 0.05, 0.4
    nats[2:, :, 0], nats[2:, :, 1] = 0.3, torch.tensor([[0.0, 0.1, 0.3], [0.5, 0.2, 0.6]], dtype=DOUBLE)
    nats.requires_grad_()
    price = cost([Divergence("motion", nats, None)], 0.2, 2)
    mean = 1.7 / 6
    assert price.item() == pytest.approx(3 * ((0.2 + 0.4) + (0.3 + mean)) / 2, abs=1e-12)
    (slope,) = torch.autograd.grad(price, nats)
    expected = torch.full_like(slope, 1 / 4)
    expected[:2, :, 0] = 0
    torch.testing.assert_close(slope, expected, rtol=0, atol=1e-12)
    free = cost([Divergence("motion", nats, None)], 0.0, 2)
    assert free.item() == pytest.approx(nats.sum().item() / 4, abs=1e-12)


def test_free_bits_are_counted_over_the_places_that_took_part():
    nats = torch.tensor([[[0.1], [5.0]], [[0.5], [0.2]]], dtype=DOUBLE)
    asked = torch.tensor([[True, False], [True, True]])
    for free, mean in ((0.1, 0.8 / 3), (0.4, 0.4)):
        price = cost([Divergence("motion", nats, asked)], free, 1)
        assert price.item() == pytest.approx(1.5 * mean, abs=1e-12)


def test_the_active_share_counts_numbers_above_a_hundredth():
    nats = torch.tensor([[[0.0, 0.02]], [[0.5, 0.005]]], dtype=DOUBLE)
    more = torch.ones(2, 2, 1, dtype=DOUBLE)
    assert active([Divergence("a", nats, None), Divergence("b", more, None)]).item() == pytest.approx(6 / 8)
    asked = torch.tensor([[True, False], [True, True]])
    assert active([Divergence("a", nats, None), Divergence("b", more, asked)]).item() == pytest.approx(5 / 7)


@pytest.mark.parametrize(
    ("density", "of"), [("gaussian", torch.distributions.Normal), ("laplace", torch.distributions.Laplace)]
)
def test_the_likelihood_is_the_density_and_its_scale_the_best(density, of):
    engine = Engine("cpu", "fp64")
    real, made = random(2, 3, 1, 4, 4), random(2, 3, 1, 4, 4, seed=1)
    expected = -of(made, 0.3).log_prob(real).mean()
    torch.testing.assert_close(Likelihood(density, 0.3, engine).nats(real, made), expected, rtol=0, atol=1e-12)
    best = Likelihood(density, "optimal", engine)
    for piece in (slice(0, 1), slice(1, 2)):  # equal micro-batches
        best.nats(real[piece], made[piece])
    best.settle()
    around = [float(-of(made, best.scale * factor).log_prob(real).mean()) for factor in (0.99, 1.0, 1.01)]
    assert around[1] < min(around[0], around[2])
    best.nats(real, real)
    best.settle()
    assert float(best.scale) == pytest.approx(2 / 255 / math.sqrt(12))


def linear_gaussian(entries=3, numbers=7, deviation=0.4, orthogonal=True):
    """x = W z + m + deviation * noise, and the exact posterior of z for one x."""
    weights = random(numbers, entries, seed=3)
    if orthogonal:  # then the posterior has a diagonal covariance
        weights = torch.linalg.qr(weights)[0] * torch.tensor([1.5, 0.8, 0.3], dtype=DOUBLE)
    mean = random(numbers, seed=4)
    data = random(5, numbers, seed=5)
    precision = torch.eye(entries, dtype=DOUBLE) + weights.T @ weights / deviation**2
    covariance = torch.linalg.inv(precision)
    posterior = (data - mean) @ weights @ covariance / deviation**2
    marginal = weights @ weights.T + deviation**2 * torch.eye(numbers, dtype=DOUBLE)
    evidence = MultivariateNormal(mean, marginal).log_prob(data)
    return weights, mean, data, posterior, covariance, evidence


def bound(weights, mean, data, posterior, log_variance, deviation=0.4):
    """The evidence lower bound of each clip by the trainer's own terms; exact by sigma points, for it is quadratic."""
    clips, entries = posterior.shape
    points = math.sqrt(entries) * torch.cat((torch.eye(entries), -torch.eye(entries))).to(DOUBLE)
    likelihood = Likelihood("gaussian", deviation, Engine("cpu", "fp64"))
    found = []
    for clip in range(clips):
        total = torch.zeros((), dtype=DOUBLE)
        group = Group(("content",), torch.zeros(1, dtype=torch.int64), entries)
        own = Latent(group, posterior[clip].view(1, 1, -1), log_variance.view(1, 1, -1))
        for point in points:
            draws = own.take(point.unsqueeze(0), None)
            total = total - likelihood.nats(data[clip], (draws @ weights.T + mean)[0]) * data.shape[1]
        found.append(total / len(points) - cost([own.divergence()], 0.0, 1))
    return torch.stack(found)


def test_at_the_exact_posterior_the_bound_is_the_evidence():
    weights, mean, data, posterior, covariance, evidence = linear_gaussian()
    reached = bound(weights, mean, data, posterior, covariance.diagonal().log())
    torch.testing.assert_close(reached, evidence, rtol=0, atol=1e-9)


def test_elsewhere_the_bound_is_below_the_evidence_by_the_divergence_from_the_posterior():
    weights, mean, data, posterior, covariance, evidence = linear_gaussian(orthogonal=False)
    at, log_variance = posterior + random(*posterior.shape, seed=6), random(3, seed=8)
    reached = bound(weights, mean, data, at, log_variance)
    off = kl_divergence(
        MultivariateNormal(at, torch.diag(log_variance.exp())), MultivariateNormal(posterior, covariance)
    )
    assert (off > 0.1).all()
    torch.testing.assert_close(reached, evidence - off, rtol=0, atol=1e-9)
