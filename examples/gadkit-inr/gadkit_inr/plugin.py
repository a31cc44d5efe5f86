"""What this package offers; imports no torch, so that listings stay quick."""

from gadkit import Component, hookimpl


@hookimpl
def gadkit_generators() -> list[Component]:
    """The generator."""
    return [
        Component(
            name="inr",
            summary="a network of the pixel's coordinates, whose weights the code modulates; any size",
            target="gadkit_inr.inr:ImplicitGenerator",
            source="Skorokhodov et al. 2021, arXiv:2011.12026",
        )
    ]
