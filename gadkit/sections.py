"""The sections of a configuration that are about no component: the run, the shape of the clips, the choice of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class RunSettings(BaseModel):
    """The section `[run]`: how long a run goes on, and what it writes when.

    Args:
        steps: Updates of the generator in the whole run.
        max_time: Seconds after which a training stops with a checkpoint, counted from when it was started or resumed;
            by default it has no limit.
        log_every: Steps between two lines of the log.
        sample_every: Steps between two files of samples.
        samples: Videos in the grid of samples.
        checkpoint_every: Steps between two checkpoints, or a time such as `"10m"`.
        keep: Newest checkpoints that stay.
        keep_every: Checkpoints at multiples of so many steps stay too.
        best: A logged value by which the best checkpoint is told, which stays too.
        best_is: Whether the best is the lowest or the highest.
        rollbacks: How often a run whose numbers are no longer finite goes back to a checkpoint before it gives up,
            counted from the last checkpoint beyond the trouble.
        rollback_rate: What the learning rates are multiplied by from the second time on that it goes back.
        deterministic: Ask PyTorch for deterministic algorithms on CUDA, at some cost, so that resuming is exact there.
        init_from: A run or model whose weights the run begins with.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    steps: Annotated[int, Field(gt=0)] = 5000
    max_time: Annotated[float, Field(gt=0)] | None = None
    log_every: Annotated[int, Field(gt=0)] = 10
    sample_every: Annotated[int, Field(gt=0)] = 500
    samples: Annotated[int, Field(gt=0, le=1024)] = 16
    checkpoint_every: Annotated[int, Field(gt=0)] | Annotated[str, Field(pattern=r"^\d+(\.\d+)?[smhd]$")] = 500
    keep: Annotated[int, Field(gt=0)] = 3
    keep_every: Annotated[int, Field(gt=0)] | None = None
    best: Annotated[str, Field(min_length=1)] | None = None
    best_is: Literal["lowest", "highest"] = "lowest"
    rollbacks: Annotated[int, Field(ge=0)] = 3
    rollback_rate: Annotated[float, Field(gt=0, le=1)] = 0.5
    deterministic: bool = False
    init_from: Annotated[str, Field(min_length=1)] | None = None


class EvaluationSettings(BaseModel):
    """The section `[evaluation]`: what is measured while a run goes on.

    Args:
        every: Steps between two evaluations; by default there is none.
        protocol: How they are made; `quick` takes seconds.
        metrics: What is measured, in place of the protocol's choice; the first value tells the best checkpoint, where
            `run.best` does not.
        features: The networks to measure in, in place of the protocol's.
        clips: The most clips of each side, in place of the protocol's number.
        frames: Frames of a clip, in place of the protocol's number.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    every: Annotated[int, Field(gt=0)] | None = None
    protocol: Annotated[str, Field(min_length=1)] = "quick"
    metrics: Annotated[list[str], Field(min_length=1)] | None = None
    features: Annotated[list[str], Field(min_length=1, max_length=2)] | None = None
    clips: Annotated[int, Field(gt=1)] | None = None
    frames: Annotated[int, Field(gt=0)] | None = None


class VideoSettings(BaseModel):
    """The section `[video]`: the clips that a run trains on.

    Args:
        height: Height in pixels.
        width: Width in pixels.
        frames: Frames of a training clip.
        stride: Every how many frames of the footage one is taken.
        fps: Frame rate in Hz that footage is resampled to, by its timestamps and before `stride`; by default every
            frame is kept.
        fit: What becomes of another aspect ratio: `crop` cuts about the centre, `letterbox` fills up with the
            background, `stretch` distorts.
        background: The colour behind transparent pixels.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    height: Annotated[int, Field(gt=0)] = 64
    width: Annotated[int, Field(gt=0)] = 64
    frames: Annotated[int, Field(gt=0)] = 16
    stride: Annotated[int, Field(gt=0)] = 1
    fps: Annotated[float, Field(gt=0, le=1000)] | None = None
    fit: Literal["crop", "letterbox", "stretch"] = "crop"
    background: Annotated[str, Field(min_length=1)] = "white"

    @property
    def span(self) -> int:
        """Frames of footage that a clip takes up."""
        return (self.frames - 1) * self.stride + 1


class ClipSettings(BaseModel):
    """The section `[clips]`: which clips of the videos a run sees.

    Args:
        offset: Where a clip begins in its video: `random`, anew at every visit, or `fixed`.
        per_video: Clips that an epoch takes of every video; `"length"` takes as many as fit one after the other, so
            that a long video weighs more.
        flip: Whether half of the clips, at random, are mirrored left to right.
        held_out: The share of groups that is never trained on.
        group: What is held out or trained on as a whole: `file`, `folder`, `regex:PATTERN` in a video's name, or
            `column:NAME` of the table of labels.
        resident: Whether all frames lie in the device's memory; `auto`: where they take no more than a quarter of
            what is free.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    offset: Literal["random", "fixed"] = "random"
    per_video: Annotated[int, Field(gt=0, le=1_000_000)] | Literal["length"] = 1
    flip: bool = False
    held_out: Annotated[float, Field(ge=0, lt=1)] = 0.0
    group: Annotated[str, Field(min_length=1)] = "file"
    resident: Literal["auto", "always", "never"] = "auto"
