"""Probes of what generators, assemblers and discriminators have in common: they are built from seeds, and trained."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gadkit.interfaces.spec import VideoSpec
from gadkit.randomness import Key, seeded
from gadkit.testing.inputs import videos
from gadkit.testing.probes import close, round_trip, same_state
from gadkit.testing.promises import ALONE, SAME, promise, works
from gadkit.testing.surroundings import surroundings, unshared

N = TypeVar("N", bound=nn.Module)
_ROUNDS = "compute in the type of the inputs throughout, and choose nothing by it"
#: Draws of all parameters that are tried in looking for what a net can say at all.
_DRAWS = 16
#: The length of a step along a gradient, as a share of where it begins.
_SHORT = 1e-2


class _Generators(TorchFunctionMode):
    """Notes functions that draw from a generator that was handed to them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if kwargs.get("generator") is not None or any(isinstance(each, torch.Generator) for each in args):
            self.found.append(getattr(func, "__name__", str(func)))
        return func(*args, **kwargs)


def on_videos(
    cls: type[N], settings: Mapping[str, Any], check: Callable[[Callable[[int], N], VideoSpec, str], None]
) -> None:
    """Checks a net that is built for a video at two sizes, without classes and with them.

    Args:
        cls: The net's class.
        settings: Its settings.
        check: Called with what makes the net from a seed, the video, and the component's name.
    """

    def build(video: VideoSpec, seed: int = 0) -> N:
        with seeded(Key.of(seed)):
            return cls(video, **settings)

    with unshared(cls):
        for video in videos(build, cls.__name__):
            check(partial(build, video), video, cls.__name__)


def initialised(build: Callable[[int], N], name: str) -> tuple[N, N, N]:
    """Nets that their seeds alone decide.

    Args:
        build: Makes one from a seed.
        name: The component's.

    Returns:
        One of seed 0, another of that seed, and one of seed 1.
    """
    with surroundings(name), _Generators() as generators:
        net = build(0)
    same, other = build(0), build(1)
    same_state(net, same, name)
    promise(
        not generators.found,
        f"{name} draws its first parameters from PyTorch's global generator, which the run seeds for it",
        f"{generators.found[0] if generators.found else ''} was given a generator of its own",
        "leave out `generator=`, so that --seed decides",
    )
    drawn = {key: p for key, p in net.named_parameters() if p.numel() > 1 and bool((p != p.flatten()[0]).any())}
    theirs = dict(other.named_parameters())
    promise(
        not drawn or any(not torch.equal(p, theirs[key]) for key, p in drawn.items()),
        f"another seed gives {name} other first parameters",
        f"all of them are the same, {next(iter(drawn), '')} among them",
        "draw them from PyTorch's global generator, which is seeded for it, and seed nothing yourself",
    )
    shared = _storages(net) & _storages(other)
    promise(
        not shared,
        f"every {name} has parameters and buffers of its own",
        f"{len(shared)} of its tensors lie in the memory of another one's",
        "make them in __init__, or clone what comes from the class or the module",
    )
    return net, same, other


def _storages(net: nn.Module) -> set[int]:
    tensors = (*net.parameters(), *net.buffers())
    return {tensor.untyped_storage().data_ptr() for tensor in tensors if tensor.numel()}


def keeps_type(net: nn.Module, use: Callable[[Any, torch.dtype], Tensor], name: str) -> None:
    """In a float64 run, `use`, told the type of inputs, gives float64, and what it gives in float32."""
    with works(
        f"{name} computes in float64 where its parameters and inputs are float64",
        "make every tensor in the type of the input: `dtype=x.dtype`, or `.to(x)`",
    ):
        found = use(deepcopy(net).double(), torch.float64)
    promise(
        found.dtype == torch.float64,
        f"{name} gives float64 for float64",
        f"it gives {found.dtype}",
        "keep the type of the inputs, without `.float()` and without tensors of a type of their own",
    )
    close(
        found,
        use(net, torch.float32),
        1e-2,
        f"{name} says the same in float64 as in float32",
        relative=True,
        mend=_ROUNDS,
    )


