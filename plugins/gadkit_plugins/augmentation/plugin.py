"""What this plugin offers: augmentation of what the discriminator sees."""

from __future__ import annotations

from gadkit import Component, hookimpl


@hookimpl
def gadkit_augmentations() -> list[Component]:
    """The augmentation."""
    return [
        Component(
            name="diffaugment",
            summary="colour, translation and cutout, the same for every frame of a clip",
            target="gadkit_plugins.augmentation.diffaugment:DiffAugment",
            source="Zhao et al. 2020, arXiv:2006.10738; Karras et al. 2020, arXiv:2006.06676 (adaptive strength)",
        ),
    ]
