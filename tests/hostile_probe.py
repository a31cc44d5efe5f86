"""Tries cases of `hostile_runs` one by one in a process of its own, and prints what became of each, a line of JSON.

Called as `hostile_probe.py MATERIAL FOLDER SEED COUNT FIRST`. A case that crashes or hangs ends the process, so the
lines say how far it came; whoever reads them starts it again behind that case.
"""

from __future__ import annotations

import faulthandler
import json
import math
import os
import resource
import shutil
import sys
import time
import tomllib
import traceback
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hostile_runs import HASHED, JUDGE, NEWEST, STEPS, Case, cases
from safetensors.torch import load_file

import gadkit
from gadkit.config import RunConfig
from gadkit.data.pack import open_pack
from gadkit.errors import GadkitError, GadkitWarning
from gadkit.layers import PARTS
from gadkit.registry import get_registry

#: Seconds after which a case is taken to hang: on a busy machine, many times what it may compute.
PATIENCE = 60
#: Address space beyond what the process begins with.
SPACE = 3 << 30

#: Events that write, with the places of their paths and of the folders' descriptors among the arguments.
_WRITES: dict[str, tuple[tuple[int, int], ...]] = {
    **dict.fromkeys(("os.remove", "os.rmdir"), ((0, 1),)),
    **dict.fromkeys(("os.mkdir", "os.chmod"), ((0, 2),)),
    **dict.fromkeys(("os.truncate", "shutil.rmtree"), ((0, -1),)),
    **dict.fromkeys(("os.rename", "os.link"), ((0, 2), (1, 3))),
    **dict.fromkeys(("os.symlink", "shutil.move"), ((1, -1),)),
}
#: Events that run something, or reach for another machine.
_NEVER = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "pickle.find_class",
    "socket.connect",
)


class Watcher:
    """Notes what a case writes outside of its own folder, and what it runs."""

    def __init__(self, allowed: list[Path]) -> None:
        self.allowed = [str(path) + os.sep for path in allowed]
        self.inside = ""
        self.found: list[str] = []
        sys.addaudithook(self._see)

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.inside:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND):
                self._check(event, path)
        elif event in _WRITES:
            for path, folder in _WRITES[event]:
                self._check(event, arguments[path], arguments[folder] if folder > 0 else -1)
        elif event in _NEVER or (event in ("compile", "import") and self.inside in str(arguments)):
            self.found.append(f"{event} {arguments!r:.200}")

    def _check(self, event: str, path: Any, folder: Any = -1) -> None:
        if isinstance(path, int) or path is None:
            return
        base = f"/proc/self/fd/{folder}" if isinstance(folder, int) and folder >= 0 else "."
        place = os.path.realpath(os.path.dirname(os.path.join(os.path.realpath(base), os.fsdecode(path)))) + os.sep
        if not place.startswith((self.inside, *self.allowed)) and os.fsdecode(path) != os.devnull:
            self.found.append(f"{event} {path}")


def main(source: Path, root: Path, seed: int, count: int, first: int) -> None:
    """Tries the cases from number `first` on."""
    faulthandler.enable()
    torch.set_num_threads(1)
    root.mkdir(parents=True, exist_ok=True)
    (root / "outside").mkdir(exist_ok=True)
    (root / "evil.py").write_text("raise SystemExit('imported')\n")
    os.chdir(root)
    sys.path.append(str(root))
    planned = cases(source, count, seed)
    whole_ones = (("load", "model"), ("load", "run"), ("judge", "judged"), ("judge", "run"))
    for way, subject in (*whole_ones, ("resume", "run"), ("resolve", "run"), ("pack", "pack")):
        whole = Case("whole", way, subject, "", lambda folder: None, False)
        assert _try(whole, whole.make(source, root / f"whole-{way}-{subject}")) is not None
    watcher = Watcher([Path(os.environ["GADKIT_CACHE"]).resolve(), Path(os.environ["TMPDIR"]).resolve()])
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + SPACE,) * 2)
    before = _snapshot(source, root)
    for number in range(first, count):
        print(json.dumps({"number": number, "name": planned[number].name}), flush=True)
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        result = _probe(planned[number], source, root, number, watcher)
        faulthandler.cancel_dump_traceback_later()
        if (after := _snapshot(source, root)) != before:
            result["problem"] += f" what lies beside it was changed: {sorted(after.items() ^ before.items())[:4]}"
        print(json.dumps(result), flush=True)


