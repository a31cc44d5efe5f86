"""The components keep the promises of their interfaces."""

from gadkit_shimmer.parts import LogCosh, Shimmer

from gadkit.testing import check_generator, check_loss


def test_shimmer() -> None:
    check_generator(Shimmer, latent_dim=8)


def test_logcosh() -> None:
    check_loss(LogCosh)
