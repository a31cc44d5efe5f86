"""A new run that begins with the weights of an old run or model. Of the old one only tensors and JSON are read."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from gadkit.checkpoints.documents import parse
from gadkit.checkpoints.store import MANIFEST, read_document, read_tensors
from gadkit.checkpoints.trees import unflatten
from gadkit.errors import ConfigError, DamagedError, RunError
from gadkit.interfaces.spec import VideoSpec
from gadkit.runs.folder import CONFIG, ENVIRONMENT, Run
from gadkit.runs.loading import from_hub, read_description
from gadkit.runs.model import DESCRIPTION, WEIGHTS
from gadkit.runs.state import STATE, TENSORS
from gadkit.transfer.matching import Matching, NotFinite, Setting, match
from gadkit.transfer.report import NetTransfer, Transfer, in_order, shape_text
from gadkit.words import printable

if TYPE_CHECKING:
    from gadkit.runs.session import Session

_KEY = "run.init_from"
#: The nets whose weights are a model's; those of the others stand in a checkpoint.
_MODEL = ("generator", "assembler")


@dataclass(frozen=True)
class _Old:
    """What was read of an old model.

    Attributes:
        folder: The folder of its files.
        step: Steps that it was trained.
        setting: What it was made for.
        nets: The tensors of each net that it has, of those that are wanted.
        files: SHA-256 of its files, by name.
    """

    folder: Path
    step: int
    setting: Setting
    nets: dict[str, dict[str, Tensor]]
    files: dict[str, str]


def begin_from(source: str, parts: Mapping[str, nn.Module], classes: Sequence[str] = ()) -> Transfer:
    """Gives new nets the weights of an old run or model, as far as they fit; `gadkit.transfer.matching` says how far.

    The generator and the assembler begin with the weights that the old run's samples were made with, the averaged
    ones. The other nets begin with those of a checkpoint; an exported model has none of theirs.

    Args:
        source: A run's folder, from whose newest whole checkpoint it is taken; `RUN@best`, `RUN@500` or
            `RUN@step-000500` for another one; a checkpoint's folder; an exported model's; or `owner/name` on the
            Hugging Face Hub.
        parts: The new nets by kind, built and on the CPU. Their tensors are overwritten, in their own dtype; where an
            error is raised, none is.
        classes: Names of the classes of the new data, in the order of their numbers.

    Returns:
        What was loaded, resized and left.

    Raises:
        ConfigError: Nothing of the source fits.
        RunError: There is no run or model, its files are damaged, or its weights are not finite.
    """
    nets = {kind: part for kind, part in parts.items() if part.state_dict()}
    place, old, passed = _read(source, nets)
    found = {}
    for kind, net in nets.items():
        video = getattr(net, "video", None)
        now = Setting(video if isinstance(video, VideoSpec) else old.setting.video, classes)
        found[kind] = _match(old, kind, net, now)
    reports = tuple(matching.report for matching in found.values())
    if not any(report.parameters for report in reports):
        raise ConfigError(_nothing(source, old, reports, nets))
    for kind, matching in found.items():
        nets[kind].load_state_dict(matching.state)
    return Transfer(source=source, place=place, step=old.step, files=old.files, nets=reports, warnings=passed)


def begin_together(source: str, session: Session) -> Transfer:
    """`begin_from` in every process of a training, which all must call: the first one chooses the checkpoint."""
    nets = {kind: part for kind, part in session.parts.items() if isinstance(part, nn.Module)}
    classes = session.clips.store.classes
    first = begin_from(source, nets, classes) if session.engine.main else None
    place = session.engine.share(None if first is None else first.place)
    return first or begin_from(place, nets, classes)


def begun_with(run: Run) -> dict[str, Any]:
    """What the `environment.json` of a run says of the model that it began with; nothing where it says nothing."""
    try:
        document = json.loads((run.path / ENVIRONMENT).read_text(encoding="utf-8"))
        return {"init_from": document["init_from"]}
    except (OSError, ValueError, RecursionError, TypeError, KeyError):
        return {}


def _match(old: _Old, kind: str, net: nn.Module, now: Setting) -> Matching:
    try:
        return match(kind, net, old.nets.get(kind), old.setting, now)
    except NotFinite as error:
        file = old.folder / (WEIGHTS if kind in _MODEL else TENSORS)
        raise RunError(
            f"{file}: tensor {printable(f'{kind}.{error}')!r} holds numbers that are not finite, so that a run would "
            "begin sick; take a checkpoint of an earlier step."
        ) from error


def _nothing(source: str, old: _Old, reports: Sequence[NetTransfer], nets: Mapping[str, nn.Module]) -> str:
    """The sentence where nothing fits, with the first tensor of both sides that differ."""
    begun = f"{_KEY}: nothing of {source} fits"
    for report in reports:
        has = old.nets.get(report.net, {})
        if not has:
            continue
        theirs = next((name for name in sorted(has, key=in_order) if name not in report.loaded), next(iter(has)))
        state = {name: value for name, value in nets[report.net].state_dict().items() if isinstance(value, Tensor)}
        ours = next(name for name in state if name not in report.loaded)
        sides = (
            f"{printable(name)!r} ({shape_text(tuple(value.shape))})"
            for name, value in ((theirs, has[theirs]), (ours, state[ours]))
        )
        return (
            f"{begun}: its {report.net} has {next(sides)} where the new one has {next(sides)}; choose the parts and "
            "sizes that it was trained with, or leave --init-from away."
        )
    return f"{begun}, because it has none of the nets {', '.join(nets)}; leave --init-from away."


# --- the source ------------------------------------------------------------------------------------------------------


def check_source(source: str) -> None:
    """Raises `RunError` where a source is no run and no model, as far as that can be told at once."""
    _locate(source)


def _locate(source: str) -> Run | Path | str:
    """What a source stands for: a run, whose newest checkpoint is meant; a folder; a name on the Hub."""
    path, at, name = source, "", ""
    if not os.path.exists(source) and "@" in source:
        path, at, name = source.rpartition("@")
    if os.path.isfile(os.path.join(path, CONFIG)):
        run = Run.open(Path(path))
        folder = run.find_checkpoint(name or "latest")  # which says that there is none
        return folder if at else run
    if at:
        raise RunError(f"{_KEY}: found {source!r}, but {path} is no run, and only a run has several checkpoints.")
    if os.path.isfile(os.path.join(path, DESCRIPTION)):
        return Path(path)
    if not os.path.exists(path) and re.fullmatch(r"[\w.-]+/[\w.-]+", path):
        return path
    there = "a folder that is neither" if os.path.isdir(path) else "a file" if os.path.exists(path) else "nothing"
    raise RunError(f"{_KEY}: {path} is {there}, expected a run, a model's folder, or owner/name on the Hub.")


def _read(source: str, nets: Mapping[str, nn.Module]) -> tuple[str, _Old, tuple[str, ...]]:
    """The place of what a source stands for, what is there, and what is to say of checkpoints passed over."""
    found = _locate(source)
    if isinstance(found, Run):
        return _newest(found, nets)
    if isinstance(found, Path):
        return str(found), _open(found, nets), ()
    return found, _open(from_hub(found), {kind: net for kind, net in nets.items() if kind in _MODEL}), ()


def _newest(run: Run, nets: Mapping[str, nn.Module]) -> tuple[str, _Old, tuple[str, ...]]:
    """The newest whole checkpoint of a run, which may be another's: what is damaged stays where it is."""
    passed: list[str] = []
    for folder in reversed(run.checkpoints()):
        try:
            return str(folder), _open(folder, nets), tuple(passed)
        except DamagedError as error:
            passed.append(f"{error} The new run begins with the one before it.")
    raise RunError(f"{_KEY}: none of the checkpoints of {run.path} is whole; the newest: {passed[0]}")


