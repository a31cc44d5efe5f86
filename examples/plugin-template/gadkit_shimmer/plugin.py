"""What gadkit-shimmer offers. It imports no torch, so that listings and help stay quick."""

from gadkit import Component, hookimpl


@hookimpl
def gadkit_generators() -> list[Component]:
    """See `gadkit.hookspecs.gadkit_generators`."""
    return [
        Component(
            name="shimmer",
            summary="nearest-neighbour upsampling and convolutions, frame by frame",
            target="gadkit_shimmer.generator:ShimmerGenerator",
            api=1,  # the version of gadkit's plugin interface that it was written for
            source="Odena et al. 2016, https://doi.org/10.23915/distill.00003",
        ),
    ]


@hookimpl
def gadkit_losses() -> list[Component]:
    """See `gadkit.hookspecs.gadkit_losses`."""
    return [
        Component(
            name="shimmer",
            summary="least squares near the targets, linear far away",
            target="gadkit_shimmer.loss:ShimmerLoss",
            api=1,  # the version of gadkit's plugin interface that it was written for
            source="Mao et al. 2017, arXiv:1611.04076 (LSGAN)",
        ),
    ]
