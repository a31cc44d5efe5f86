"""Components whose records and settings break one promise each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field
from torch import Tensor
from torch.nn.functional import softplus

from gadkit import Loss
from planted.table import planter

if TYPE_CHECKING:
    from decimal import Decimal

plant = planter("loss")


class Tempered(Loss):
    """Sound: the non-saturating loss of logits over a temperature.

    Args:
        temperature: Above 1 the players see softer decisions.
    """

    def __init__(self, *, temperature: Annotated[float, Field(gt=0)] = 1.0) -> None:
        self.temperature = temperature

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(-real / self.temperature).mean() + softplus(fake / self.temperature).mean()

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return softplus(-fake / self.temperature).mean()


@plant("a setting without a type", "has a type, by which values are checked", "annotate it", aspect="record")
class NoType(Tempered):
    """A loss.

    Args:
        temperature: Above 1 the players see softer decisions.
    """

    def __init__(self, *, temperature=None) -> None:  # type: ignore[no-untyped-def]
        super().__init__(temperature=1.0 if temperature is None else temperature)


@plant("a setting of any type", "has a type, by which values are checked", "annotate it", aspect="record")
class AnyType(Tempered):
    """A loss.

    Args:
        temperature: Above 1 the players see softer decisions.
    """

    def __init__(self, *, temperature: Any = 1.0) -> None:
        super().__init__(temperature=temperature)


@plant("a setting without a meaning", "has a meaning, for `gadkit plugins show`", "under `Args:`", aspect="record")
class NoMeaning(Tempered):
    """A loss."""

    def __init__(self, *, coolness: Annotated[float, Field(gt=0)] = 1.0) -> None:
        super().__init__(temperature=1 / coolness)


@plant("a default out of its own range", "is one of its own values", "change the default", aspect="record")
class DefaultOutOfRange(Tempered):
    """A loss.

    Args:
        temperature: Above 1 the players see softer decisions.
    """

    def __init__(self, *, temperature: Annotated[float, Field(gt=1)] = 1.0) -> None:
        super().__init__(temperature=temperature)


@plant("a default of another type", "is one of its own values", "`| None` lets it be nothing", aspect="record")
class DefaultOfNothing(Tempered):
    """A loss.

    Args:
        temperature: Above 1 the players see softer decisions.
    """

    def __init__(self, *, temperature: Annotated[float, Field(gt=0)] = None) -> None:  # type: ignore[assignment]  # noqa: RUF013
        super().__init__(temperature=temperature or 1.0)


@plant("a setting without a default", "have defaults with which it works", "give each a default", aspect="record")
class NoDefault(Tempered):
    """A loss.

    Args:
        temperature: Above 1 the players see softer decisions.
    """

    def __init__(self, *, temperature: Annotated[float, Field(gt=0)]) -> None:
        super().__init__(temperature=temperature)


@plant("a setting by place", "takes its settings as keyword-only arguments", "write a `*` before", aspect="record")
class ByPlace(Tempered):
    """A loss.

    Args:
        temperature: Above 1 the players see softer decisions.
    """

    def __init__(self, temperature: Annotated[float, Field(gt=0)] = 1.0) -> None:
        super().__init__(temperature=temperature)


@plant("a type that cannot be resolved", "can be read from its signature", "import or rename it", aspect="record")
class TypeForCheckersAlone(Tempered):
    """A loss.

    Args:
        temperature: Above 1 the players see softer decisions.
    """

    def __init__(self, *, temperature: Decimal = 1.0) -> None:  # type: ignore[assignment]
        super().__init__(temperature=float(temperature))


@plant("a setting named as configurations name parts", "can be read from its signature", "rename it", aspect="record")
class NamedUse(Tempered):
    """A loss.

    Args:
        use: Above 1 the players see softer decisions.
    """

    def __init__(self, *, use: Annotated[float, Field(gt=0)] = 1.0) -> None:
        super().__init__(temperature=use)


@plant("settings of any name", "names all of its settings", "name each setting in the signature", aspect="record")
class TakesAny(Tempered):
    """A loss."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)


@plant("no docstring", "says in its docstring what it does", "write one", aspect="record")
class NoDocstring(Tempered):
    pass


@plant("a default that all instances share", "shares nothing that changes with another one", "keep it in `self`")
class SharesDefault(Tempered):
    """A loss.

    Args:
        temperatures: Of each call; the last one is repeated.
    """

    def __init__(self, *, temperatures: list[float] = [1.0]) -> None:  # noqa: B006
        super().__init__()
        temperatures.append(temperatures[-1])
