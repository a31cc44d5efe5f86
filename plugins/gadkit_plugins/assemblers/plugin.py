"""What this plugin offers: assemblers without parameters."""

from __future__ import annotations

from gadkit import Component, hookimpl


@hookimpl
def gadkit_assemblers() -> list[Component]:
    """The assemblers."""
    return [
        Component(
            name="independent",
            summary="fresh noise for every frame",
            target="gadkit_plugins.assemblers.independent:Independent",
            source="Gradient-based Adversarial Direction (GAD)",
        ),
        Component(
            name="walk",
            summary="a smooth random walk through the codes, of any length, or a closed loop",
            target="gadkit_plugins.assemblers.walk:Walk",
        ),
    ]
