"""What this plugin offers: recipes, the TOML files beside this module."""

from __future__ import annotations

from gadkit import Component, hookimpl


@hookimpl
def gadkit_recipes() -> list[Component]:
    """The recipes."""
    return [
        Component(
            name="demo",
            summary="the dcgan recipe at 32x32, small enough for a laptop's first try",
            target="gadkit_plugins.recipes:demo.toml",
            source="Radford et al. 2016, arXiv:1511.06434; Huang et al. 2024, arXiv:2501.05441",
        ),
        Component(
            name="dcgan",
            summary="DCGAN frames along a smooth walk, judged as clips; 64x64, 16 frames",
            target="gadkit_plugins.recipes:dcgan.toml",
            source="Radford et al. 2016, arXiv:1511.06434; Huang et al. 2024, arXiv:2501.05441",
        ),
        Component(
            name="gad",
            summary="the relativistic pairing game with R1 and R2, for longer trainings; 64x64, 16 frames",
            target="gadkit_plugins.recipes:gad.toml",
            source="Huang et al. 2024, arXiv:2501.05441 (R3GAN)",
        ),
        Component(
            name="article",
            summary="the GAD article's networks, loss and batch; 28x28, every frame on its own",
            target="gadkit_plugins.recipes:article.toml",
            source="Gradient-based Adversarial Direction (GAD)",
        ),
    ]
