"""What is not finite is noticed without a read by the host, and the first of it is known by name."""

import math

import pytest
import torch
from torch import nn

from gadkit.engine import Watch, watch
from gadkit.engine.watch import Finding

BAD = [math.nan, math.inf, -math.inf]
CPU = torch.device("cpu")


def spoil(tensor, place, bad):
    """Makes one number bad, in whatever layout."""
    at = torch.unravel_index(torch.tensor(place % tensor.numel()), tensor.shape)
    with torch.no_grad():
        tensor[tuple(index.item() for index in at)] = bad


class Fault(torch.autograd.Function):
    """The identity, whose gradient is not a number at one place."""

    @staticmethod
    def forward(context, x):
        return x.clone()

    @staticmethod
    def backward(context, gradient):
        gradient = gradient.clone()
        spoil(gradient, 0, math.nan)
        return gradient


class Net(nn.Module):
    """Two convolutions with batch statistics between; the gradient goes bad behind layer `fault`."""

    def __init__(self, before, after):
        super().__init__()
        self.first = nn.Conv2d(before, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, after, 3, padding=1)
        self.fault = None
        self.to(memory_format=torch.channels_last)

    def forward(self, x):
        for name in ("first", "norm", "second"):
            x = getattr(self, name)(x)
            x = Fault.apply(x) if self.fault == name else x
        return x


class Game:
    """Training steps of two players by hand, the second with two nets, all watched.

    The batch of a step may be replaced; `broken` is called between the gradients and their update.
    """

    def __init__(self):
        torch.manual_seed(0)
        self.nets = nn.ModuleDict({"generator": Net(4, 3), "assembler": nn.Linear(4, 4), "discriminator": Net(3, 1)})
        self.making = [*self.nets["generator"].parameters(), *self.nets["assembler"].parameters()]
        self.judging = list(self.nets["discriminator"].parameters())
        self.watch = Watch(self.nets, CPU)
        self.done = 0
        self.norms = {}

    def fakes(self):
        codes = self.nets["assembler"](torch.randn(2, 4))
        return self.nets["generator"](codes[:, :, None, None].expand(-1, -1, 6, 6))

    def move(self, name, parameters, loss, broken):
        self.watch.losses({f"loss/{name}": loss})
        gradients = list(torch.autograd.grad(loss, parameters))
        self.norms[name] = (gradients, self.watch.gradients(parameters, gradients))
        broken(name, parameters, gradients)
        with torch.no_grad():
            torch._foreach_add_(parameters, gradients, alpha=-0.01)

    def step(self, real=None, broken=lambda *_: None):
        self.watch.begin(self.done)
        judge = self.nets["discriminator"]
        real = torch.randn(2, 3, 6, 6) if real is None else real
        self.move("discriminator", self.judging, (judge(self.fakes().detach()) - judge(real)).mean(), broken)
        self.move("generator", self.making, -judge(self.fakes()).mean(), broken)
        self.watch.weights()
        self.done += 1

    def steps(self, count):
        for _ in range(count):
            self.step()

    def told(self):
        """The finding, which `sick` has to agree with."""
        found = self.watch.finding()
        assert bool(self.watch.sick()) == (found is not None)
        return found


def test_nothing_is_found_in_a_healthy_training():
    game = Game()
    game.steps(3)
    assert game.told() is None


WATCHED = [
    f"{net}.{name}"
    for net, module in Game().nets.items()
    for name, _ in (*module.named_parameters(), *module.named_buffers())
    if not name.endswith("num_batches_tracked")
]


@pytest.mark.parametrize("name", WATCHED)
def test_every_parameter_and_floating_buffer_is_named_when_its_update_goes_wrong(name):
    game = Game()
    game.steps(2)
    tensor = game.nets.state_dict()[name]

    def broken(player, parameters, gradients):
        if player == "generator":
            spoil(tensor, -1, math.nan)

    game.step(broken=broken)
    found = game.told()
    assert (found.step, found.what, found.name) == (2, "weight", name)
    assert found.net == name.partition(".")[0]
    assert found.others == 0
    game.steps(2)  # everything is bad by now
    assert game.told() == found


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("place", [0, 7777, -1])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("look", [watch._sums, watch._largest])
def test_one_bad_number_among_many_is_noticed(monkeypatch, bad, place, layout, look):
    monkeypatch.setattr(watch, "_sums", look)  # of the CPU, and of other devices
    net = nn.Conv2d(64, 64, 3).to(memory_format=layout)
    eye = Watch({"net": net}, CPU)
    eye.begin(0)
    eye.gradients([net.weight], [net.weight.detach()])
    eye.weights()
    assert eye.finding() is None
    gradient = net.weight.detach().clone()
    spoil(gradient, place, bad)
    eye.begin(1)
    eye.gradients([net.weight], [gradient])
    assert eye.finding() == Finding(1, "gradient", "net", "net.weight", 0)
    eye.forget()
    eye.begin(2)
    spoil(net.weight, place, bad)
    eye.weights()
    assert eye.finding() == Finding(2, "weight", "net", "net.weight", 0)


