"""`gadkit.evaluate`: from two sets of videos to a result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from gadkit.data.cache import Progress
from gadkit.engine.devices import resolve_device
from gadkit.errors import ConfigError, DataError, RunError
from gadkit.evaluation.clips import ClipList
from gadkit.evaluation.manifest import software
from gadkit.evaluation.measures import Measure, check_split, networks_of, open_measures
from gadkit.evaluation.networks import Network
from gadkit.evaluation.protocol import DEFAULT, Protocol, ProtocolSettings, open_protocol
from gadkit.evaluation.results import FOLDER, Result, free_place, now
from gadkit.evaluation.rows import Extractor, extract
from gadkit.evaluation.scores import FEWEST_VIDEOS, Score, Side, score
from gadkit.evaluation.subjects import DataSubject, ModelSubject, Subject
from gadkit.evaluation.taking import Taken, take
from gadkit.registry import Registry, get_registry
from gadkit.words import count_text

#: Told how far an evaluation is: `watch(what, done, total)`.
Watcher = Callable[[str, int, int], None]


@dataclass(kw_only=True)
class Evaluation:
    """An evaluation that is ready to be made, any number of times: networks loaded, real videos decoded.

    Attributes:
        protocol: How it is made.
        measures: What is measured.
        networks: The feature networks by what they see, `clip` and `frame`.
        device: Where rows are made.
        real: What is judged against; `None` where no metric needs it.
        training: The training videos, for metrics that need them.
        watch: Told how far it is.
        warnings: What was noticed.
    """

    protocol: Protocol
    measures: Sequence[Measure]
    networks: Mapping[str, Network]
    device: torch.device
    real: Subject | None
    training: Subject | None
    watch: Watcher | None = None
    warnings: Sequence[str] = ()
    _kept: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict, init=False, repr=False)

    def begin(self) -> None:
        """Measures what others are judged against, so that nothing about it is left to go wrong.

        Raises:
            DataError: There are too few clips.
        """
        clips = self._chosen(self._standing())
        self._counted(self._standing(), clips)
        for side, subject in self._standing().items():
            self._rows(side, subject, clips[side])

    def _standing(self) -> dict[str, Subject]:
        """The sides that stay."""
        sides = {"real": self.real, "training": self.training}
        return {side: subject for side, subject in sides.items() if subject is not None}

    def _chosen(self, subjects: Mapping[str, Subject]) -> dict[str, ClipList]:
        settings = self.protocol.settings
        return {side: subject.choose(settings, side == "generated") for side, subject in subjects.items()}

    def run(self, generated: Subject) -> Result:
        """Measures videos; they are open, and of the real videos' size.

        Raises:
            DataError: There are too few clips.
        """
        settings = self.protocol.settings
        there = {"generated": generated, **self._standing()}
        clips = self._chosen(there)
        warnings = [*self.warnings, *self._counted(there, clips), *self._thin(clips)]
        rows = {side: self._rows(side, subject, clips[side]) for side, subject in there.items()}
        values: dict[str, Score] = {}
        for measure in self.measures:
            sides = {side: Side(rows[side][measure.source], clips[side].videos) for side in there}
            real = sides.get("real") if measure.cls.needs_real else None
            training = rows["training"][measure.source] if measure.cls.needs_training else None
            found = score(
                measure.make,
                sides["generated"],
                real,
                training,
                resamplings=settings.resamplings,
                floor=settings.floor,
                seed=settings.seed,
            )
            literature = measure.literature(self.networks)
            for name, value in found.items():
                values[measure.label(name, self.networks)] = replace(value, literature=literature)
        manifest = self._manifest(generated, there, clips)
        listed = {side: subject.listed(clips[side], settings) for side, subject in there.items()}
        step = generated.step if isinstance(generated, ModelSubject) else None
        return Result(values=values, manifest=manifest, clips=listed, warnings=warnings, made=now(), step=step)

    def _counted(self, subjects: Mapping[str, Subject], clips: Mapping[str, ClipList]) -> list[str]:
        """Warnings about the numbers of clips; raises where they are too few."""
        settings, warnings = self.protocol.settings, []
        for side, subject in subjects.items():
            count = len(clips[side])
            needed = max(measure.cls.fewest for measure in self.measures) * (2 if settings.resamplings else 1)
            if count < needed:
                halves = " for halves" if settings.resamplings else ""
                once = ", or take the number once of all with --resamplings 0" if halves else ""
                raise DataError(
                    f"{subject.called}: found {count_text(count, 'clip')} of {settings.span} frames, but "
                    f"{self._named()} needs {needed:,} of each side{halves}; give more videos, or shorter clips with "
                    f"--frames{once}."
                )
            wanted = settings.clips if side == "generated" else settings.real_clips
            may = settings.fewer == "both" or (settings.fewer == "real" and side != "generated")
            if count < wanted and not may:
                raise DataError(
                    f"{subject.called}: found {count_text(count, 'clip')} of {settings.span} frames, but protocol "
                    f"{self.protocol.title} takes {wanted:,}; give more videos, or measure fewer with --clips "
                    f"{count}, which the result will say."
                )
            videos = len(clips[side].videos.unique())
            if settings.resamplings and videos < min(FEWEST_VIDEOS, count):
                warnings.append(
                    f"the {count} clips of {subject.called} come from {count_text(videos, 'video')}, so its halves "
                    "share videos, and the spread is smaller than between different ones."
                )
        return warnings

    def _named(self) -> str:
        return " and ".join(measure.name for measure in self.measures)

    def _thin(self, clips: Mapping[str, ClipList]) -> list[str]:
        """Fréchet and kernel distances of few clips have a bias that is larger than most differences."""
        network = self.networks.get("clip")
        if network is None:
            return []
        halves = 2 if self.protocol.settings.resamplings else 1
        least = min(len(each) for side, each in clips.items() if side != "training") // halves
        if least >= network.net.dim:
            return []
        return [
            f"{least:,} clips a side are fewer than the {network.net.dim} dimensions of {network.entry.name}: a "
            "Fréchet distance of so few is far too high, and can only be compared with others of as many."
        ]

    def _rows(self, side: str, subject: Subject, clips: ClipList) -> dict[str, torch.Tensor]:
        """The rows of a side by where they come from; those of the sides that stay are made once."""
        settings = self.protocol.settings
        if side in self._kept:
            return self._kept[side]
        extractors: dict[str, Extractor] = {}
        for measure in self.measures:
            if side != "training" or measure.cls.needs_training:
                extractors[measure.source] = measure.extractor(self.networks, self.device)
        watch = self.watch
        rows = extract(
            subject,
            clips,
            settings,
            extractors,
            cached=subject.kept,
            progress=None if watch is None else lambda done, total: watch(side, done, total),
        )
        if side != "generated":
            self._kept[side] = rows
        return rows

    def _manifest(
        self, generated: Subject, subjects: Mapping[str, Subject], clips: Mapping[str, ClipList]
    ) -> dict[str, Any]:
        settings = self.protocol.settings
        told: dict[str, Any] = {
            "protocol": self.protocol.to_dict(),
            "networks": {of: network.to_dict() for of, network in self.networks.items()},
            "metrics": {measure.name: measure.to_dict() for measure in self.measures},
            "size": list(generated.size),
            "clips": {},
        }
        for side, subject in subjects.items():
            told[side] = {**subject.to_dict(), "clips": len(clips[side])}
            if side != "generated":
                listed = json.dumps(subject.listed(clips[side], settings)).encode()
                told["clips"][side] = hashlib.sha256(listed).hexdigest()
        return {**told, "software": software(), "device": self.device.type}


def evaluate(
    generated: str | Path | Any,
    against: str | Path | Any | None = None,
    *,
    protocol: str = DEFAULT,
    metrics: str | type[Any] | Sequence[str | type[Any]] | None = None,
    features: str | type[Any] | Sequence[str | type[Any]] | None = None,
    training: str | Path | None = None,
    checkpoint: str | int = "latest",
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
        registry, chosen, mine, theirs, training=training, device=device, watch=watch, prepare=prepare
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
    subject = mine.subject(registry)
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
