"""Loading a model: what its files say is held against the code that is here, before memory is taken for it.

A model that somebody else made may say anything. Its numbers have bounds; its components are looked up among those that
are installed; and its nets are built on PyTorch's device `meta` first, where tensors have a shape and take no memory,
so that a description which its weights do not fit is refused at no cost.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gadkit.checkpoints.store import read_shapes, read_tensors
from gadkit.engine.devices import resolve_device
from gadkit.errors import DamagedError, GadkitWarning, RunError
from gadkit.interfaces.assembler import VideoAssembler
from gadkit.interfaces.discriminator import Discriminator
from gadkit.interfaces.generator import Generator
from gadkit.interfaces.spec import VideoSpec
from gadkit.registry import Registry, get_registry
from gadkit.registry.entry import one_line
from gadkit.runs.description import KINDS, below, component, misfit
from gadkit.runs.description import read_description as read_description
from gadkit.runs.folder import CONFIG, Run
from gadkit.runs.judges import judge_of
from gadkit.runs.model import DESCRIPTION, JUDGE, WEIGHTS, Model
from gadkit.runs.sketches import made, shapes_fault, sketch


def load(
    path: str | Path,
    *,
    checkpoint: str | int = "latest",
    device: str = "auto",
    plugins: Sequence[str | Path] = (),
    generator: type[Generator] | None = None,
    assembler: type[VideoAssembler] | None = None,
    discriminator: type[Discriminator] | None = None,
    registry: Registry | None = None,
) -> Model:
    """Loads a model. Nothing in its files is executed.

    The discriminator that it was trained against is read once it is asked for (`Model.discriminator`): where that is
    missing or damaged, videos are made all the same.

    Args:
        path: A run's folder, a checkpoint's, an exported model's, or `owner/name` on the Hugging Face Hub.
        checkpoint: For a run: `latest`, `best`, a step, or a checkpoint's name. Where the latest is damaged, the one
            before it is taken, with a warning; one that is named is not replaced by another.
        device: As for `gadkit train --device`.
        plugins: Python files that are loaded as plugins.
        generator: The class, for a model that was trained with a class of your own.
        assembler: The same.
        discriminator: The same.
        registry: Where components are looked up; by default the process's own.

    Raises:
        RunError: There is no model, or its files are damaged.
        PluginError: A component's package is not installed; the sentence names it.
        ConfigError: A setting in the model does not fit the component that is installed.
    """
    registry = registry or get_registry()
    for file in plugins:
        registry.load_file(Path(file))
    own: dict[str, type[Any] | None] = {
        "generator": generator,
        "assembler": assembler,
        "discriminator": discriminator,
    }
    folder, checkpoint = Path(path), str(checkpoint)
    if (folder / CONFIG).is_file():
        run = Run.open(folder)
        if checkpoint == "latest":
            return _newest(registry, run, own, device)
        return _load(registry, run.find_checkpoint(checkpoint), own, device)
    if not folder.exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", str(path)):
        folder = from_hub(str(path))
    if not (folder / DESCRIPTION).is_file():
        found = f"a folder without {DESCRIPTION}" if folder.is_dir() else "a file" if folder.exists() else "no folder"
        raise RunError(f"{path}: found {found}, expected a run, an exported model, or owner/name on the Hub.")
    model = _load(registry, folder, own, device)
    step = (model.document or {})["step"]
    if checkpoint not in ("latest", folder.name) and not (checkpoint.isdigit() and int(checkpoint) == step):
        raise RunError(
            f"checkpoint: found {checkpoint!r}, but {path} is one model, of step {step}, and no run; "
            "leave the checkpoint out, or name the run's folder."
        )
    return model


def _newest(registry: Registry, run: Run, own: Mapping[str, type[Any] | None], device: str) -> Model:
    """The newest checkpoint that is whole; what is damaged stays where it is, for `--resume` to move aside."""
    first: DamagedError | None = None
    run.find_checkpoint()  # which says that there is none
    for path in reversed(run.checkpoints()):
        try:
            model = _load(registry, path, own, device)
        except DamagedError as error:
            first = first or error
            continue
        if first is not None:
            warnings.warn(f"{first} {path.name} is loaded in its place.", GadkitWarning, stacklevel=3)
        return model
    raise RunError(f"{run.path}: none of its checkpoints is whole; the newest: {first}") from first


def _load(registry: Registry, folder: Path, own: Mapping[str, type[Any] | None], device: str) -> Model:
    """The model in a folder that has a `config.json`."""
    document, video = read_description(folder)
    parts = {kind: component(registry, document, kind, own[kind]) for kind in KINDS}
    _check(folder, document, parts, video)
    nets = made(lambda: _make(parts, video), str(folder / DESCRIPTION))
    weights = read_tensors(folder, WEIGHTS)
    for name, net in nets.items():
        try:
            net.load_state_dict(below(name, weights))
        except RuntimeError as error:
            raise misfit(folder / WEIGHTS, document, name, one_line(error)) from error
    target = resolve_device(device)
    generator, assembler = (net.float().to(target) for net in nets.values())
    judge = judge_of(registry, folder, document, video, own["discriminator"])
    return Model(generator, assembler, video, document["classes"], document, judge, registry)


# --- the nets --------------------------------------------------------------------------------------------------------


def _make(parts: Mapping[str, tuple[type[Any], Mapping[str, Any]]], video: VideoSpec) -> dict[str, Any]:
    """Builds the nets on the device that tensors are made on."""
    cls, settings = parts["generator"]
    generator = cls(video, **settings)
    cls, settings = parts["assembler"]
    return {"generator": generator, "assembler": cls(video, generator.latent_dim, generator.motion_dim, **settings)}


def _check(
    folder: Path,
    document: Mapping[str, Any],
    parts: Mapping[str, tuple[type[Any], Mapping[str, Any]]],
    video: VideoSpec,
) -> None:
    """Raises `RunError` where the nets that a description asks for are not those whose weights are in the file."""
    found = read_shapes(folder, WEIGHTS)
    nets = sketch(lambda: _make(parts, video), str(folder / DESCRIPTION))
    for name, net in (nets or {}).items():
        if fault := shapes_fault(below(name, found), net):
            raise misfit(folder / WEIGHTS, document, name, fault)


def from_hub(name: str) -> Path:
    """The files of a model on the Hugging Face Hub, in its cache; `RunError` where it does not give them."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(name, allow_patterns=[DESCRIPTION, WEIGHTS, JUDGE, "manifest.json"]))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise RunError(
            f"{name}: is no folder here, and the Hugging Face Hub does not give it ({one_line(error, 80)}); check the "
            "name and the connection."
        ) from error
