"""What this plugin offers: the variational trainer."""

from __future__ import annotations

from gadkit import Component, hookimpl


@hookimpl
def gadkit_trainers() -> list[Component]:
    """The trainer."""
    return [
        Component(
            name="vae",
            summary="a variational autoencoder, with or without an adversarial term",
            target="gadkit_plugins.vae.trainer:VaeTrainer",
            source="Kingma & Welling 2014, arXiv:1312.6114; Larsen et al. 2016, arXiv:1512.09300 (VAE-GAN)",
        ),
    ]
