"""What this plugin offers: feature networks."""

from __future__ import annotations

from gadkit import Component, hookimpl


@hookimpl
def gadkit_features() -> list[Component]:
    """The networks."""
    return [
        Component(
            name="i3d",
            summary="I3D's Kinetics-400 logits, the literature's FVD",
            target="gadkit_plugins.features.i3d:I3D",
            source="Carreira & Zisserman 2017, arXiv:1705.07750; Unterthiner et al. 2018, arXiv:1812.01717",
        ),
        Component(
            name="effnet-lite0",
            summary="EfficientNet-Lite0's pooled features of single frames (ImageNet)",
            target="gadkit_plugins.features.effnet_lite:EfficientNetLite0",
            source="Tan & Le 2019, arXiv:1905.11946",
        ),
        Component(
            name="videomae",
            summary="VideoMAE fine-tuned on SSv2, by transformers where that is installed",
            target="gadkit_plugins.features.videomae:VideoMAE",
            source="Tong et al. 2022, arXiv:2203.12602; Ge et al. 2024, arXiv:2404.12391",
        ),
        Component(
            name="random-r3d",
            summary="a fixed random 3D residual net: offline, quick; comparable with nothing published",
            target="gadkit_plugins.features.random_r3d:RandomR3D",
            source="Naeem et al. 2020, arXiv:2002.09797; Lee et al. 2022, arXiv:2208.09218",
        ),
    ]
