"""What this plugin offers: losses, penalties and the trainer of the two-player game."""

from __future__ import annotations

from gadkit import Component, hookimpl

_LOSSES = "gadkit_plugins.minimax.losses"
_PENALTIES = "gadkit_plugins.minimax.penalties"


@hookimpl
def gadkit_losses() -> list[Component]:
    """The losses."""
    return [
        Component(
            name="minimax",
            summary="the value function of the first GAN, as in the GAD article; zero-sum",
            target=f"{_LOSSES}:Minimax",
            source="Goodfellow et al. 2014, arXiv:1406.2661",
        ),
        Component(
            name="nonsaturating",
            summary="the generator maximises log D(G(z))",
            target=f"{_LOSSES}:NonSaturating",
            source="Goodfellow et al. 2014, arXiv:1406.2661",
        ),
        Component(
            name="hinge",
            summary="margins of 1 for the discriminator",
            target=f"{_LOSSES}:Hinge",
            source="Lim & Ye 2017, arXiv:1705.02894",
        ),
        Component(
            name="lsgan",
            summary="least squares to 1 and 0",
            target=f"{_LOSSES}:LeastSquares",
            source="Mao et al. 2017, arXiv:1611.04076",
        ),
        Component(
            name="wasserstein",
            summary="the difference of means; zero-sum, goes with wgan-gp",
            target=f"{_LOSSES}:Wasserstein",
            source="Arjovsky et al. 2017, arXiv:1701.07875",
        ),
        Component(
            name="rpgan",
            summary="relativistic pairing of real and fake; goes with r1r2",
            target=f"{_LOSSES}:RelativisticPairing",
            source="Jolicoeur-Martineau 2018, arXiv:1807.00734; Huang et al. 2024, arXiv:2501.05441",
        ),
    ]


@hookimpl
def gadkit_penalties() -> list[Component]:
    """The penalties."""
    return [
        Component(
            name="r1",
            summary="squared gradient norm at real clips",
            target=f"{_PENALTIES}:R1",
            source="Mescheder et al. 2018, arXiv:1801.04406",
        ),
        Component(
            name="r1r2",
            summary="squared gradient norm at real and at generated clips",
            target=f"{_PENALTIES}:R1R2",
            source="Mescheder et al. 2018, arXiv:1801.04406",
        ),
        Component(
            name="approx-r1r2",
            summary="r1r2 by finite differences, without double backward",
            target=f"{_PENALTIES}:ApproximateR1R2",
            source="Lin et al. 2025, arXiv:2501.08316",
        ),
        Component(
            name="wgan-gp",
            summary="gradient norm of 1 between real and generated clips",
            target=f"{_PENALTIES}:WassersteinGradient",
            source="Gulrajani et al. 2017, arXiv:1704.00028",
        ),
    ]


@hookimpl
def gadkit_trainers() -> list[Component]:
    """The trainer."""
    return [
        Component(
            name="minimax",
            summary="trains a generator against a discriminator",
            target="gadkit_plugins.minimax.trainer:MinimaxTrainer",
        )
    ]
