"""Watching a training for numbers that are not finite: noticed without a read by the host, and told by name.

Every loss, gradient, parameter and buffer leaves one number a step on the device, which is finite where all of its
own are, and every such number has a place there for the step at which it was first not. Only `Watch.finding` reads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import torch
from torch import Tensor, nn

What = Literal["loss", "gradient", "weight"]

#: The moment of what never was bad.
_NEVER = torch.iinfo(torch.int64).max
#: Moments of a step: the device's clock is this times the steps done, plus the looks since.
_MOMENTS = 1 << 20
#: Tensors of no more numbers are looked at as they are: most of a net's are, and each reduction is an operation.
_SMALL = 1024


@dataclass(frozen=True)
class Finding:
    """What was not finite before anything else was.

    Attributes:
        step: Steps that were done before the one in which it was found.
        what: A loss, a gradient, or a weight: a parameter or buffer itself.
        net: The net that it belongs to; empty for a loss that is no net's.
        name: The loss's name, or the parameter's or buffer's after its net's: `"discriminator.trunk.0.weight"`.
        others: How many other losses, parameters and buffers were found bad in the same step.
    """

    step: int
    what: What
    net: str
    name: str
    others: int

    def sentence(self) -> str:
        """What was found, without a full stop: `"the gradient of generator.layers.0.weight was not finite in step 7"`.

        Steps are counted from 1 here, as in the log.
        """
        thing = {"loss": "the value ", "gradient": "the gradient of ", "weight": ""}[self.what] + self.name
        more = f", the first of {self.others + 1} that were not" if self.others else ""
        return f"{thing} was not finite in step {self.step + 1}{more}"


@dataclass(frozen=True)
class _Item:
    """What `width` neighbouring numbers on the device stand for."""

    what: What
    net: str
    name: str
    width: int = 1


@dataclass(frozen=True, eq=False)
class _Group:
    """What one call hands over: the items, in the order in which they would go bad. Told apart by identity."""

    items: tuple[_Item, ...]
    order: tuple[int, ...] = ()  # the place of each in what was handed over; empty where it is the same


class Watch:
    """Notices losses, gradients and weights that are not finite, and knows which of them was the first.

    A step is `begin`, then `losses` and `gradients` in the order in which they come about, each before the update that
    it leads to, and `weights` after the last update. None of these reads from the device. They may be captured in a
    CUDA graph, but for `begin`, which belongs outside.

    The first is told by the order of these calls. Among the gradients of one call it is the one nearest to the loss:
    the backward pass goes from a net's output to its input and carries what is not finite with it, so that a fault
    shows in the parameter where it arose and in all before it. That is the last of them in the order of the net's
    parameters, which by custom is the order of the forward pass; and a net that comes earlier in `nets` is taken to
    be nearer to the loss than one that feeds it. Parameters that are found bad together are told apart in the same way.

    A bad weight makes the next loss bad, and that all gradients. So weights are looked at after every step, and once
    more by `begin` where a tensor was written to since (not where its `.data` was): then the weight is named, not the
    loss.

    Cost: a pass over the gradients, which gives their norms to the log, and one over the weights. Beside the norms that
    is 0.9 % of a step of the recipe `demo` and 0.2 % of `dcgan` on one busy thread of a CPU, the norms 0.5 % and 0.1 %
    (`benchmarks/watching.py`). What is left of a large tensor is its sum on the CPU and its largest absolute value
    elsewhere, of a gradient the Euclidean norm. So finite numbers count as not finite where that overflows in float32:
    weights of 1e31 or so on the CPU, and gradients of 1.8e19, whose squares Adam's second moments cannot hold either,
    and would never recover from.

    Args:
        nets: What is trained, by name, as placed on the device: `generator` before the `assembler` that feeds it.
            Their parameters and floating buffers are watched, but for buffers that hold infinities and nothing that is
            not a number from the beginning: these are masks.
        device: Where the nets are.
    """

    def __init__(self, nets: Mapping[str, nn.Module], device: torch.device) -> None:
        self._nets = dict(nets)
        self._device = device
        self._places: dict[int, tuple[int, int, str]] = {}  # of a parameter: its net's, its own, its name
        self._large: list[Tensor] = []
        self._small: list[Tensor] = []  # flat
        large: list[_Item] = []
        small: list[_Item] = []
        for net, name, tensor in self._find_weights():
            if tensor.numel() > _SMALL or not tensor.is_contiguous():
                self._large.append(tensor)
                large.append(_Item("weight", net, name))
            elif tensor.numel():
                self._small.append(tensor.view(-1))
                small.append(_Item("weight", net, name, tensor.numel()))
        self._weights = _Group((*large, *small))
        self._groups: dict[tuple[object, ...], _Group] = {}
        self._pending: list[tuple[_Group, list[Tensor]]] = []
        # For every sequence of groups that a look was made of (there are few): when each item was first bad.
        self._first: dict[tuple[_Group, ...], Tensor] = {}
        self._clock = torch.zeros((), dtype=torch.int64, device=device)
        self._step = 0
        self._versions: list[int] | None = None

    def _find_weights(self) -> Iterator[tuple[str, str, Tensor]]:
        """Net, name and tensor of everything that is watched; also notes where each parameter has its place."""
        for number, (net, module) in enumerate(self._nets.items()):
            for place, (name, parameter) in enumerate(module.named_parameters(net)):
                if id(parameter) not in self._places:
                    self._places[id(parameter)] = (number, place, name)
                    yield net, name, parameter.detach()
            for name, buffer in module.named_buffers(net):
                if buffer.is_floating_point() and not _is_mask(buffer):
                    yield net, name, buffer.detach()

    def begin(self, step: int) -> None:
        """Turns to a step; `step` were done before it. Weights that were written to between steps are looked at."""
        if self._pending:
            self._settle()
        self._clock.fill_(step * _MOMENTS)
        if self._versions != self._current_versions():
            self.weights()

    def losses(self, named: Mapping[str, Tensor]) -> None:
        """Takes losses by name, such as `loss/discriminator`: tensors of one number on the device.

        Args:
            named: Loss by name.
        """
        if not named:
            return
        key = ("loss", *named)
        if key not in self._groups:
            self._groups[key] = _Group(tuple(_Item("loss", self._net_of(name), name) for name in named))
        self._pending.append((self._groups[key], [value.detach() for value in named.values()]))

    @torch.no_grad()
    def gradients(self, parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor]) -> Tensor:
        """Takes the gradients of one player, before its update.

        Not where a gradient scaler is at work (fp16): there gradients overflow now and then, and the scaler skips
        their update. What still goes wrong shows in the losses and weights.

        Args:
            parameters: Parameters of the nets, in any order.
            gradients: Theirs, in the same order.

        Returns:
            The Euclidean norm of all of them, a scalar on the device.
        """
        key = ("gradient", *map(id, parameters))
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = self._gradient_group(parameters, gradients)
        if not group.items:
            return torch.zeros((), device=self._device)
        norms = torch.stack(_norms([gradients[place] for place in group.order], 2.0))
        self._pending.append((group, [norms]))
        largest = norms.amax().clamp(min=torch.finfo(norms.dtype).tiny)
        norm: Tensor = largest * torch.linalg.vector_norm(norms / largest)  # whose squares do not overflow
        return norm

    @torch.no_grad()
    def weights(self) -> None:
        """Looks at all parameters and floating buffers as they are now, after the updates of a step."""
        self._versions = self._current_versions()
        if self._weights.items:
            left = _sums(self._large) if self._device.type == "cpu" else _largest(self._large)
            self._pending.append((self._weights, left + self._small))
        self._settle()

    def sick(self) -> Tensor:
        """Whether anything was not finite since the beginning or `forget`: a bool scalar on the device."""
        self._settle()
        if not self._first:
            return torch.zeros((), dtype=torch.bool, device=self._device)
        return torch.cat(list(self._first.values())).amin() < _NEVER

    def finding(self) -> Finding | None:
        """What was not finite first, `None` where all is well. Reads from the device, once."""
        self._settle()
        if not self._first:
            return None
        numbers = iter(torch.cat(list(self._first.values())).tolist())
        items = [item for groups in self._first for group in groups for item in group.items]
        moments = [min(islice(numbers, item.width)) for item in items]
        # Two looks never are at one moment, so that among equal moments the order is that of one sequence.
        moment, first = min(zip(moments, items, strict=True), key=lambda pair: pair[0])
        if moment == _NEVER:
            return None
        if first.what == "weight":  # of one look, at whatever gradients made of them
            spoiled = {item.name: item for when, item in zip(moments, items, strict=True) if when == moment}
            near = [name for *_, name in sorted((net, -place, name) for net, place, name in self._places.values())]
            first = next((spoiled[name] for name in near if name in spoiled), first)
        step = moment // _MOMENTS
        bad = {item.name for when, item in zip(moments, items, strict=True) if when // _MOMENTS == step}
        return Finding(step=step, what=first.what, net=first.net, name=first.name, others=len(bad) - 1)

    def forget(self) -> None:
        """Begins anew, after the nets were given good weights again."""
        self._pending.clear()
        self._versions = None
        for first in self._first.values():
            first.fill_(_NEVER)

    @torch.no_grad()
    def _settle(self) -> None:
        """Notes the moment of what is bad among all that was handed over since the last time."""
        if not self._pending:
            return
        key = tuple(group for group, _ in self._pending)
        values = torch.hstack([part for _, parts in self._pending for part in parts])
        self._pending.clear()
        first = self._first.get(key)
        if first is None:
            first = self._first[key] = torch.full_like(values, _NEVER, dtype=torch.int64)
        fine = (values - values) == 0  # neither infinity minus infinity nor not-a-number is 0
        torch.minimum(first, torch.where(fine, _NEVER, self._clock), out=first)
        self._clock += 1

    def _gradient_group(self, parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor]) -> _Group:
        found: list[tuple[int, int, int, str]] = []  # the nearest to the loss first
        for order, (parameter, gradient) in enumerate(zip(parameters, gradients, strict=True)):
            if id(parameter) not in self._places:
                raise ValueError(f"parameter {order} of shape {tuple(parameter.shape)} is of none of the nets watched.")
            number, place, name = self._places[id(parameter)]
            if gradient.numel():
                found.append((number, -place, order, name))
        found.sort()
        nets = list(self._nets)
        items = tuple(_Item("gradient", nets[number], name) for number, _, _, name in found)
        return _Group(items, tuple(order for _, _, order, _ in found))

    def _net_of(self, loss: str) -> str:
        """The net that a loss such as `loss/generator` is named after."""
        return next((net for net in self._nets if net in loss.split("/")), "")

    def _current_versions(self) -> list[int]:
        """PyTorch's counts of how often each tensor was written to, which the host knows."""
        return [tensor._version for tensors in (self._large, self._small) for tensor in tensors]


def _is_mask(buffer: Tensor) -> bool:
    """Whether a net's own constants are infinite on purpose, as attention's masks are."""
    return bool(buffer.isinf().any()) and not bool(buffer.isnan().any())


def _norms(tensors: list[Tensor], order: float) -> list[Tensor]:
    """Norms of tensors of one type; of float16 and bfloat16 in float32, which holds their squares."""
    if not tensors:
        return []
    half = tensors[0].dtype in (torch.float16, torch.bfloat16)
    return list(torch._foreach_norm(tensors, order, dtype=torch.float32 if half else None))


def _largest(tensors: list[Tensor]) -> list[Tensor]:
    """The largest absolute value of each tensor; it is finite where all are. One or two kernels for all on CUDA."""
    return _norms(tensors, math.inf)


def _sums(tensors: list[Tensor]) -> list[Tensor]:
    """The sum of each tensor, on the CPU, where PyTorch takes eight times as long for the largest absolute value.

    It also overflows where a tensor of a layer's size has numbers above 1e31 or so, in float32.
    """
    return [tensor.sum(dtype=torch.float32 if tensor.dtype == torch.float16 else None) for tensor in tensors]
