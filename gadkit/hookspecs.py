"""The hooks of gadkit: what a plugin may implement, each with its contract and an example.

A plugin is a module, named by an entry point of the group `gadkit`, with functions decorated by
`gadkit.hookimpl`. The component hooks take no argument and return plain `gadkit.Component` records; they are
called for listings, help and completion, so a plugin's module must be cheap to import: no torch, no networks.
The lifecycle hooks are called while a run goes on, on the first process only, one after another in a thread of their
own, so that none holds up a step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pluggy

from gadkit.component import Component

hookspec = pluggy.HookspecMarker("gadkit")
#: Marks a function or a method as the implementation of the hook that has its name: `@hookimpl`.
hookimpl = pluggy.HookimplMarker("gadkit")


@hookspec
def gadkit_generators() -> list[Component]:
    """Generators: classes that implement `gadkit.Generator`, codes `(B, T, Z)` to video `(B, T, C, H, W)`.

    Example:
        ```python
        from gadkit import Component, hookimpl

        @hookimpl
        def gadkit_generators():
            return [Component(name="sparkle", summary="Sparkling frames", target="gadkit_sparkle.nets:Sparkle")]
        ```
    """
    raise AssertionError  # a specification is never called


@hookspec
def gadkit_assemblers() -> list[Component]:
    """Assemblers: classes that implement `gadkit.VideoAssembler`, noise and times to the code of every frame.

    Example:
        ```python
        @hookimpl
        def gadkit_assemblers():
            return [Component(name="drift", summary="A straight line", target="gadkit_sparkle.drift:Drift")]
        ```
    """
    raise AssertionError


@hookspec
def gadkit_discriminators() -> list[Component]:
    """Discriminators: classes that implement `gadkit.Discriminator`, video to logits.

    Example:
        ```python
        @hookimpl
        def gadkit_discriminators():
            return [Component(name="patch", summary="Patch logits", target="gadkit_sparkle.nets:Patch")]
        ```
    """
    raise AssertionError


@hookspec
def gadkit_losses() -> list[Component]:
    """Losses: classes that implement `gadkit.Loss`, logits to the two players' losses.

    Example:
        ```python
        @hookimpl
        def gadkit_losses():
            return [Component(name="logistic", summary="...", target="gadkit_sparkle.losses:Logistic")]
        ```
    """
    raise AssertionError


@hookspec
def gadkit_penalties() -> list[Component]:
    """Penalties: classes that implement `gadkit.Penalty`, added to the discriminator's loss.

    Example:
        ```python
        @hookimpl
        def gadkit_penalties():
            return [Component(name="dragan", summary="...", target="gadkit_sparkle.penalties:Dragan")]
        ```
    """
    raise AssertionError


@hookspec
def gadkit_augmentations() -> list[Component]:
    """Augmentations: classes that implement `gadkit.Augmentation`, changes of what the discriminator sees.

    Example:
        ```python
        @hookimpl
        def gadkit_augmentations():
            return [Component(name="blur", summary="...", target="gadkit_sparkle.augmentations:Blur")]
        ```
    """
    raise AssertionError


@hookspec
def gadkit_directions() -> list[Component]:
    """Directions: classes that implement `gadkit.Direction`, how the players' gradients become steps.

    Example:
        ```python
        @hookimpl
        def gadkit_directions():
            return [Component(name="lookahead", summary="...", target="gadkit_sparkle.directions:Lookahead")]
        ```
    """
    raise AssertionError


@hookspec
def gadkit_refiners() -> list[Component]:
    """Refiners: classes that implement `gadkit.Refiner`, latents moved along the discriminator's gradient.

    Example:
        ```python
        @hookimpl
        def gadkit_refiners():
            return [Component(name="langevin", summary="...", target="gadkit_sparkle.refiners:Langevin")]
        ```
    """
    raise AssertionError


@hookspec
def gadkit_trainers() -> list[Component]:
    """Trainers: classes that implement `gadkit.Trainer` and own the training loop.

    Example:
        ```python
        @hookimpl
        def gadkit_trainers():
            return [Component(name="progressive", summary="...", target="gadkit_sparkle.train:Progressive")]
        ```
    """
    raise AssertionError


@hookspec
def gadkit_datasets() -> list[Component]:
    """Datasets: classes that implement `gadkit.Dataset`, where clips come from.

    Example:
        ```python
        @hookimpl
        def gadkit_datasets():
            return [Component(name="zarr", summary="Videos in Zarr arrays", target="gadkit_zarr.data:Zarr")]
        ```
    """
    raise AssertionError


@hookspec
def gadkit_features() -> list[Component]:
    """Feature networks: classes that implement `gadkit.Features`, what videos are measured in.

    Example:
        ```python
        @hookimpl
        def gadkit_features():
            return [Component(name="slowfast", summary="...", target="gadkit_sparkle.slowfast:SlowFast")]
        ```
    """
    raise AssertionError


@hookspec
def gadkit_metrics() -> list[Component]:
    """Metrics: classes that implement `gadkit.VideoMetric`, numbers about sets of videos.

    Example:
        ```python
        @hookimpl
        def gadkit_metrics():
            return [Component(name="sharpness", summary="...", target="gadkit_sparkle.metrics:Sharpness")]
        ```
    """
    raise AssertionError


@hookspec
def gadkit_protocols() -> list[Component]:
    """Protocols: TOML files that fix how a number is measured; `target` is `"package:file.toml"`.

    Example:
        ```python
        @hookimpl
        def gadkit_protocols():
            return [Component(name="sparkle1k", summary="...", target="gadkit_sparkle:sparkle1k.toml")]
        ```
    """
    raise AssertionError


@hookspec
def gadkit_recipes() -> list[Component]:
    """Recipes: TOML files that choose every part of a run; `target` is `"package:file.toml"`.

    Example:
        ```python
        @hookimpl
        def gadkit_recipes():
            return [Component(name="sparkle", summary="...", target="gadkit_sparkle:sparkle.toml")]
        ```
    """
    raise AssertionError


@hookspec
def gadkit_trackers() -> list[Component]:
    """Trackers: classes that implement `gadkit.Tracker` and show a run somewhere else while it goes on.

    Example:
        ```python
        @hookimpl
        def gadkit_trackers():
            return [Component(name="board", summary="...", target="gadkit_sparkle.board:Board")]
        ```
    """
    raise AssertionError


@hookspec
def gadkit_commands() -> list[Component]:
    """Subcommands of `gadkit`: each target is a Typer application or a function, imported when it is called.

    Example:
        ```python
        @hookimpl
        def gadkit_commands():
            return [Component(name="morph", summary="Blend two videos", target="gadkit_sparkle.cli:morph")]
        ```
    """
    raise AssertionError


@hookspec
def gadkit_run_started(folder: Path, config: dict[str, Any], step: int) -> None:
    """A run begins or goes on.

    Args:
        folder: The run's folder.
        config: The complete configuration, as it stands in `config.toml`.
        step: The step that training starts from: 0 for a new run.

    Example:
        ```python
        @hookimpl
        def gadkit_run_started(folder, config, step):
            print(f"{folder} starts at step {step}")
        ```
    """


@hookspec
def gadkit_step_logged(folder: Path, step: int, values: dict[str, float]) -> None:
    """A line was written to the log.

    Args:
        folder: The run's folder.
        step: The step that the values belong to.
        values: Name to number, as in `log.jsonl`.

    Example:
        ```python
        @hookimpl
        def gadkit_step_logged(folder, step, values):
            board.add_scalars("train", values, step)
        ```
    """


@hookspec
def gadkit_event_logged(folder: Path, step: int, event: str, text: str) -> None:
    """Something happened that is worth knowing: a warning, or that the run went back to a checkpoint.

    Args:
        folder: The run's folder.
        step: The step after which it stands in the log.
        event: `"warning"`; `"rollback"` or `"given up"`, where the run went back to `step` and what came after it
            has not happened; ...
        text: What happened, in words.

    Example:
        ```python
        @hookimpl
        def gadkit_event_logged(folder, step, event, text):
            board.add_text(event, text, step)
        ```
    """


@hookspec
def gadkit_samples_written(folder: Path, step: int, path: Path) -> None:
    """A file of samples was written.

    Args:
        folder: The run's folder.
        step: The step whose generator made the samples.
        path: The file.

    Example:
        ```python
        @hookimpl
        def gadkit_samples_written(folder, step, path):
            board.add_video(path, step)
        ```
    """


@hookspec
def gadkit_run_ended(folder: Path, step: int, reason: str) -> None:
    """A run ended.

    Args:
        folder: The run's folder.
        step: The last step.
        reason: `"finished"`, `"stopped"` (a signal or the time limit) or `"failed"`.

    Example:
        ```python
        @hookimpl
        def gadkit_run_ended(folder, step, reason):
            print(f"{folder}: {reason} at step {step}")
        ```
    """
