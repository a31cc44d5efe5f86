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
            summary="residual nets in the relativistic game with R1, a walk judged by few frames; 64x64, 16 frames",
            target="gadkit_plugins.recipes:gad.toml",
            source="Huang et al. 2024, arXiv:2501.05441 (R3GAN); Skorokhodov et al. 2022, arXiv:2112.14683",
        ),
        Component(
            name="article",
            summary="the GAD article's networks, loss and batch; 28x28, every frame on its own",
            target="gadkit_plugins.recipes:article.toml",
            source="Gradient-based Adversarial Direction (GAD)",
        ),
        Component(
            name="mocogan",
            summary="one content and a recurrent motion, judged as frames and as clips; 64x64, 16 frames",
            target="gadkit_plugins.recipes:mocogan.toml",
            source="Tulyakov et al. 2018, arXiv:1707.04993",
        ),
        Component(
            name="lstm",
            summary="the dcgan recipe with an LSTM over the frames; 64x64, 16 frames",
            target="gadkit_plugins.recipes:lstm.toml",
            source="Hochreiter & Schmidhuber 1997; Tulyakov et al. 2018, arXiv:1707.04993",
        ),
        Component(
            name="transformer",
            summary="the dcgan recipe with a causal transformer over the frames; 64x64, 16 frames",
            target="gadkit_plugins.recipes:transformer.toml",
            source="Vaswani et al. 2017, arXiv:1706.03762",
        ),
        Component(
            name="vae",
            summary="a variational autoencoder on dcgan's nets; 64x64, 16 frames",
            target="gadkit_plugins.recipes:vae.toml",
            source="Kingma & Welling 2014, arXiv:1312.6114",
        ),
    ]
