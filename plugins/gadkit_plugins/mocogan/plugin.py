"""What this plugin offers: MoCoGAN's pair of discriminators."""

from __future__ import annotations

from gadkit import Component, hookimpl


@hookimpl
def gadkit_discriminators() -> list[Component]:
    """The pair."""
    return [
        Component(
            name="dual",
            summary="one net for single frames and one for clips, each with patches of its own",
            target="gadkit_plugins.mocogan.dual:DualDiscriminator",
            source="Tulyakov et al. 2018, arXiv:1707.04993 (MoCoGAN)",
        ),
    ]
