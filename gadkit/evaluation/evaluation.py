"""An evaluation: networks, real videos and metrics, ready to judge others any number of times."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from gadkit.errors import DataError
from gadkit.evaluation.clips import ClipList
from gadkit.evaluation.manifest import software
from gadkit.evaluation.measures import Measure
from gadkit.evaluation.networks import Network
from gadkit.evaluation.protocol import Protocol
from gadkit.evaluation.results import Result, now
from gadkit.evaluation.rows import Extractor, extract
from gadkit.evaluation.scores import FEWEST_VIDEOS, Score, Side, score
from gadkit.evaluation.subjects import ModelSubject, Subject
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
            having = [side for side in there if measure.source in rows[side]]
            sides = {side: Side(rows[side][measure.source], clips[side].videos) for side in having}
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
        listed = {side: subject.listed(clips[side], settings) for side, subject in there.items()}
        manifest = self._manifest(generated, there, listed)
        step = generated.step if isinstance(generated, ModelSubject) else None
        return Result(values=values, manifest=manifest, clips=listed, warnings=warnings, made=now(), step=step)

    def _counted(self, subjects: Mapping[str, Subject], clips: Mapping[str, ClipList]) -> list[str]:
        """Warnings about the numbers of clips; raises where they are too few."""
        settings, warnings = self.protocol.settings, []
        for side, subject in subjects.items():
            count = len(clips[side])
            wanted = settings.clips if side == "generated" else settings.real_clips
            needed = max(measure.cls.fewest for measure in self.measures) * (2 if settings.resamplings else 1)
            if count < needed:
                halves = " for halves" if settings.resamplings else ""
                once = ", or take the number once of all with --resamplings 0" if halves else ""
                fresh = "give more videos, or shorter clips with --frames"
                more = fresh if count < wanted else "take more with --clips"
                raise DataError(
                    f"{subject.called}: found {count_text(count, 'clip')} of {settings.span} frames, but "
                    f"{self._neediest()} needs {needed:,} of each side{halves}; "
                    f"{more}{once}."
                )
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

    def _neediest(self) -> str:
        """The metric that asks for the most clips."""
        return max(self.measures, key=lambda measure: measure.cls.fewest).name

    def _thin(self, clips: Mapping[str, ClipList]) -> list[str]:
        """Fréchet distances of few clips have a bias that is larger than most differences."""
        settings, warnings = self.protocol.settings, []
        halves = 2 if settings.resamplings else 1
        least = min(len(each) for side, each in clips.items() if side != "training") // halves
        for measure in self.measures:
            if not (measure.of and measure.cls.wants_full_rank):
                continue
            network = self.networks[measure.of]
            rows = least * settings.frames if measure.of == "frame" else least
            if rows <= network.net.dim:
                warnings.append(
                    f"{rows:,} {measure.of}s a side are no more than the {network.net.dim} dimensions of "
                    f"{network.entry.name}: {measure.name} of so few is far too high, and can only be compared with "
                    "others of as many."
                )
        return warnings

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
        self, generated: Subject, subjects: Mapping[str, Subject], listed: Mapping[str, list[Any]]
    ) -> dict[str, Any]:
        told: dict[str, Any] = {
            "protocol": self.protocol.to_dict(),
            "networks": {of: network.to_dict() for of, network in self.networks.items()},
            "metrics": {measure.name: measure.to_dict() for measure in self.measures},
            "size": list(generated.size),
            "clips": {},
        }
        for side, subject in subjects.items():
            told[side] = {**subject.to_dict(), "clips": len(listed[side])}
            if side != "generated":
                told["clips"][side] = hashlib.sha256(json.dumps(listed[side]).encode()).hexdigest()
        return {**told, "software": software(), "device": self.device.type}
