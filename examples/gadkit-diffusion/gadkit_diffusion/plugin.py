"""What this package offers; imports no torch, so that listings stay quick."""

from gadkit import Component, hookimpl


@hookimpl
def gadkit_augmentations() -> list[Component]:
    """The augmentation."""
    return [
        Component(
            name="diffusion",
            summary="noise of a forward diffusion, at a level drawn for every clip",
            target="gadkit_diffusion.diffusion:Diffusion",
            source="Wang et al. 2023, arXiv:2206.02262",
        )
    ]
