"""The article's comparison, made fairly: tuned alike, frozen, and measured on clips that nobody tuned on.

    python benchmarks/rivals.py pace --data CLIPS --out DIR [--jobs 2]
    python benchmarks/rivals.py tune --data CLIPS --out DIR [--minutes 4] [--jobs 2]
    python benchmarks/rivals.py final --data CLIPS --out DIR [--minutes 10] [--seeds 100 101 102] [--jobs 2]
    python benchmarks/rivals.py ablate --data CLIPS --out DIR [--minutes 10] [--seeds 100 101 102] [--jobs 2]

Videos of 16 frames at 32x32 (`--resolution`). `pace` counts the steps that each variant makes in a minute of a quiet
machine, with as many trainings beside each other as the later ones will have, into DIR/paces.json; from then on
minutes are steps by that count, so that nothing depends on what else the machine does, and all of it can be made again
to the bit. Where settings are kept already it counts those alone, for a machine that they were not tuned on.

Three parts of ten of the videos are kept for the end, by a hash of their names, or of what `--group` finds in them.
`tune` trains on the others alone: every recipe has the same number of trials (`TRIALS`), with one seed and for equal
time, and the settings of the trial with the least distance to a fifth of these others, which it was not trained on, are
kept in DIR/tuned.json. `final` trains with these and with seeds that no trial had, and measures against the part that
was kept for the end; another set of clips takes the same settings and paces (`--tuned DIR/tuned.json`). `ablate`
exchanges one part of `gad` at a time, beside the runs that `final` made in the same DIR, where it did.

Everything is `gadkit compare`, so whatever is cut off goes on with the same line; `--print-commands` prints one for
each run of `final` or `ablate` instead, for a job array.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from pathlib import Path
from typing import Any

import gadkit
from gadkit.comparison.compare import Comparison, commands
from gadkit.data.labels import held_out
from gadkit_plugins.data.tree import is_video

#: The part of the videos that is kept for the end: those whose hash, a number from 0 to 1, lies below this. Trials see
#: the others, so what they hold out are those up to another bound: a fifth of them.
KEPT = 0.3
JUDGING = KEPT + 0.2 * (1 - KEPT)

_RATES = "trainer.generator_lr={0},trainer.discriminator_lr={0}"

#: The trials of each recipe: what each sets.
TRIALS: dict[str, list[str]] = {
    "article": ["", *(f"{_RATES.format(rate)},trainer.batch_size=16" for rate in (2e-4, 1e-4, 5e-4))],
    "dcgan": [f"{_RATES.format(rate)},penalty.gamma={gamma}" for rate in (5e-4, 2e-4) for gamma in (0.5, 2)],
    "mocogan": [f"{_RATES.format(rate)},trainer.ema=500" for rate in (2e-4, 1e-4, 4e-4, 8e-4)],
    "lstm": [f"{_RATES.format(rate)},penalty.gamma={gamma}" for rate in (5e-4, 2e-4) for gamma in (0.5, 2)],
    "transformer": [f"{_RATES.format(rate)},penalty.gamma={gamma}" for rate in (5e-4, 2e-4) for gamma in (0.5, 2)],
    "vae": [f"trainer.generator_lr={rate},trainer.beta={beta}" for rate in (1e-3, 5e-4) for beta in (20, 40)],
    "gad": [
        f"{_RATES.format(rate)},penalty.gamma=0.5,trainer.batch_size={batch}"
        for rate in (5e-4, 1e-3)
        for batch in (16, 32)
    ],
}

#: What an ablation of `gad` exchanges, one at a time.
EXCHANGED: dict[str, str] = {
    "loss": "loss=nonsaturating",
    "penalty": "penalty=r1r2",
    "direction": "direction=optimistic",
    "assembler": "assembler=independent",
    "nets": "generator=dcgan,discriminator=dcgan-clip",
    "refiner": "refiner=proximal",
    "augmentation": "augmentation=none",
    "bound": "generator.bound=tanh",
}


def development(args: argparse.Namespace) -> Path:
    """A folder with copies of the videos that are not kept for the end."""
    part: Path = args.out / "development"
    part.mkdir(parents=True, exist_ok=True)
    videos = sorted(filter(is_video, args.data.iterdir()))
    kept = held_out([video.name for video in videos], [{}] * len(videos), args.group, KEPT)
    for video, out in zip(videos, kept, strict=True):
        if not out and not (part / video.name).exists():
            shutil.copy2(video, part / video.name)
    return part


def kind(recipe: str, settings: str) -> str:
    """What the speed of a variant hangs on: its recipe, its parts and its batch."""
    told = [each for each in settings.split(",") if "." not in each or each.startswith("trainer.batch_size")]
    return ",".join(filter(None, (recipe, *told)))


def variants(tuned: Path) -> dict[str, tuple[str, str]]:
    """Recipe and settings of one variant of each kind that a later stage may train."""
    tried = {name: [kept] for name, kept in json.loads(tuned.read_text()).items()} if tuned.exists() else TRIALS
    found = {kind(name, settings): (name, settings) for name, trials in tried.items() for settings in trials}
    for exchanged in EXCHANGED.values():
        for settings in tried["gad"]:
            whole = exchange(exchanged, settings)
            found.setdefault(kind("gad", whole), ("gad", whole))
    return found


def exchange(exchanged: str, settings: str) -> str:
    """Settings of a variant with one part exchanged, without those of the part that it had; a penalty keeps its own."""
    part = exchanged.partition("=")[0]
    kept = (each for each in settings.split(",") if not each.startswith(f"{part}.") or part == "penalty")
    return ",".join(filter(None, (exchanged, *kept)))


def pace(args: argparse.Namespace) -> None:
    """DIR/paces.json: steps a minute of each kind of variant."""
    chosen = variants(args.tuned)
    names = {f"v{number}": each for number, each in enumerate(chosen)}
    found = gadkit.compare(
        *(f"{name}={chosen[each][0]},{chosen[each][1]}".rstrip(",") for name, each in names.items()),
        out=args.out / "paces",
        minutes=1,
        seeds=(0,),
        held_out=JUDGING,
        metrics=["motion"],
        clips=16,
        curve=0,
        videos=1,
        data=development(args),
        **shared(args),
        **working(args),
    )
    speeds = {names[row.name]: row.fact("steps_per_second") for row in found.rows}
    paces = {name: round(60 * speed.mean, 2) for name, speed in speeds.items() if speed is not None}
    (args.out / "paces.json").write_text(json.dumps(paces, indent=1))
    print(json.dumps(paces, indent=1))


def shared(args: argparse.Namespace) -> dict[str, Any]:
    """What all stages ask for alike."""
    return {"resolution": args.resolution, "frames": 16, "set": [f"clips.group={args.group}"]}


def working(args: argparse.Namespace) -> dict[str, Any]:
    """How all stages go about it."""
    return {"jobs": args.jobs, "tell": lambda text: print(text, flush=True)}


def entry(args: argparse.Namespace, name: str, recipe: str, settings: str) -> str:
    """How `gadkit compare` names a variant that makes the steps of so many minutes."""
    paces = json.loads(args.paces.read_text())
    made = kind(recipe, settings)
    if made not in paces:
        raise SystemExit(f"{args.paces}: found no steps a minute of {made}; count them with `pace` in another --out.")
    steps = round(paces[made] * args.minutes)
    return ",".join(filter(None, (f"{name}={recipe}", settings, f"run.steps={steps}")))


def asked(args: argparse.Namespace, stage: str, **how: Any) -> dict[str, Any]:
    """What a comparison is asked for; its own clock ends no run, however busy the machine is."""
    return {"out": args.out / stage, "minutes": 100 * args.minutes, "clips": args.clips, **shared(args), **how}


def compare(args: argparse.Namespace, stage: str, entries: list[str], **how: Any) -> Comparison:
    """One comparison."""
    found = gadkit.compare(*entries, **asked(args, stage, **how), **working(args))
    print((found.path / "table.md").read_text())
    return found


def report(args: argparse.Namespace, stage: str, entries: list[str]) -> None:
    """A comparison of trainings that nothing is chosen by, or the commands that make it."""
    how = {"data": args.data, "seeds": args.seeds, "held_out": KEPT, "features": args.features}
    if args.print_commands:
        print("\n".join(commands(*entries, **asked(args, stage, **how))))
    else:
        compare(args, stage, entries, **how)


def tune(args: argparse.Namespace) -> None:
    """Every trial, and DIR/tuned.json: the settings of the best one of each recipe."""
    entries = [
        entry(args, f"{name}-{number}", name, settings)
        for name, trials in TRIALS.items()
        for number, settings in enumerate(trials)
    ]
    found = compare(
        args,
        "trials",
        entries,
        data=development(args),
        seeds=(0,),
        held_out=JUDGING,
        metrics=["fvd"],
        curve=0,
        videos=4,
    )
    look, ranking = found.rankings[0]
    distances = {row.name: spread.mean for row in found.rows if (spread := row.value(look, ranking.value)) is not None}
    best: dict[str, str] = {}
    for name, trials in TRIALS.items():
        own = {number: distances.get(f"{name}-{number}", math.inf) for number in range(len(trials))}
        chosen = min(own, key=lambda number: own[number])
        best[name] = trials[chosen]
        print(f"{name}: {', '.join(f'{value:.0f}' for value in own.values())}; kept {trials[chosen] or 'as it comes'}")
    (args.out / "tuned.json").write_text(json.dumps(best, indent=1))


def final(args: argparse.Namespace) -> None:
    """What was kept, with seeds that no trial had, measured against clips that no trial saw, in two networks."""
    tuned = json.loads(args.tuned.read_text())
    entries = [entry(args, name, name, settings) for name, settings in tuned.items()]
    report(args, "final", entries)


def ablate(args: argparse.Namespace) -> None:
    """`gad` as it was kept, of which `final` may have made the runs, and with one part exchanged at a time."""
    kept = json.loads(args.tuned.read_text())["gad"]
    made = [args.out / "final/runs" / f"gad-seed{seed}" for seed in args.seeds]
    there = all(run.exists() for run in made)
    entries = [f"gad={run}" for run in made] if there else [entry(args, "gad", "gad", kept)]
    entries += [entry(args, name, "gad", exchange(exchanged, kept)) for name, exchanged in EXCHANGED.items()]
    report(args, "ablation", entries)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("stage", choices=["pace", "tune", "final", "ablate"])
    parser.add_argument("--data", type=Path, required=True, help="a folder of videos")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tuned", type=Path, help="what `tune` kept; by default DIR/tuned.json")
    parser.add_argument("--paces", type=Path, help="what `pace` found; by default beside what `tune` kept")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--seeds", type=int, nargs="+", default=[100, 101, 102])
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--group", default="file", help="what is kept as a whole; see `gadkit train --group`")
    parser.add_argument("--clips", type=int)
    parser.add_argument("--features", nargs="+", default=["i3d", "random-r3d"])
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once, each on its share of the cores")
    parser.add_argument("--print-commands", action="store_true", help="a command for each run; nothing is trained")
    args = parser.parse_args()
    args.tuned = args.tuned or args.out / "tuned.json"
    args.paces = args.paces or args.tuned.with_name("paces.json")
    args.minutes = args.minutes or (4 if args.stage == "tune" else 10)
    args.clips = args.clips or (192 if args.stage == "tune" else 512)
    {"pace": pace, "tune": tune, "final": final, "ablate": ablate}[args.stage](args)


if __name__ == "__main__":
    main()