def _snapshot(*folders: Path) -> dict[str, tuple[int, int]]:
    """What lies outside of the cases, with size and time of change."""
    found = {}
    for folder in folders:
        for path in folder.rglob("*"):
            inside = path.relative_to(folder).parts[0]
            if not inside.startswith(("case-", "outside", "cache", "temporary")):
                status = path.lstat()
                found[str(path)] = status.st_size, status.st_mtime_ns
    return found


def _probe(case: Case, source: Path, root: Path, number: int, watcher: Watcher) -> dict[str, Any]:
    folder = root / f"case-{number}"
    result: dict[str, Any] = {"number": number, "name": case.name, "way": case.way, "problem": "", "said": ""}
    place = case.make(source, folder)
    peak, began, modules = _peak(), time.process_time(), set(sys.modules)
    watcher.inside, watcher.found = str(folder.resolve()) + os.sep, []
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            value = _try(case, place)
        result["outcome"] = "loaded"
        result["said"] = " ".join(str(each.message) for each in told if issubclass(each.category, GadkitWarning))
        watcher.inside = ""
        result["problem"] = _compare(case, source, place, value, result["said"])
    except GadkitError as error:
        result["outcome"], result["said"] = "refused", str(error)
        result["problem"] = _sentence(case, place, str(error))
    except BaseException:
        result["outcome"], result["problem"] = "raised", traceback.format_exc()[-3000:]
    finally:
        watcher.inside = ""
    result |= {"seconds": time.process_time() - began, "bytes": _peak() - peak}
    if watcher.found:
        result["problem"] += f" it wrote or ran outside of its folder: {watcher.found[:3]}"
    if grown := [name for name in set(sys.modules) - modules if not _installed(name)]:
        result["problem"] += f" it imported {grown}"
    shutil.rmtree(folder)
    return result


def _installed(name: str) -> bool:
    """Whether a module is Python's, gadkit's or a library's, and not one that only the cases' folder has."""
    file = getattr(sys.modules[name], "__file__", None)
    return file is None or not file.startswith(os.getcwd())


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _try(case: Case, place: Path) -> Any:
    """What it is for a caller."""
    if case.way == "load":
        checkpoint = "best" if case.file == "best.json" else "latest"
        model = gadkit.load(place, checkpoint=checkpoint, device="cpu")
        return model, model.sample(length=2, refine=0)
    if case.way == "judge":
        model = gadkit.load(place, device="cpu")
        return model, model.discriminator, model.refinement()
    if case.way == "resume":
        return gadkit.train(resume=place, set={"run.steps": STEPS + 1})
    if case.way == "resolve":
        return RunConfig.resolve(get_registry(), file=place / (case.file or "config.toml"))
    store = open_pack(place)
    lengths = enumerate(store.lengths.tolist())
    return store, [store.gather(torch.tensor([video]), torch.arange(length)[None]) for video, length in lengths]


# --- what may come of it ---------------------------------------------------------------------------------------------


def _sentence(case: Case, place: Path, said: str) -> str:
    """What is wrong with a refusal: it is one sentence that names the file or the key."""
    if "\n" in said or not said.endswith(".") or len(said) > 3000:
        return f"this is no sentence: {said!r:.300}"
    named = (os.getcwd(), *_keys(place, case.file), *(f"{kind} " for kind in gadkit.component.KINDS))
    return "" if any(name in said for name in named) else f"this names neither file nor key: {said}"


def _keys(place: Path, file: str) -> list[str]:
    sections = (*PARTS, "run", "video", "clips", "data")
    dotted = [f"{each}." for each in sections]
    return [*dotted, *PARTS, "size:", "seed", "recipe", "device", "precision", "--"]


def _compare(case: Case, source: Path, place: Path, value: Any, said: str) -> str:
    """What is wrong with something that was taken: it is to be what its files say."""
    if case.way == "load":
        return _compare_model(case, source, place, value[0], said)
    if case.way == "judge":
        return _compare_judge(case, place, *value)
    if case.way == "resume":
        altered = not case.sealed and case.file.startswith(NEWEST)
        aside = place / f"{NEWEST}.damaged"
        return "an altered checkpoint was gone on with" if altered and not aside.exists() else ""
    if case.way == "resolve":
        return _compare_config(place / case.file, value)
    return _compare_pack(place, *value)


