"""What this plugin offers: metrics."""

from __future__ import annotations

from gadkit import Component, hookimpl


@hookimpl
def gadkit_metrics() -> list[Component]:
    """The metrics."""
    return [
        Component(
            name="fvd",
            summary="Fréchet distance of clips",
            target="gadkit_plugins.metrics.frechet:FrechetVideoDistance",
            source="Unterthiner et al. 2018, arXiv:1812.01717",
        ),
        Component(
            name="kvd",
            summary="kernel distance of clips: unbiased, polynomial kernel of degree 3",
            target="gadkit_plugins.metrics.kernel:KernelVideoDistance",
            source="Unterthiner et al. 2018, arXiv:1812.01717; Binkowski et al. 2018, arXiv:1801.01401",
        ),
        Component(
            name="fid",
            summary="Fréchet distance of single frames (torchmetrics)",
            target="gadkit_plugins.metrics.frames:FrameFrechetDistance",
            source="Heusel et al. 2017, arXiv:1706.08500",
        ),
        Component(
            name="kid",
            summary="kernel distance of single frames (torchmetrics)",
            target="gadkit_plugins.metrics.frames:FrameKernelDistance",
            source="Binkowski et al. 2018, arXiv:1801.01401",
        ),
        Component(
            name="is",
            summary="Inception score by a network's class scores (torchmetrics)",
            target="gadkit_plugins.metrics.frames:InceptionScore",
            source="Salimans et al. 2016, arXiv:1606.03498",
        ),
        Component(
            name="prdc",
            summary="precision, recall, density and coverage",
            target="gadkit_plugins.metrics.manifold:PrecisionRecallDensityCoverage",
            source="Kynkäänniemi et al. 2019, arXiv:1904.06991; Naeem et al. 2020, arXiv:2002.09797",
        ),
        Component(
            name="memorisation",
            summary="whether clips lie nearer to the training clips than held-out clips do",
            target="gadkit_plugins.metrics.memorisation:Memorisation",
            source="Meehan et al. 2020, arXiv:2004.05675",
        ),
        Component(
            name="motion",
            summary="frozen, flickering, shuffled and looping clips; the spectrum of frame differences",
            target="gadkit_plugins.metrics.motion:MotionStatistics",
        ),
    ]
