"""Registers the directions and refiners; imports no torch."""

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
        ),
        Component(
            name="simultaneous",
            summary="both players step from the same point",
            target="gadkit_plugins.gad.simultaneous:Simultaneous",
            source="Mescheder et al. 2017, arXiv:1705.10461, algorithm 1",
        ),
        Component(
            name="optimistic",
            summary="twice the new step less the one before",
            target="gadkit_plugins.gad.optimistic:Optimistic",
            source="Daskalakis et al. 2018, arXiv:1711.00141",
        ),
        Component(
            name="extragradient",
            summary="steps along the gradient at a point ahead",
            target="gadkit_plugins.gad.extragradient:Extragradient",
            source="Gidel et al. 2019, arXiv:1802.10551",
        ),
        Component(
            name="conjugate",
            summary="steepest descent plus a share of the direction before (experimental)",
            target="gadkit_plugins.gad.conjugate:Conjugate",
            source="Naganuma & Iiduka 2023, arXiv:2203.14495",
        ),
        Component(
            name="competitive",
            summary="the equilibrium of the players' bilinear game, by conjugate gradients (experimental)",
            target="gadkit_plugins.gad.competitive:Competitive",
            source="Schaefer et al. 2020, arXiv:1910.05852",
        ),
    ]


@hookimpl
def gadkit_refiners() -> list[Component]:
    """How latents are moved along the discriminator's gradient."""
    return [
        Component(
            name="proximal",
            summary="monotone ascent of the discriminator's logit, held near the latent that was drawn",
            target="gadkit_plugins.gad.proximal:Proximal",
        ),
        Component(
            name="flow",
            summary="the gradient flow of the KL divergence, with or without noise",
            target="gadkit_plugins.gad.flow:Flow",
            source="Ansari et al. 2021, arXiv:2012.00780 (DGflow)",
        ),
    ]