@pytest.mark.parametrize("name", WATCHED)
def test_a_weight_that_is_bad_before_the_step_is_named_and_not_the_loss(name):
    game = Game()
    game.steps(2)
    tensor = dict((*game.nets.named_parameters(), *game.nets.named_buffers()))[name]
    spoil(tensor, 0, math.inf)
    game.steps(3)
    assert (game.told().what, game.told().name, game.told().step) == ("weight", name, 2)


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_batch_is_told_by_the_loss_that_saw_it(bad):
    game = Game()
    game.steps(3)
    real = torch.randn(2, 3, 6, 6)
    real[1, 2, 3, 4] = bad
    game.step(real)
    game.steps(2)
    found = game.told()
    assert (found.step, found.what, found.net, found.name) == (3, "loss", "discriminator", "loss/discriminator")


@pytest.mark.parametrize("fault", ["first", "norm", "second"])
@pytest.mark.parametrize(("net", "shown"), [("generator", True), ("discriminator", True), ("generator", False)])
def test_a_gradient_that_went_bad_is_named_where_it_arose(net, fault, shown):
    """Also where it is not handed over: by the weights that it spoiled, where no loss has seen these before."""
    game = Game()
    game.steps(1)
    game.nets[net].fault = fault
    game.watch.gradients = game.watch.gradients if shown else lambda *_: None
    game.step()
    game.nets[net].fault = None
    game.steps(2)
    found = game.told()
    what = "gradient" if shown else "weight"
    assert (found.step, found.what, found.net, found.name) == (1, what, net, f"{net}.{fault}.bias")


def test_the_nearest_gradient_is_found_in_whatever_order_the_parameters_come():
    game = Game()
    bad = {"generator.first.weight", "generator.norm.bias", "assembler.bias"}
    names = {id(parameter): name for name, parameter in game.nets.named_parameters()}
    for order in (game.making, game.making[::-1], game.making[5:] + game.making[:5]):
        game.watch.forget()
        gradients = [torch.full_like(p, math.inf if names[id(p)] in bad else 1.0) for p in order]
        game.watch.begin(0)
        game.watch.gradients(order, gradients)
        game.watch.weights()
        found = game.told()
        assert (found.what, found.name, found.others) == ("gradient", "generator.norm.bias", 2)


def test_a_gradient_that_is_bad_alone_is_named_and_what_it_spoils_is_counted():
    game = Game()
    game.steps(1)
    parameter = game.nets["discriminator"].second.weight

    def spoiled(gradient):
        gradient = gradient.clone()
        spoil(gradient, 0, -math.inf)
        return gradient

    parameter.register_hook(spoiled)
    game.step()
    found = game.told()
    assert (found.what, found.name) == ("gradient", "discriminator.second.weight")
    # The generator's loss and all its gradients saw the spoiled weight.
    assert found.others == 1 + len(game.making)


def test_calls_of_a_step_are_told_apart_where_they_repeat():
    """A player that moves several times in a step hands over a loss of one name each time."""
    net = nn.Linear(2, 2)
    eye = Watch({"net": net}, CPU)
    fine, nan = torch.tensor(0.5), torch.tensor(math.nan)
    eye.begin(4)
    eye.losses({"loss/net": fine})
    eye.gradients([net.bias], [torch.tensor([1.0, math.inf])])
    eye.losses({"loss/net": nan})
    eye.weights()
    assert eye.finding() == Finding(4, "gradient", "net", "net.bias", 1)


def test_looks_at_weights_in_the_middle_of_a_step_are_told_apart():
    eye = Watch({"net": nn.Linear(2, 2)}, CPU)
    for step, (names, value) in enumerate([(("second", "first"), 1.0), (("first", "second"), math.nan)]):
        eye.begin(step)
        for name in names:
            eye.losses({name: torch.tensor(value)})
            eye.weights()
    assert eye.finding() == Finding(1, "loss", "", "first", 1)


def test_a_step_of_another_shape_does_not_hide_what_was_found():
    """A penalty now and then, or a player that rests, makes steps with other calls."""
    eye = Watch({"net": nn.Linear(2, 2)}, CPU)
    for step in range(6):
        eye.begin(step)
        eye.losses({"loss/net": torch.tensor(math.nan if step >= 3 else 1.0)})
        if step % 2 == 0:
            eye.losses({"penalty": torch.tensor(math.inf if step >= 2 else 1.0)})
        eye.weights()
    assert eye.finding() == Finding(2, "loss", "", "penalty", 0)


@pytest.mark.parametrize(("look", "huge"), [(watch._sums, 1e30), (watch._largest, 3e38)])
def test_huge_numbers_are_finite(monkeypatch, look, huge):
    monkeypatch.setattr(watch, "_sums", look)
    net = nn.Linear(300, 300)
    eye = Watch({"net": net}, CPU)
    with torch.no_grad():
        net.weight.fill_(huge)
        net.bias.fill_(-3e38)
    eye.begin(0)
    eye.losses({"loss/net": torch.tensor(-3e38), "double": torch.tensor(1e300, dtype=torch.float64)})
    eye.gradients([net.weight], [torch.full_like(net.weight, 1e16)])
    eye.weights()
    assert eye.finding() is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("look", [watch._sums, watch._largest])
