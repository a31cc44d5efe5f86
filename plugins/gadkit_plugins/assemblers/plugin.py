"""What this plugin offers: assemblers, without parameters and with."""

from __future__ import annotations

from gadkit import Component, hookimpl


@hookimpl
def gadkit_assemblers() -> list[Component]:
    """The assemblers."""
    return [
        Component(
            name="independent",
            summary="fresh noise for every frame",
            target="gadkit_plugins.assemblers.independent:Independent",
            source="Gradient-based Adversarial Direction (GAD)",
        ),
        Component(
            name="walk",
            summary="a smooth random walk through the codes, of any length, or a closed loop",
            target="gadkit_plugins.assemblers.walk:Walk",
        ),
        Component(
            name="lstm",
            summary="a recurrent net that turns fresh noise into the motion of each frame",
            target="gadkit_plugins.assemblers.lstm:Lstm",
            source="Tulyakov et al. 2018, arXiv:1707.04993 (MoCoGAN)",
        ),
        Component(
            name="transformer",
            summary="a causal transformer with a sliding window over the frames before",
            target="gadkit_plugins.assemblers.transformer:Transformer",
            source="Vaswani et al. 2017, arXiv:1706.03762; Su et al. 2021, arXiv:2104.09864 (rotary positions)",
        ),
        Component(
            name="motion-codes",
            summary="continuous time: waves whose speed and phase drift, at any time without those before it",
            target="gadkit_plugins.assemblers.motion_codes:MotionCodes",
            source="Skorokhodov et al. 2022, arXiv:2112.14683 (StyleGAN-V)",
        ),
    ]
