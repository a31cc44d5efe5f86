"""Gradients of gradients: saying what to do where the nets have none."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import nn

from gadkit.errors import ConfigError

#: How PyTorch says that something cannot be differentiated again, with the operation where it names one.
_REFUSALS = re.compile(
    r"derivative for '?(?:aten::)?(?P<operation>\w+)'? is not implemented"
    r"|differentiate twice a function that was marked"
)
#: How compiled code says it, the second way where the strides of a gradient are not those that it was compiled for.
_COMPILED = re.compile(r"does not currently support double backward|leaf Variable .* used in an in-place operation")


@contextmanager
def refused(asking: Mapping[str, str], nets: Mapping[str, nn.Module]) -> Iterator[None]:
    """A block in which PyTorch's refusal to differentiate something twice becomes an error that says what to do.

    Args:
        asking: What needs second derivatives in the block, by its kind: `{"penalty": "penalty 'r1'"}`; `penalty` and
            `direction` have ways out of their own. Where nothing does, the block is left alone.
        nets: What is differentiated, by the names of their sections.

    Raises:
        ConfigError: A net has no second derivatives; the sentence names who needs them, and the ways out.
    """
    try:
        yield
    except RuntimeError as error:
        refusal = _REFUSALS.search(str(error))
        compiled = _COMPILED.search(str(error)) is not None and _is_compiled(error)
        if not asking or not (refusal or compiled):
            raise
        raise _explain(asking, nets, "" if refusal is None else refusal["operation"] or "", compiled) from error


def _is_compiled(error: BaseException) -> bool:
    """Whether an error comes out of what `torch.compile` made."""
    return any("_aot_autograd" in frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__))


def _explain(asking: Mapping[str, str], nets: Mapping[str, nn.Module], operation: str, compiled: bool) -> ConfigError:
    """The error: who needs the second derivative, what has none, and the ways out, the cheapest first."""
    names = list(asking.values())
    verb = "needs" if len(names) == 1 else "need"
    ways = ["--penalty approx-r1r2, which needs none"] if "penalty" in asking else []
    ways += ["another --direction, such as alternating"] if "direction" in asking else []
    if "rnn" in operation or "lstm" in operation or "gru" in operation:
        what = "a fused recurrent layer" + _named(nets, nn.RNNBase)
        ways.append(
            "compute that layer inside torch.backends.cudnn.flags(enabled=False), or from cells such as nn.LSTMCell"
        )
    elif "attention" in operation:
        what = "fused attention" + _named(nets, nn.MultiheadAttention)
        ways.append("compute it inside torch.nn.attention.sdpa_kernel(SDPBackend.MATH)")
    elif compiled:
        what = "a compiled network"
        ways.append("leave torch.compile away")
    else:
        what = f"the operation {operation}" if operation else "an operation"
        ways.append("compute it by others that have one")
    return ConfigError(
        f"{' and '.join(names)} {verb} the derivative of a gradient through the nets, and PyTorch has none for {what}; "
        f"choose {', or '.join(ways[:-1])}, or {ways[-1]}."
    )


def _named(nets: Mapping[str, nn.Module], kind: type[nn.Module]) -> str:
    """Where such layers are: `" (discriminator.memory: nn.LSTM)"`; empty where none is found by its class."""
    for net, module in nets.items():
        for name, layer in module.named_modules():
            if isinstance(layer, kind):
                return f" ({net}.{name}: nn.{type(layer).__name__})"
    return ""