def test_other_types_have_their_own_range(monkeypatch, dtype, look):
    monkeypatch.setattr(watch, "_sums", look)
    huge = {torch.float16: 6e4, torch.bfloat16: 1e30, torch.float64: 1e150}[dtype]
    net = nn.Linear(50, 50).to(dtype)
    eye = Watch({"net": net}, CPU)
    with torch.no_grad():
        net.weight.fill_(huge)
    eye.begin(0)
    eye.gradients([net.weight], [torch.full_like(net.weight, min(huge, 1e15) if dtype != torch.float64 else huge)])
    eye.weights()
    assert eye.finding() is None
    spoil(net.weight, 77, -math.inf)
    eye.begin(1)
    assert eye.finding() == Finding(1, "weight", "net", "net.weight", 0)


def test_the_norm_of_a_players_gradients_comes_back():
    game = Game()
    game.step()
    for gradients, norm in game.norms.values():
        together = torch.cat([gradient.flatten() for gradient in gradients])
        assert norm.shape == ()
        torch.testing.assert_close(norm.double(), together.double().norm())


def test_the_host_reads_nothing_during_a_step():
    """Tensors of the device `meta` have no numbers: whatever reads one raises."""
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)).to("meta")
    eye = Watch({"net": net}, torch.device("meta"))
    for step in range(3):
        eye.begin(step)
        eye.losses({"loss/net": torch.zeros((), device="meta")})
        eye.gradients(list(net.parameters()), [torch.empty_like(parameter) for parameter in net.parameters()])
        eye.weights()
        assert eye.sick().device.type == "meta"
        eye.forget()
    with pytest.raises((NotImplementedError, RuntimeError), match="meta"):
        eye.finding()


def test_masks_of_infinities_are_no_weights_gone_bad_but_statistics_are():
    net = nn.Module()
    mask, spoiled = torch.full((3, 3), -math.inf).triu(1), torch.tensor([math.inf, math.nan])
    others = {"mean": torch.zeros(3), "empty": torch.zeros(0), "count": torch.tensor(3)}
    for name, buffer in {"mask": mask, "spoiled": spoiled, **others}.items():
        net.register_buffer(name, buffer)
    eye = Watch({"net": net}, CPU)
    eye.begin(0)
    assert eye.finding() == Finding(0, "weight", "net", "net.spoiled", 0)
    net.spoiled.fill_(0.0)
    eye.forget()
    eye.begin(1)
    assert eye.finding() is None
    net.mean[1] = math.inf
    eye.weights()
    assert eye.finding() == Finding(1, "weight", "net", "net.mean", 0)


def test_nets_without_parameters_and_nothing_to_watch_are_fine():
    eye = Watch({"assembler": nn.Identity()}, CPU)
    eye.begin(0)
    eye.losses({})
    assert eye.gradients([], []).item() == 0
    eye.weights()
    assert not eye.sick()
    assert eye.finding() is None


def test_after_going_back_only_what_is_new_is_told():
    game = Game()
    good = {name: value.clone() for name, value in game.nets.state_dict().items()}
    game.steps(2)
    game.step(torch.full((2, 3, 6, 6), math.nan))
    assert game.told().step == 2
    game.nets.load_state_dict(good)
    game.watch.forget()
    game.done = 1
    game.steps(2)
    assert game.told() is None
    game.step(torch.full((2, 3, 6, 6), math.nan))
    assert (game.told().step, game.told().name) == (3, "loss/discriminator")


def test_going_back_to_weights_that_are_bad_too_is_noticed_at_once():
    game = Game()
    game.steps(1)
    state = game.nets.state_dict()
    state["generator.first.bias"] = torch.full((8,), math.nan)
    game.nets.load_state_dict(state)
    game.watch.forget()
    game.watch.begin(0)
    assert game.told().name == "generator.first.bias"
    game.nets["generator"].first.bias.data.zero_()  # PyTorch does not count what is written so
    game.nets["discriminator"].first.bias.data.fill_(math.inf)
    game.watch.forget()
    game.watch.begin(0)
    assert game.told().name == "discriminator.first.bias"


def test_a_stranger_among_the_parameters_is_refused():
    eye = Watch({"net": nn.Linear(2, 2)}, CPU)
    with pytest.raises(ValueError, match=r"parameter 0 of shape \(5,\) is of none of the nets"):
        eye.gradients([nn.Parameter(torch.zeros(5))], [torch.zeros(5)])


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            Finding(411, "gradient", "generator", "generator.layers.0.weight", 22),
            "the gradient of generator.layers.0.weight was not finite in step 412, the first of 23 that were not",
        ),
        (Finding(0, "loss", "", "loss/vae", 0), "the value loss/vae was not finite in step 1"),
        (Finding(6, "weight", "net", "net.bias", 0), "net.bias was not finite in step 7"),
    ],
)
def test_a_finding_is_told_in_a_sentence(found, sentence):
    assert found.sentence() == sentence
