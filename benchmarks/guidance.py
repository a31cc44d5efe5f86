"""What gradient directions and refined samples are worth on video.

    python benchmarks/guidance.py DATA --out DIR [--minutes 8] [--seeds 0 1 2]
        [--directions alternating,fresh=true optimistic] [--refine steps=10 steps=10,weight=10,rate=0.01]
        [--clips 256] [--resolution 32]

Trains DCGAN's nets with RpGAN+R1+R2 on DATA once for every direction and seed, for equal wall-clock time: the
directions of a seed run at the same time, on one thread each, so that whatever else the machine does meets them alike.
A fifth of the videos is held out. Each run is then sampled as it is and refined, and measured: the Fréchet video
distance to the training clips with its floor and its spread over resamplings, precision, recall, density and coverage,
and how much nearer than held-out videos the samples lie to training videos. Results stay in the runs' folders
`evaluations/`; what is there already is not made again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gadkit

#: A fifth of the videos, for memorisation.
HELD_OUT = 0.2
#: Metrics, and the part of the data that they are taken against.
GROUPS = {"distance": (["fvd", "prdc"], "training"), "memorisation": (["memorisation"], "held-out")}


def train(args: argparse.Namespace, direction: str, seed: int) -> Path:
    """One run, in a process of its own."""
    name, *own = direction.split(",")
    out = Path(args.out) / f"{direction.replace(',', '-')}-{seed}"
    if out.exists():
        return out
    side = args.resolution
    settings = [
        "generator.width=32",
        "discriminator.width=16",
        f"penalty.gamma={args.gamma}",
        f"run.max_time={60 * args.minutes}",
        "trainer.ema=2000",
        *(f"direction.{setting}" for setting in own),
    ]
    command = [sys.executable, "-m", "gadkit", "train", "--recipe", "dcgan", "--data", args.data, "--resolution", side]
    command += ["--loss", "rpgan", "--penalty", "r1r2", "--refiner", "proximal"]
    command += ["--direction", name, "--seed", seed, "--held-out", HELD_OUT, "--steps", 10**6, "--out", out]
    command += ["--sample-every", 1000, "--checkpoint-every", 2000]
    command += [word for text in (*settings, *args.set) for word in ("--set", text)]
    with out.with_suffix(".log").open("w") as log:
        subprocess.run(
            [str(word) for word in command],
            check=True,
            stdout=log,
            stderr=log,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    return out


def measure(args: argparse.Namespace, run: Path, refine: dict[str, Any] | int, group: str) -> dict[str, Any]:
    """The numbers of a run, sampled in one way."""
    name = "plain" if refine == 0 else "refined-" + "-".join(f"{key}{value}" for key, value in refine.items())
    place = run / f"guidance-{name}-{group}-{args.clips}.json"
    if not place.exists():
        metrics, split = GROUPS[group]
        made = gadkit.evaluate(
            run,
            metrics=metrics,
            features="i3d",
            clips=args.clips,
            real_clips=args.clips,
            split=split,
            refine=refine,
            device="cpu",
        )
        values = {key: score.to_dict() for key, score in made.values.items()}
        place.write_text(json.dumps({"step": made.step, "values": values}, indent=1))
    found: dict[str, Any] = json.loads(place.read_text())
    return found


def parse(text: str) -> dict[str, Any]:
    """`steps=10,weight=1` as settings of a refiner."""
    pairs = [pair.partition("=")[::2] for pair in text.split(",")]
    return {key: value if key == "use" else int(value) if key == "steps" else float(value) for key, value in pairs}


def main() -> None:
    """Trains, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--out", required=True)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--directions", nargs="+", default=["alternating,fresh=true", "optimistic"])
    parser.add_argument("--refine", nargs="*", default=["steps=10", "steps=10,weight=10,rate=0.01"])
    parser.add_argument("--clips", type=int, default=256)
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--gamma", type=float, default=0.5)
    parser.add_argument("--set", nargs="*", default=[], help="settings of every run, such as generator.norm=none")
    args = parser.parse_args()
    Path(args.out).mkdir(parents=True, exist_ok=True)
    runs: dict[str, list[Path]] = {direction: [] for direction in args.directions}
    for seed in args.seeds:
        with ThreadPoolExecutor(len(args.directions)) as pool:
            for direction, run in zip(
                args.directions, pool.map(lambda each, seed=seed: train(args, each, seed), args.directions), strict=True
            ):
                runs[direction].append(run)
    ways: list[dict[str, Any] | int] = [0, *map(parse, args.refine)]
    for group in GROUPS:
        for way in ways:
            for direction, folders in runs.items():
                found = [measure(args, run, way, group) for run in folders]
                steps = ", ".join(f"{each['step']:,}" for each in found)
                print(f"{direction}, {'plain' if way == 0 else way} (steps {steps})", flush=True)
                for name in found[0]["values"]:
                    print(f"  {name:22} {shown([each['values'][name] for each in found])}", flush=True)


def shown(scores: list[dict[str, Any]]) -> str:
    """A value of several runs: its mean, each with its spread over resamplings, and the floor."""
    each = ", ".join(f"{score['value']:.4g}" + (f" ± {score['std']:.2g}" if score["std"] else "") for score in scores)
    floor = f"; floor {scores[0]['floor']:.4g}" if scores[0].get("floor") is not None else ""
    return f"mean {statistics.fmean(score['value'] for score in scores):.4g} ({each}{floor})"


if __name__ == "__main__":
    main()
