"""What this plugin offers: trackers, which show a run elsewhere while it goes on."""

from __future__ import annotations

from gadkit import Component, hookimpl


@hookimpl
def gadkit_trackers() -> list[Component]:
    """The trackers."""
    return [
        Component(
            name="csv",
            summary="one table of all logged values, for spreadsheets and pandas",
            target="gadkit_plugins.trackers.csv_table:Csv",
        ),
        Component(
            name="tensorboard",
            summary="curves, events and samples that play, in TensorBoard",
            target="gadkit_plugins.trackers.tensorboard_events:TensorBoard",
            source="https://www.tensorflow.org/tensorboard",
            requires=("tensorboard>=2.16",),
        ),
        Component(
            name="wandb",
            summary="curves, events and samples that play, at Weights & Biases",
            target="gadkit_plugins.trackers.wandb_run:Wandb",
            source="https://docs.wandb.ai",
            requires=("wandb>=0.30",),
        ),
    ]
