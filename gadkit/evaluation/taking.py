"""What somebody named to be measured: a run, a model, or data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from gadkit.config import RunConfig
from gadkit.errors import ConfigError, DataError, PluginError
from gadkit.evaluation.subjects import DataSubject, ModelSubject, Split, Subject, shown
from gadkit.interfaces.dataset import ENDLESS, locate
from gadkit.registry import Registry
from gadkit.runs.folder import CONFIG, Run
from gadkit.runs.loading import load
from gadkit.runs.model import DESCRIPTION, WEIGHTS, Model, Refine
from gadkit.runs.opening import choose
from gadkit.video.geometry import Geometry


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What a place or an object was found to be.

    Attributes:
        name: As it is shown.
        run: The run, where it is one.
        model: The model of the run, or that it is.
        place: Where data lie, where it is neither.
    """

    name: str
    run: Run | None = None
    model: Model | None = None
    place: str = ""

    def subject(self, registry: Registry, refine: Refine | None = None, truncation: float = 1.0) -> Subject:
        """The videos: those that the model makes, or the data.

        Args:
            registry: The components.
            refine: How a model's latents are refined; see `gadkit.Model.stream`.
            truncation: What a model's normals are multiplied by; see `gadkit.runs.sampling.Variation`.

        Raises:
            ConfigError: There is no model whose latents could be.
        """
        if self.model is not None:
            step = (self.model.document or {}).get("step")
            return ModelSubject(self.model, self.name, step, refine, truncation)
        if refine is not None:
            raise ConfigError(
                f"refine: {self.name} is no model, and only what a model makes can be refined; leave it out."
            )
        if truncation != 1:
            raise ConfigError(
                f"truncation: {self.name} is no model, and only what a model draws can be truncated; leave it out."
            )
        return DataSubject(choose(registry, None, locate(self.place), {}), self.name)

    def data(self, registry: Registry, split: str) -> tuple[Subject, list[str]]:
        """The data that a run was trained on, and what is to be known about them.

        Args:
            registry: The components.
            split: `held-out`, `training` or `all`.

        Raises:
            ConfigError: It is no run, so what it is judged against has to be named.
        """
        if self.run is None:
            raise ConfigError(
                f"against: {self.name} is no run, so what it is measured against is not known; name videos with "
                "--against."
            )
        try:
            config = RunConfig.resolve(registry, file=self.run.path / CONFIG, trackers=False)
            return run_data(registry, config, split)
        except PluginError as error:
            raise PluginError(f"{str(error).rstrip('.')}; or name videos with --against.") from error

    def training(self, registry: Registry, place: str | Path | None, *, told: bool) -> Subject:
        """The training videos: those at `place`, else the run's.

        Args:
            registry: The components.
            place: Where they lie.
            told: Whether it was told what is judged against, so that these need not be held out of the run's.

        Raises:
            ConfigError: It is no run, and no place was given.
        """
        if place is not None:
            return DataSubject(choose(registry, None, locate(place), {}), shown(place))
        if self.run is None:
            raise ConfigError(
                f"training: {self.name} is no run, so what it was trained on is not known; name those videos with "
                "--training."
            )
        config = RunConfig.resolve(registry, file=self.run.path / CONFIG, trackers=False)
        if not config.clips.held_out and not told:
            raise ConfigError(
                f"clips.held_out: {self.name} was trained on all of its videos, so there are none to tell how near "
                "unseen ones come; train with --held-out, or name training videos with --training and others with "
                "--against."
            )
        return run_data(registry, config, "training")[0]


def run_data(registry: Registry, config: RunConfig, split: str) -> tuple[DataSubject, list[str]]:
    """The data that a configuration names, in its geometry, and what is to be known about them.

    Raises:
        DataError: They cannot be opened.
    """
    location = None if config.data.path is None else locate(config.data.path)
    name = "the clips that come with gadkit" if location is None else shown(str(location))
    try:
        opened = choose(registry, config.data.use, location, config.data.settings, config.data.labels)
    except DataError as error:
        raise DataError(
            f"the data that the run was trained on cannot be opened ({error}); name them with --against."
        ) from error
    video, clips = config.video, config.clips
    geometry = Geometry(
        height=video.height, width=video.width, fps=video.fps, fit=video.fit, background=video.background
    )
    warnings = []
    part = split
    if split == "held-out" and not clips.held_out:
        part = "training"
    if part != split and len(opened.sources) <= ENDLESS:  # what has no end is hardly seen twice
        warnings.append(
            "the run held no videos back, so the real clips are its training clips, and a generator that copies them "
            "would win; train with --held-out 0.1 for a fair number."
        )
    chosen = None if part == "all" else Split(part=part, group=clips.group, fraction=clips.held_out)
    return DataSubject(opened, name, split=chosen, geometry=geometry, stride=video.stride), warnings


def take(registry: Registry, what: object, checkpoint: str | int, device: str) -> Taken:
    """Tells what somebody named.

    Args:
        registry: The components.
        what: A `gadkit.Model`, or the place of a run, a model or data.
        checkpoint: Of a run.
        device: Where a model is to be.

    Raises:
        RunError: A model cannot be loaded.
        DataError: There is nothing at this place.
    """
    if isinstance(what, Model):
        return Taken(name="a model", model=what)
    if not isinstance(what, str | Path):
        raise ConfigError(f"found {type(what).__name__} to measure, expected a gadkit.Model or a place.")
    path = Path(what)
    if (path / CONFIG).is_file():
        model = load(path, checkpoint=checkpoint, device=device, registry=registry)
        return Taken(name=shown(path), run=Run.open(path), model=model)
    on_hub = not path.exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", str(what)) and not path.parent.is_dir()
    if on_hub or ((path / DESCRIPTION).is_file() and (path / WEIGHTS).is_file()):
        return Taken(name=shown(what), model=load(what, checkpoint=checkpoint, device=device, registry=registry))
    if isinstance(locate(what), Path) and not path.exists():
        raise DataError(f"{what}: there is no such file or folder; name a run, a model, a video, a folder or a pack.")
    return Taken(name=shown(what), place=str(what))
