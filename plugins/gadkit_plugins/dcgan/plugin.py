"""What this plugin offers: the DCGAN family of networks."""

from __future__ import annotations

from gadkit import Component, hookimpl

_DCGAN = "Radford et al. 2016, arXiv:1511.06434"
_ARTICLE = "Gradient-based Adversarial Direction (GAD)"


@hookimpl
def gadkit_generators() -> list[Component]:
    """The frame generators."""
    return [
        Component(
            name="dcgan",
            summary="transposed convolutions, frame by frame",
            target="gadkit_plugins.dcgan.generator:Generator",
            source=_DCGAN,
        ),
        Component(
            name="dcgan-article",
            summary="the GAD article's generator, made for 28x28",
            target="gadkit_plugins.dcgan.article:ArticleGenerator",
            source=_ARTICLE,
        ),
    ]


@hookimpl
def gadkit_discriminators() -> list[Component]:
    """The discriminators of frames and of clips."""
    return [
        Component(
            name="dcgan-frame",
            summary="strided convolutions, looks at single frames",
            target="gadkit_plugins.dcgan.frame:FrameDiscriminator",
            source=_DCGAN,
        ),
        Component(
            name="dcgan-clip",
            summary="strided 3D convolutions, looks at whole clips",
            target="gadkit_plugins.dcgan.clip:ClipDiscriminator",
            source="Vondrick et al. 2016, arXiv:1609.02612",
        ),
        Component(
            name="dcgan-article",
            summary="the GAD article's discriminator, made for 28x28",
            target="gadkit_plugins.dcgan.article:ArticleDiscriminator",
            source=_ARTICLE,
        ),
    ]