def _open(folder: Path, nets: Mapping[str, nn.Module]) -> _Old:
    """Reads a checkpoint or an exported model; every file against its manifest."""
    document, video = read_description(folder)
    found: dict[str, dict[str, Tensor]] = {}
    for key, value in read_tensors(folder, WEIGHTS).items():
        kind, _, name = key.partition(".")
        if kind in nets:
            found.setdefault(kind, {})[name] = value
    files = parse((folder / MANIFEST).read_bytes())["sha256"]
    wanted = [kind for kind in nets if kind not in _MODEL]
    if wanted and STATE in files:
        found |= _trained(folder, wanted)
    return _Old(folder, document["step"], Setting(video, document["classes"]), found, files)


def _trained(folder: Path, wanted: Sequence[str]) -> dict[str, dict[str, Tensor]]:
    """The nets of a checkpoint that are not the model's, found by what its document says of them."""
    state = read_document(folder, STATE)
    nets = state.get("nets") if isinstance(state, dict) else None
    described: dict[str, Any] = {kind: nets[kind] for kind in wanted if kind in nets} if isinstance(nets, dict) else {}
    there = read_tensors(folder, TENSORS) if described else {}
    try:
        tensors = unflatten(described, there)
    except DamagedError as error:
        raise DamagedError(f"{folder / STATE}: {error}") from error
    return {
        kind: {name: value for name, value in net.items() if isinstance(value, Tensor)}
        for kind, net in tensors.items()
        if isinstance(net, dict)
    }
