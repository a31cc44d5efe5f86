"""Registers the directions; imports no torch."""

from gadkit import Component, hookimpl


@hookimpl
def gadkit_directions() -> list[Component]:
    """How the two players' gradients become steps."""
    return [
        Component(
            name="alternating",
            summary="The discriminator's steps first, then the generator's against the new discriminator",
            target="gadkit_plugins.gad.alternating:Alternating",
            source="Goodfellow et al. 2014, algorithm 1",
        )
    ]