def _compare_model(case: Case, source: Path, place: Path, model: Any, said: str) -> str:
    step = model.document["step"]
    if case.file == "best.json":
        folder = place / f"checkpoints/step-{json.loads((place / 'best.json').read_bytes())['step']:06d}"
    else:
        folder = place if case.subject == "model" else place / NEWEST
        if said:
            folder = place / f"checkpoints/step-{STEPS - 1:06d}"
    if not case.sealed and case.file != "best.json" and bool(said) != (step != STEPS):
        return f"step {step} was loaded, and it said {said!r}"
    original = source / case.subject / folder.relative_to(place)
    for name in HASHED[:2]:
        same = (folder / name).read_bytes() == (original / name).read_bytes()
        if not same and not case.sealed:
            return f"{name} was altered, and loaded"
        if (folder / name).is_symlink():
            return f"{name} is a link out of its folder, and was loaded"
    document = json.loads((folder / "config.json").read_bytes())
    if document["video"] != asdict(model.video) or tuple(document["classes"]) != model.classes:
        return f"it is {model.video}, and its file says {document['video']}"
    weights = {}
    for name, net in (("generator", model.generator), ("assembler", model.assembler)):
        weights |= {f"{name}.{key}": tensor for key, tensor in net.state_dict().items()}
    for name, tensor in load_file(folder / "model.safetensors").items():
        if name in weights and not torch.equal(_bits(tensor.to(weights[name].dtype)), _bits(weights[name])):
            return f"{name} is not what the file says"
    return ""


def _compare_judge(case: Case, place: Path, model: Any, net: Any, refinement: Any) -> str:
    if not case.sealed:
        return f"{case.file} was altered, and a discriminator was made of it"
    said = model.document["refiner"]["settings"] if "refiner" in model.document else {}
    if any(refinement.settings[name] != value for name, value in said.items() if refinement is not None):
        return f"it is refined by {refinement}, and its file says {said}"
    folder = place if case.subject == "judged" else place / f"checkpoints/step-{model.document['step']:06d}"
    held = load_file(folder / (JUDGE if case.subject == "judged" else "training.safetensors"))
    names = {name: f"discriminator.{name}" for name in net.state_dict()}
    if case.subject == "run":
        state = json.loads((folder / "state.json").read_bytes())
        names = {name: value["$tensor"] for name, value in state["nets"]["discriminator"].items()}
    for name, tensor in net.state_dict().items():
        if not torch.equal(_bits(held[names[name]].to(tensor.dtype)), _bits(tensor)):
            return f"{name} of the discriminator is not what the file says"
    return ""


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor's bytes: what is no number equals itself there."""
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _compare_config(path: Path, config: RunConfig) -> str:
    made = config.to_dict()
    for key, value in tomllib.loads(path.read_text()).items():
        for name, inner in value.items() if isinstance(value, Mapping) else [(None, value)]:
            found = made.get(key) if name is None else made.get(key, {}).get(name)
            if isinstance(found, Mapping) and isinstance(inner, str):
                found = found["use"]
            texts = (str(found), str(found).removeprefix("gadkit:"))
            if (
                found != inner
                and str(inner) not in texts
                and not (key in ("format", "plugins") or _same_number(found, inner))
            ):
                return f"{key}.{name} is {found!r:.100}, and the file says {inner!r:.100}"
    return ""


def _same_number(one: Any, other: Any) -> bool:
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in (one, other)):
        return False
    beyond = abs(other) > sys.float_info.max  # an integer that no number of a machine holds
    return one == other or (math.isnan(one) and math.isnan(other)) or (beyond and math.isinf(one))


def _compare_pack(place: Path, store: Any, clips: list[torch.Tensor]) -> str:
    index = json.loads((place / "index.json").read_bytes())
    described = {video["name"]: video for video in index["videos"]}
    height, width = index["geometry"]["height"], index["geometry"]["width"]
    for name, clip in zip(store.names, clips, strict=True):
        video = described[name]
        content = (place / f"shard-{video['shard']:05d}.safetensors").read_bytes()[256:]
        frames = np.frombuffer(content, np.uint8).reshape(-1, height, width, 3)
        if not np.array_equal(clip[0].numpy(), frames[video["start"] : video["start"] + video["length"]]):
            return f"{name} is not what lies at its place"
    return ""


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:6]))
