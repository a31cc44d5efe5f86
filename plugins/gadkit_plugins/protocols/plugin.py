"""What this plugin offers: protocols, the TOML files beside this module."""

from __future__ import annotations

from gadkit import Component, hookimpl

_STYLEGAN_V = "Skorokhodov et al. 2022, arXiv:2112.14683"


@hookimpl
def gadkit_protocols() -> list[Component]:
    """The protocols."""
    return [
        Component(
            name="gadkit",
            summary="seeded clips of the held-out videos, ten resamplings by halves, the real-against-real floor",
            target="gadkit_plugins.protocols:gadkit.toml",
        ),
        Component(
            name="quick",
            summary="a quick look while training: few clips, a small random network; nothing to quote",
            target="gadkit_plugins.protocols:quick.toml",
        ),
        Component(
            name="fvd2048_16f",
            summary="StyleGAN-V's FVD of 2,048 clips of 16 frames",
            target="gadkit_plugins.protocols:fvd2048_16f.toml",
            source=_STYLEGAN_V,
        ),
        Component(
            name="fvd2048_128f",
            summary="StyleGAN-V's FVD of 2,048 clips of 128 frames",
            target="gadkit_plugins.protocols:fvd2048_128f.toml",
            source=_STYLEGAN_V,
        ),
        Component(
            name="cd-fvd",
            summary="the cd-fvd package's FVD with its I3D: 256×256, 2,048 clips of 16 frames against all videos",
            target="gadkit_plugins.protocols:cd-fvd.toml",
            source="Ge et al. 2024, arXiv:2404.12391",
        ),
    ]
