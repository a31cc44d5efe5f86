"""What this package offers; imports no torch, so that listings stay quick."""

from gadkit import Component, hookimpl


@hookimpl
def gadkit_directions() -> list[Component]:
    """The direction."""
    return [
        Component(
            name="lookahead",
            summary="alternating steps; every k of them both players go back towards where they were",
            target="gadkit_lookahead.lookahead:Lookahead",
            source="Chavdarova et al. 2021, arXiv:2006.14567, algorithm 1",
        )
    ]
