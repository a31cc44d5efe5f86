"""`gadkit data`: look at footage before training on it, decode it ahead of time, and tidy up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from gadkit.cli import data_shared as shared
from gadkit.cli.console import say
from gadkit.cli.data_cache import cache_app
from gadkit.cli.data_get import get

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gadkit.interfaces.dataset import Source
    from gadkit.runs.opening import Opened
    from gadkit.sections import VideoSettings

data_app = typer.Typer(no_args_is_help=True, help="Look at footage, pack it, and fetch sets to try.")
_Source = typer.Argument(
    metavar="SRC",
    help="Videos, frames, an archive, arrays, a pack, or WebDataset shards (file, URL, - for a pipe).",
    show_default=False,
)


@data_app.command("inspect")
def inspect(
    src: Annotated[Optional[str], _Source] = None,  # noqa: UP045
    dataset: shared.Dataset = None,
    labels: shared.Labels = None,
    resolution: shared.Resolution = "64",
    frames: shared.Frames = 16,
    stride: shared.Stride = 1,
    fps: shared.Fps = None,
    fit: shared.Fit = "crop",
    background: shared.Background = "white",
    limit: shared.Limit = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="A folder for a contact sheet and a page with the clips playing.", show_default=False),
    ] = None,
    as_json: shared.Json = False,
    workers: shared.Workers = None,
    patience: shared.Patience = 10.0,
    plugin: shared.Plugin = None,
    set_: shared.Set = None,
) -> None:
    """Decode everything once and say what it is, what training would drop and why, and what packing would take.

    Without SRC it looks at the clips that come with gadkit. Of streams and endless sets it looks at a sample. It exits
    with 2 where nothing can be used.
    """
    from gadkit.cli.data_report import print_report
    from gadkit.survey.findings import findings
    from gadkit.survey.measure import survey
    from gadkit.survey.sheet import VIDEOS

    video = shared.video_settings(resolution, frames, stride, fps, fit, background)
    geometry = shared.geometry_of(video)
    opened = shared.open_data(shared.registry_with(plugin), src, dataset, labels, set_ or ())
    if out is not None:
        _make_folder(out)
    if limit is None and opened.dataset.access != "pack":
        limit = shared.SAMPLE
    document = _about(src, opened, labels)
    with shared.shown_progress("decoding") as progress:
        found = survey(
            opened.dataset,
            opened.sources,
            geometry,
            frames=video.frames,
            stride=video.stride,
            blueprint=opened.blueprint,
            limit=limit,
            pictures=VIDEOS if out is not None else 0,
            labels=document["labelling"] != "none",
            workers=workers,
            patience=patience,
            progress=progress,
        )
    document |= findings(found)
    usable = document["videos"]["usable"]
    line = shared.train_line(src, video, dataset=dataset, labels=labels, set=None)
    document["next"] = line + "".join(f" --set {text}" for text in set_ or ()) if usable else None
    document["files"] = []
    if out is not None:
        document["files"] = _write(out, src or opened.entry.name, found, document)
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        print_report(document)
    if not usable:
        raise _nothing(document)


def _about(src: str | None, opened: Opened, labels: str | None) -> dict[str, Any]:
    """Where the data are, and which dataset reads them."""
    component = opened.entry.component
    return {
        "path": src,
        "dataset": {
            "name": opened.entry.name,
            "provider": opened.entry.provider,
            "summary": component.summary,
            "access": opened.dataset.access,
            "licence": opened.dataset.licence,
        },
        "labelling": labels or "none",
    }


def _make_folder(folder: Path) -> None:
    from gadkit.errors import RunError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"--out {folder} cannot be made: {error.strerror or error}; name another folder.") from error


def _write(out: Path, title: str, found: Any, document: dict[str, Any]) -> list[str]:
    from gadkit.survey.page import write_page
    from gadkit.survey.sheet import write_sheet

    files = []
    if write_sheet(out / "sheet.png", found):
        files.append(str(out / "sheet.png"))
    write_page(out / "index.html", title, found, document)
    return [*files, str(out / "index.html")]


def _nothing(document: dict[str, Any]) -> Exception:
    """Why nothing can be used, and what to do."""
    from gadkit.errors import DataError

    videos, span = document["videos"], document["clip"]["span"]
    lengths = document["lengths"]["frames"]
    parts = [f"{videos['broken']} cannot be read"] if videos["broken"] else []
    if videos["short"]:
        longest = lengths["max"]
        parts.append(f"{videos['short']} are shorter than the {span} frames of a clip, the longest having {longest}")
    advice = "lower --frames or --stride, or add longer videos" if videos["short"] else "repair or replace them"
    return DataError(
        f"none of the {videos['measured']} videos of {document['path'] or document['dataset']['name']} can be used: "
        f"{' and '.join(parts) or 'there are none'}; {advice}."
    )


@data_app.command("pack")
def pack(
    src: Annotated[str, _Source],
    dest: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Argument(metavar="DEST", help="The pack's folder.", show_default=False),
    ] = None,
    dataset: shared.Dataset = None,
    labels: shared.Labels = None,
    resolution: shared.Resolution = "64",
    frames: Annotated[int, typer.Option(help="Frames of a training clip, to tell which videos are too short.")] = 16,
    fps: shared.Fps = None,
    fit: shared.Fit = "crop",
    background: shared.Background = "white",
    limit: shared.Limit = None,
    workers: shared.Workers = None,
    patience: shared.Patience = 10.0,
    plugin: shared.Plugin = None,
    set_: shared.Set = None,
) -> None:
    """Decode footage once, at the training size, into a folder that training maps into memory.

    Broken videos are named and left out. What was interrupted goes on where it stopped when the same command is run
    again. Labels that are chosen here are kept as the pack's own. With --dataset, SRC may be left out where the set
    needs no place.
    """
    from gadkit.data import packing
    from gadkit.data.labels import labelled
    from gadkit.errors import ConfigError, DataError
    from gadkit.interfaces.dataset import ENDLESS
    from gadkit.survey.measure import spread

    video = shared.video_settings(resolution, frames, 1, fps, fit, background)
    place: str | None = src
    if dest is None:
        if dataset is None:
            raise ConfigError(f"DEST is missing: give the folder of the pack after {src}, or name a --dataset.")
        place, dest = None, Path(src)
    opened = shared.open_data(shared.registry_with(plugin), place, dataset, labels, set_ or ())
    if opened.dataset.access == "pipe":
        _pack_pipe(opened.dataset, dest, video, labels, limit)
        return
    if limit is None and len(opened.sources) > ENDLESS:
        raise DataError(f"{place or dataset} is endless; say with --limit how many of its videos are to be packed.")
    sources = [opened.sources[number] for number in spread(len(opened.sources), limit)]
    if len(opened.sources) > ENDLESS:  # which are labelled one by one
        sources = list(labelled(opened.dataset, sources, labels or "none"))
    try:
        with shared.shown_progress("packing") as progress:
            made = packing.pack(
                opened.dataset,
                sources,
                dest,
                shared.geometry_of(video),
                blueprint=opened.blueprint,
                progress=progress,
                workers=workers,
                patience=patience,
            )
    except KeyboardInterrupt:
        say(f"gadkit: interrupted; the same command goes on where it stopped: {shared.same_command()}")
        raise typer.Exit(130) from None
    if not made and labels is not None:
        _check_labels(dest, sources)
    _print_pack(dest, video, labels, made)


def _pack_pipe(dataset: Any, dest: Path, video: VideoSettings, labels: str | None, limit: int | None) -> None:
    """Packs what comes once; it cannot be gone on with."""
    from gadkit.data.labels import check_pipe
    from gadkit.data.recording import record

    check_pipe(labels or "none")
    with shared.shown_progress("packing") as progress:
        record(dataset, dest, shared.geometry_of(video), limit=limit, labels=labels == "own", progress=progress)
    _print_pack(dest, video, labels, made=True)


def _check_labels(dest: Path, sources: Sequence[Source]) -> None:
    """Refuses a pack that was there already and says otherwise of its videos."""
    from gadkit.data.index import read_index
    from gadkit.errors import RunError

    wanted = {source.name: (source.label, dict(source.columns)) for source in sources}
    for each in read_index(dest).videos:
        if (each.label, dict(each.columns)) != wanted[each.name]:
            raise RunError(
                f"{dest} holds these videos already, with other labels: {each.name} is of class {each.label!r} there "
                f"and {wanted[each.name][0]!r} here; choose another place, or train on it with --labels and a CSV file."
            )


def _print_pack(dest: Path, video: VideoSettings, labels: str | None, made: bool) -> None:
    """What was packed, what was left out and why, and what to run next."""
    from gadkit.data.index import CHANNELS, read_index
    from gadkit.words import count_text, printable, size_text

    index = read_index(dest)
    size = index.frames * video.height * video.width * CHANNELS
    amount = f"{count_text(len(index.videos), 'video')}, {count_text(index.frames, 'frame')}"
    typer.echo(
        f"{'packed' if made else 'there already:'} {amount} at {video.width}x{video.height}, {size_text(size)}: "
        f"{printable(str(dest))}"
    )
    short = sum(each.length < video.frames for each in index.videos)
    if short:
        verb = "is" if short == 1 else "are"
        typer.echo(
            f"{count_text(short, 'video')} {verb} shorter than {video.frames} frames, and training leaves them out"
        )
    classes = sorted({each.label for each in index.videos if each.label is not None})
    if classes:
        typer.echo(f"{count_text(len(classes), 'class', 'classes')}, used with --labels own")
    if index.skipped:
        typer.echo(f"left out {len(index.skipped)}:")
        for name, reason in index.skipped:
            typer.echo(f"  {printable(name)}: {printable(reason)}")
    own = "own" if classes and labels not in (None, "none") else None
    typer.echo(f"next: {printable(shared.train_line(str(dest), video, labels=own))}")


data_app.command("get")(get)
data_app.add_typer(cache_app, name="cache")
