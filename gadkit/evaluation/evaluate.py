"""`gadkit.evaluate`: from two sets of videos to a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gadkit.data.cache import Progress
from gadkit.engine.devices import resolve_device
from gadkit.errors import ConfigError, RunError
from gadkit.evaluation.evaluation import Evaluation, Watcher
from gadkit.evaluation.measures import check_split, networks_of, open_measures
from gadkit.evaluation.protocol import DEFAULT, Protocol, ProtocolSettings, open_protocol
from gadkit.evaluation.results import FOLDER, Result, free_place
from gadkit.evaluation.subjects import DataSubject, ModelSubject, Subject
from gadkit.evaluation.taking import Taken, take
from gadkit.registry import Registry, get_registry
from gadkit.runs.model import Refine
from gadkit.words import count_text


def evaluate(
    generated: str | Path | Any,
    against: str | Path | Any | None = None,
    *,
    protocol: str = DEFAULT,
    metrics: str | type[Any] | Sequence[str | type[Any]] | None = None,
    features: str | type[Any] | Sequence[str | type[Any]] | None = None,
    training: str | Path | None = None,
    checkpoint: str | int = "latest",
    refine: Refine | None = None,
    truncation: float = 1.0,
    device: str = "auto",
    plugins: Sequence[str | Path] = (),
    registry: Registry | None = None,
    watch: Watcher | None = None,
    prepare: Progress | None = None,
    **changes: Any,
) -> Result:
    """Measures videos against others.

    Args:
        generated: What is judged: a run, a model (its folder, its name on the Hub, or a `gadkit.Model`), a video file,
            a folder of videos, or a pack.
        against: What it is judged against, any of these; by default the data that the run `generated` was trained on,
            by the split that the protocol asks for.
        protocol: How it is measured; `gadkit plugins list` names the protocols.
        metrics: What is measured, in place of the protocol's choice: names, or classes of your own.
        features: In place of the protocol's networks, one of clips, one of frames, or both; names, or classes.
        training: The training videos, for metrics that ask for them, where `generated` is no run.
        checkpoint: Where `generated` is a run: `latest`, `best`, or a step.
        refine: How the latents of the model that is judged are refined; see `gadkit.Model.stream`.
        truncation: What the normals of the model that is judged are multiplied by, from 0 to 1; likewise.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        plugins: Python files that are loaded as plugins.
        registry: Where components are looked up; by default the process's own.
        watch: Told how far it is.
        prepare: Told how far videos are decoded.
        **changes: Settings of the protocol that are to be others, such as `clips=512`.

    Returns:
        Numbers with their manifest. Where `generated` is a run, they are also written to its folder `evaluations/`.

    Raises:
        DataError: Videos cannot be used, are too few or too short, or weights are missing or altered.
        ConfigError: A setting does not fit.
        PluginError: A component cannot be found or loaded.
    """
    registry = registry or get_registry()
    for file in plugins:
        registry.load_file(Path(file))
    networks = networks_of(registry, _names(registry, "features", features))
    chosen = open_protocol(registry, protocol, {**changes, **networks, "metrics": _names(registry, "metric", metrics)})
    mine = take(registry, generated, checkpoint, device)
    theirs = None if against is None else take(registry, against, "latest", device)
    evaluation, subject = prepared(
        registry,
        chosen,
        mine,
        theirs,
        training=training,
        refine=refine,
        truncation=truncation,
        device=device,
        watch=watch,
        prepare=prepare,
    )
    result = evaluation.run(subject)
    if mine.run is None:
        return result
    try:
        return replace(result, path=result.write(free_place(mine.run.path / FOLDER, result.made, chosen.name)))
    except RunError as error:  # the numbers took their time: nobody should have to wait for them again
        return replace(result, warnings=[*result.warnings, str(error)])


def _names(
    registry: Registry, kind: str, chosen: str | type[Any] | Sequence[str | type[Any]] | None
) -> list[str] | None:
    """Names, by which classes of one's own can be found too."""
    if chosen is None:
        return None
    if isinstance(chosen, str | type):
        chosen = [chosen]
    return [each if isinstance(each, str) else registry.adopt(kind, each).qualified for each in chosen]


def prepared(
    registry: Registry,
    protocol: Protocol,
    mine: Taken,
    theirs: Taken | None,
    *,
    training: str | Path | None = None,
    refine: Refine | None = None,
    truncation: float = 1.0,
    device: str = "auto",
    watch: Watcher | None = None,
    prepare: Progress | None = None,
) -> tuple[Evaluation, Subject]:
    """An evaluation that is ready to be made, and what it is to judge."""
    settings = protocol.settings
    measures, networks = open_measures(registry, settings, device)
    needs_real = any(measure.cls.needs_real for measure in measures)
    needs_training = any(measure.cls.needs_training for measure in measures)
    warnings: list[str] = []
    real = None
    if needs_real:
        if theirs is not None:
            real = theirs.subject(registry)
        else:
            real, more = mine.data(registry, settings.split)
            warnings += more
    known = None
    if needs_training:
        known = mine.training(registry, training, told=theirs is not None)
        if theirs is None:
            check_split(measures, settings, "--split held-out")
    subject = mine.subject(registry, refine, truncation)
    for each in (subject, real, known):
        if isinstance(each, ModelSubject):
            each.scale(settings)
    height, width = _size(settings, subject, real)
    for each in (subject, real, known):
        if isinstance(each, DataSubject):
            each.open(settings, height, width, prepare)
            if each.store.skipped:
                left = count_text(len(each.store.skipped), "video")
                warnings.append(
                    f"{left} of {each.name} left out, because they cannot be read or are shorter than "
                    f"{count_text(each.span(settings), 'frame')}."
                )
        elif each is not None and each.size != (height, width):
            raise _unequal(each.name, each.size, (height, width))
    warnings += _rates(subject, real)
    evaluation = Evaluation(
        protocol=protocol,
        measures=measures,
        networks=networks,
        device=resolve_device(device),
        real=real,
        training=known,
        watch=watch,
        warnings=warnings,
    )
    return evaluation, subject


def _size(settings: ProtocolSettings, subject: Subject, real: Subject | None) -> tuple[int, int]:
    """H and W of all clips."""
    if settings.resolution:
        return settings.resolution, settings.resolution
    models = [each for each in (subject, real) if isinstance(each, ModelSubject)]
    if models:
        return models[0].size
    sizes = {each.name: each.native() for each in (subject, real) if isinstance(each, DataSubject)}
    (name, size), *others = sizes.items()
    for other, found in others:
        if found != size:
            raise _unequal(other, found, size, name)
    return size


def _unequal(name: str, found: tuple[int, int], expected: tuple[int, int], other: str = "the others") -> ConfigError:
    return ConfigError(
        f"protocol.resolution: the videos of {name} have {found[1]}×{found[0]} pixels, and those of {other} "
        f"{expected[1]}×{expected[0]}; bring them to one size with --resolution SIDE."
    )


def _rates(subject: Subject, real: Subject | None) -> list[str]:
    """A warning where both sides tell their frame rates, and these differ."""
    rates = [
        each.rate if isinstance(each, DataSubject) else each.model.video.fps
        for each in (subject, real)
        if isinstance(each, DataSubject | ModelSubject)
    ]
    if len(rates) == 2 and abs(rates[0] - rates[1]) > 0.01 * max(rates):
        return [
            f"the generated videos have {rates[0]:g} frames a second and the real ones {rates[1]:g}, so motion is "
            "compared at different speeds; choose one rate with --fps, or take every n-th frame with --stride."
        ]
    return []