def alone(whole: Tensor, use: Callable[[slice], Tensor], tolerance: float, promised: str) -> None:
    """The first and the last of a batch come out as they do when they stand alone."""
    for row in (0, len(whole) - 1):
        close(use(slice(row, row + 1)), whole[row : row + 1], tolerance, promised, mend=ALONE)


def uses_labels(net: N, use: Callable[[N, Tensor], Tensor], batch: int, classes: int, name: str) -> None:
    """What a net of data with classes says is another thing for every class."""
    same = _alike(net, use, batch, classes) and _alike(redrawn(net, 0, 0.3), use, batch, classes)
    promise(
        not same,
        f"{name}, which is built for data with classes, depends on the class",
        f"with all labels {' and '.join(map(str, same))} it says the same, whatever its parameters",
        "use `labels`, or refuse a spec with classes by gadkit.ConfigError: who asks for a class would be given any",
    )


def _alike(net: N, use: Callable[[N, Tensor], Tensor], batch: int, classes: int) -> tuple[int, ...]:
    """Two classes that a net does not tell apart; none may be, as those of an embedding that is zero at first are."""
    found = [use(net, torch.full((batch,), label)) for label in range(classes)]
    pairs = itertools.combinations(range(classes), 2)
    return next((pair for pair in pairs if torch.equal(found[pair[0]], found[pair[1]])), ())


def remembers_nothing(net: nn.Module, use: Callable[[], Any], name: str) -> None:
    """A call in eval mode changes no number that a net or a part of it keeps outside of its tensors."""
    before = _numbers(net)
    use()
    changed = sorted(key for key, value in _numbers(net).items() if key in before and before[key] != value)
    promise(
        not changed,
        f"{name} counts nothing in eval mode, in which a call is a function of its inputs",
        f"a call changed {' and '.join(changed)}",
        SAME,
    )


def _numbers(net: nn.Module) -> dict[str, Any]:
    return {
        f"{place}.{key}".lstrip("."): value
        for place, module in net.named_modules()
        for key, value in vars(module).items()
        if isinstance(value, bool | int | float | str)
    }


def points_uphill(use: Callable[[Tensor], Tensor], at: Tensor, name: str, what: str) -> None:
    """Along the gradient of what is made of a tensor, that rises."""
    leaf = at.detach().clone().requires_grad_()
    found = use(leaf)
    if not found.requires_grad:  # which other promises are about
        return
    weights = torch.cos(torch.arange(found.numel(), dtype=found.dtype)).view_as(found)
    (slope,) = torch.autograd.grad((found * weights).sum(), leaf, materialize_grads=True)
    step = slope * (_SHORT * at.norm() / slope.norm().clamp(min=1e-30))
    with torch.no_grad():
        rise = float(((use(at + step) - use(at - step)) * weights).sum())
    promise(
        rise >= 0,
        f"{name}'s gradient in the {what} points to where its value rises",
        f"a step along it and one against it differ by {rise:.3g}",
        "turn no gradient around (a hook, a backward of your own): the loss says who wants what",
    )


def redrawn(net: N, seed: int, size: float) -> N:
    """A copy with normal parameters of a certain size."""
    other = deepcopy(net)
    with torch.no_grad(), seeded(Key.of(seed, "redrawn")):
        for parameter in other.parameters():
            parameter.normal_(0.0, size)
    return other


def unbounded(net: N, use: Callable[[N], Tensor], what: str) -> None:
    """With some parameters, numbers beyond 1 come, and numbers of both signs."""
    low, high = torch.inf, -torch.inf
    for seed in range(_DRAWS):
        with torch.no_grad():
            found = use(redrawn(net, seed, 3.0))
        low, high = min(low, float(found.min())), max(high, float(found.max()))
        if low < 0 < high and max(-low, high) > 1:
            return
    promise(
        False,
        f"{what} are logits, of both signs and without bounds",
        f"with {_DRAWS} draws of large parameters they lie in [{low:.3g}, {high:.3g}]",
        "end with a linear map: the loss applies the sigmoid, or what else it needs",
    )


def still_saved(net: N, fresh: N, use: Callable[[N], Tensor], name: str) -> None:
    """What training changed is in the state."""
    net.eval()
    with torch.no_grad():
        round_trip(net, fresh.eval(), use, f"{name} that has been trained")
