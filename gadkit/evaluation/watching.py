"""Measuring while a run goes on."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import nn

from gadkit.errors import ConfigError, DataError
from gadkit.evaluation.evaluation import Evaluation
from gadkit.evaluation.measures import check_split, networks_of, open_measures
from gadkit.evaluation.protocol import open_protocol
from gadkit.evaluation.results import FOLDER
from gadkit.evaluation.subjects import ModelSubject
from gadkit.evaluation.taking import run_data
from gadkit.runs.model import Model
from gadkit.runs.session import Session
from gadkit.words import count_text


class Evaluator:
    """Measures the model of a run as it is, against the run's own data, by the section `[evaluation]`.

    Args:
        session: The training. Real videos are decoded and measured before its first step.

    Raises:
        GadkitError: A setting, a network or the data cannot be used.
    """

    def __init__(self, session: Session) -> None:
        wanted, registry = session.config.evaluation, session.registry
        changes = {
            "clips": wanted.clips,
            "real_clips": wanted.clips,
            "frames": wanted.frames,
            "metrics": wanted.metrics,
        }
        protocol = open_protocol(registry, wanted.protocol, {**changes, **networks_of(registry, wanted.features)})
        settings = protocol.settings
        longest = session.video.frames if session.generator.context == "fixed" else None
        if longest is not None and settings.span > longest:
            raise ConfigError(
                f"evaluation.protocol: {wanted.protocol} takes {settings.span} frames, but this generator makes "
                f"{longest}; train on longer clips with --frames, or measure shorter ones with "
                "--set evaluation.frames=N."
            )
        device = str(session.engine.device)
        measures, networks = open_measures(registry, settings, device)
        check_split(measures, settings, "--eval-protocol gadkit")
        real, warnings = run_data(registry, session.config, settings.split)
        training = None
        if any(measure.cls.needs_training for measure in measures):
            training = run_data(registry, session.config, "training")[0]
        progress = session.reporter.preparing if session.engine.main else None
        for subject in (real, training):
            if subject is not None:
                try:
                    subject.open(settings, session.video.height, session.video.width, progress)
                except DataError as error:
                    raise DataError(
                        f"evaluation.protocol: {wanted.protocol} measures clips of "
                        f"{count_text(settings.frames, 'frame')}, and of these {error} Or measure others, with "
                        "--set evaluation.frames=N or by another --eval-protocol."
                    ) from error
        self._session = session
        self._evaluation = Evaluation(
            protocol=protocol,
            measures=measures,
            networks=networks,
            device=session.engine.device,
            real=real,
            training=training,
            warnings=warnings,
        )
        if session.engine.main:
            self._evaluation.begin()

    @property
    def best(self) -> tuple[str | None, str]:
        """The value by which checkpoints are told apart, and whether its `lowest` or `highest` is best."""
        for measure in self._evaluation.measures:
            for name, better in measure.cls.best.items():
                if better is not None:
                    return measure.label(name, self._evaluation.networks), better
        return None, "lowest"

    def measure(self, step: int, models: Mapping[str, nn.Module]) -> dict[str, float]:
        """The values of a step by name, those that are finite; the result with its manifest lies in the run's folder.

        Args:
            step: Steps done.
            models: `generator` and `assembler` with the weights to sample from.
        """
        session = self._session
        model = Model.frozen(models, session.video, session.clips.store.classes)
        name = "the run" if session.run is None else session.run.path.name
        result = self._evaluation.run(ModelSubject(model, name, step))
        if session.run is not None:
            place = session.run.path / FOLDER / f"training-{session.config.evaluation.protocol.replace(':', '-')}.json"
            result.write(place)
        return {name: score.value for name, score in result.values.items() if math.isfinite(score.value)}
