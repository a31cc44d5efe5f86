"""What this package offers; imports no torch, so that listings stay quick."""

from gadkit import Component, hookimpl


@hookimpl
def gadkit_generators() -> list[Component]:
    """The generators."""
    return [Component(name="shimmer", summary="one linear map a frame", target="gadkit_shimmer.parts:Shimmer")]


@hookimpl
def gadkit_losses() -> list[Component]:
    """The losses."""
    return [Component(name="logcosh", summary="a soft lsgan", target="gadkit_shimmer.parts:LogCosh")]
