"""What this plugin offers: residual networks without normalisation, and a discriminator of a few frames."""

from __future__ import annotations

from gadkit import Component, hookimpl

_R3GAN = "Huang et al. 2024, arXiv:2501.05441 (R3GAN)"


@hookimpl
def gadkit_generators() -> list[Component]:
    """The generator."""
    return [
        Component(
            name="residual",
            summary="residual blocks without normalisation; can mix frames at low resolutions",
            target="gadkit_plugins.residual.generator:ResidualGenerator",
            source=_R3GAN,
        ),
    ]


@hookimpl
def gadkit_discriminators() -> list[Component]:
    """The discriminators of clips, of frames, and of a few frames with their distances."""
    return [
        Component(
            name="residual-clip",
            summary="residual blocks with (2+1)D convolutions, looks at whole clips",
            target="gadkit_plugins.residual.clip:ResidualClipDiscriminator",
            source=_R3GAN,
        ),
        Component(
            name="residual-frame",
            summary="residual blocks, looks at single frames",
            target="gadkit_plugins.residual.frame:ResidualFrameDiscriminator",
            source=_R3GAN,
        ),
        Component(
            name="sparse",
            summary="residual blocks, looks at a few frames and the times between them; for long or large videos",
            target="gadkit_plugins.residual.sparse:SparseDiscriminator",
            source="Skorokhodov et al. 2022, arXiv:2112.14683 (StyleGAN-V)",
        ),
    ]
