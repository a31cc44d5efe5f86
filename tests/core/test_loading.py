"""Loading takes no more memory than a file has bytes, imports nothing, and never stands one model in for another."""

import json
import shutil
import subprocess
import sys
import warnings

import pytest
import torch
from small_runs import CommandLine, environment, small
from torch import nn

import gadkit
from gadkit import Generator, RunError, VideoSpec
from gadkit.checkpoints.store import write_folder
from gadkit.errors import DamagedError, GadkitWarning
from gadkit.registry import get_registry
from gadkit.runs import loading
from gadkit.runs.folder import Run

VIDEO = {"channels": 3, "height": 16, "width": 16, "frames": 8, "fps": 10.0, "classes": 0}
SETTINGS = {"latent_dim": 12, "motion_dim": 4, "width": 8, "max_width": 512, "norm": "none", "label_dim": 32}
WALK = {"use": "gadkit:walk", "version": "", "settings": {"spacing": 8.0}}


class Table(Generator):
    """Keeps a table that is not saved.

    Args:
        rows: Of the table.
    """

    latent_dim = 4

    def __init__(self, video, *, rows: int = 1):
        super().__init__(video)
        self.map = nn.Linear(4, 3)
        self.register_buffer("table", torch.zeros(rows, 1 << 18), persistent=False)

    def forward(self, codes, labels=None):
        return torch.tanh(self.map(codes))[..., None, None].expand(-1, -1, -1, 16, 16)


class Looks(Table):
    """Looks at its own numbers while it is built, which have to be there for that."""

    def __init__(self, video, *, rows: int = 1):
        super().__init__(video, rows=rows)
        self.scale = float(self.map.weight.detach().std())


class Refuses(Table):
    """Cannot be built at all."""

    def __init__(self, video, *, rows: int = 1):
        super().__init__(video, rows=rows)
        raise ZeroDivisionError("no such net")


def document(**changes):
    dcgan = {"use": "gadkit:dcgan", "version": "", "settings": SETTINGS}
    model = {"format": 1, "gadkit": "0", "step": 5, "recipe": "dcgan", "video": VIDEO, "classes": []}
    return model | {"generator": dcgan, "assembler": WALK} | changes


def write(folder, description, weights=None):
    """A model's folder, consistent in itself whatever it says."""
    if weights is None:
        cls = get_registry().find("generator", "dcgan").load()
        weights = {f"generator.{k}": v for k, v in cls(VideoSpec(**VIDEO), **SETTINGS).state_dict().items()}
    write_folder(folder, {"model.safetensors": weights}, {"config.json": description}, {})
    return folder


def of(cls, **settings):
    """A description of a class of this file, and weights for it."""
    use = {"use": f"python:{cls.__name__}", "version": "", "settings": settings}
    weights = {"generator.map.weight": torch.ones(3, 4), "generator.map.bias": torch.zeros(3)}
    return document(generator=use), weights


# --- nothing is allocated that the file does not hold ----------------------------------------------------------------

HUGE = {
    "width": document(
        generator=document()["generator"] | {"settings": SETTINGS | {"width": 10**6, "max_width": 10**6}}
    ),
    "latent_dim": document(generator=document()["generator"] | {"settings": SETTINGS | {"latent_dim": 10**9}}),
    "beyond 64 bits": document(generator=document()["generator"] | {"settings": SETTINGS | {"latent_dim": 10**18}}),
    "frames": document(video=VIDEO | {"frames": 10**9}),
    "classes": document(video=VIDEO | {"classes": 10**9}),
    "size": document(video=VIDEO | {"height": 10**9, "width": 10**9}),
    "channels": document(video=VIDEO | {"channels": 10**9}),
}


SCRIPT = """
import resource, sys, gadkit
from gadkit.runs import loading
loading.load(sys.argv[1], device="cpu")
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30),) * 2)
for folder in sys.argv[2:]:
    try:
        loading.load(folder, device="cpu")
    except gadkit.GadkitError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measures the process as Linux tells it")
def test_a_description_of_something_huge_is_refused_before_memory_is_taken(tmp_path):
    """In a process that gets a gigabyte and no more; the smallest of these nets takes five."""
    folders = [write(tmp_path / "whole", document())]
    folders += [write(tmp_path / name, description) for name, description in HUGE.items()]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, folders)],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert len(told) == len(HUGE)
    for line, folder in zip(told, folders[1:], strict=True):
        assert str(folder) in line or "size: found" in line, line
        assert "memory" not in line
    for name, words in {
        "width": "does not fit generator 'gadkit:dcgan' as it is here (layers.0.weight has the shape",
        "frames": "its video.frames is 1000000000, and must be an integer from 1 to 1048576",
        "classes": "its video.classes is 1000000000, and must be",
        "size": "its video.height is 1000000000, and must be",
    }.items():
        assert words in told[list(HUGE).index(name)]


def test_what_a_net_keeps_beside_its_weights_is_bounded(tmp_path):
    description, weights = of(Table, rows=1)
    small_one = write(tmp_path / "small", description, weights)
    assert loading.load(small_one, generator=Table, device="cpu").sample(length=2).shape == (1, 2, 3, 16, 16)
    description, weights = of(Table, rows=10**6)  # a terabyte
    with pytest.raises(RunError, match=r"beside what is saved it would take 1,048,576,000,000 bytes"):
        loading.load(write(tmp_path / "large", description, weights), generator=Table, device="cpu")


def test_a_net_that_looks_at_its_numbers_while_it_is_built_is_built_with_memory(tmp_path):
    description, weights = of(Looks)
    folder = write(tmp_path / "model", description, weights)
    assert loading.load(folder, generator=Looks, device="cpu").sample(length=2).shape == (1, 2, 3, 16, 16)


def test_settings_that_make_no_net_are_an_error_of_the_file(tmp_path):
    description, weights = of(Refuses)
    with pytest.raises(RunError, match=r"config\.json: its settings make no net \(ZeroDivisionError: no such net\)"):
        loading.load(write(tmp_path / "model", description, weights), generator=Refuses, device="cpu")


def tensors(**changes):
    """What `Table` keeps, with changes; `None` takes a tensor out."""
    whole = {"generator.map.weight": torch.ones(3, 4), "generator.map.bias": torch.zeros(3)}
    changed = whole | {f"generator.map.{name}": value for name, value in changes.items()}
    return {name: value for name, value in changed.items() if value is not None}


@pytest.mark.parametrize(
    ("weights", "found"),
    [
        (tensors(weight=None), "there is no map.weight"),
        (tensors(more=torch.ones(1)), "'map.more' is nothing that it has"),
        (tensors(weight=torch.ones(4, 3)), r"map.weight has the shape \(4, 3\), not \(3, 4\)"),
        (tensors(bias=torch.zeros(3, dtype=torch.int64)), "map.bias is torch.int64, not torch.float32"),
        (tensors(bias=torch.zeros(3, dtype=torch.complex64)), "map.bias is torch.complex64, not torch.float32"),
    ],
    ids=["too few", "too many", "turned", "integers", "complex"],
)
def test_weights_of_another_net_are_told_from_the_header(tmp_path, monkeypatch, weights, found):
    description, _ = of(Table)
    monkeypatch.setattr(loading, "read_tensors", None)  # it never comes to that
    with pytest.raises(RunError, match=found):
        loading.load(write(tmp_path / "model", description, weights), generator=Table, device="cpu")


def test_weights_in_other_floating_point_numbers_fit(tmp_path):
    description, _ = of(Table)
    weights = tensors(weight=torch.ones(3, 4, dtype=torch.float64), bias=torch.zeros(3, dtype=torch.bfloat16))
    model = loading.load(write(tmp_path / "model", description, weights), generator=Table, device="cpu")
    assert model.generator.map.weight.dtype == torch.float32


# --- descriptions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"format": True}, "it has no format"),
        ({"step": True}, "its step is True, and must be an integer from 0 on"),
        ({"step": 10**4000}, "its step is an integer beyond 64 bits"),
        ({"classes": ["a"]}, "it names 1 classes, and its video.classes is 0"),
        ({"classes": [3]}, "its classes are no list of names"),
        ({"recipe": ["x"]}, "its recipe is ['x'], and must be text"),
        ({"assembler": WALK | {"version": {}}}, "its assembler.version is {}, and must be text"),
        ({"video": VIDEO | {"height": True}}, "its video.height is True"),
        ({"video": VIDEO | {"width": 0}}, "its video.width is 0, and must be an integer from 1 to"),
        ({"video": VIDEO | {"height": 8193, "width": 8192}}, "its frames are 8192×8193 pixels, more than 67,108,864"),
        ({"video": VIDEO | {"fps": float("nan")}}, "its video.fps is nan, and must be a positive number"),
        ({"video": VIDEO | {"fps": float("inf")}}, "its video.fps is inf"),
        ({"video": VIDEO | {"fps": 0}}, "its video.fps is 0"),
        ({"video": VIDEO | {"fps": "25"}}, "its video.fps is '25'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_description_says_has_bounds(tmp_path, changes, found):
    folder = write(tmp_path / "model", document(**changes))
    with pytest.raises(RunError) as caught:
        loading.load(folder)
    assert found in str(caught.value)
    assert str(folder / "config.json") in str(caught.value)
    assert len(str(caught.value)) < 1000


# --- which checkpoint ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run with checkpoints of steps 0 to 3, whose best is that of step 2."""
    run = tmp_path_factory.mktemp("trained") / "run"
    small(run, steps=3, checkpoint_every=1, keep=9, sample_every=100)
    (run / "best.json").write_text('{"step": 2}')
    return run


@pytest.fixture
def run(trained, tmp_path):
    """A copy of it, to harm."""
    return Run(shutil.copytree(trained, tmp_path / "run"))


def harm(checkpoint):
    """Flips a bit of the weights."""
    path = checkpoint / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def step(model):
    return model.document["step"]


def test_a_run_is_loaded_by_step_by_name_and_by_best(run):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert step(gadkit.load(run.path, device="cpu")) == 3
        assert step(gadkit.load(run.path, checkpoint=1, device="cpu")) == 1
        assert step(gadkit.load(run.path, checkpoint="step-000000", device="cpu")) == 0
        assert step(gadkit.load(run.path, checkpoint="best", device="cpu")) == 2


def test_in_place_of_a_damaged_latest_checkpoint_the_one_before_is_loaded_and_a_warning_says_so(run):
    three, two, _, _ = reversed(run.checkpoints())
    harm(three)
    with pytest.warns(GadkitWarning) as told:
        assert step(gadkit.load(run.path, device="cpu")) == 2
    assert str(three / "model.safetensors") in str(told[0].message)
    assert str(told[0].message).endswith("step-000002 is loaded in its place.")
    assert three.is_dir()  # loading moves nothing
    harm(two)
    with pytest.warns(GadkitWarning, match="step-000001 is loaded in its place"):
        assert step(gadkit.load(run.path, device="cpu")) == 1


def test_a_damaged_checkpoint_that_was_named_is_an_error(run):
    for path in run.checkpoints():
        if path.name != "step-000000":
            harm(path)
    for name in (3, "step-000003", "best"):
        with pytest.raises(DamagedError, match=r"model\.safetensors: its SHA-256 is"):
            gadkit.load(run.path, checkpoint=name, device="cpu")
    harm(run.checkpoint_path(0))
    with pytest.raises(RunError, match=r"none of its checkpoints is whole; the newest: .*step-000003"):
        gadkit.load(run.path, device="cpu")


def test_a_checkpoint_of_another_program_is_not_skipped(run):
    """What is whole and does not fit is no damage: another checkpoint would not be what was asked for."""
    write(run.checkpoint_path(3), document(format=2))
    with pytest.raises(RunError, match="format is 2, and this gadkit reads 1"):
        gadkit.load(run.path, device="cpu")


def test_the_command_line_warns_in_one_line(run, tmp_path, monkeypatch, capsys):
    write(run.checkpoint_path(4), document())
    harm(run.checkpoint_path(4))
    write(run.checkpoint_path(3), document())
    gadkit_ = CommandLine(monkeypatch, capsys)
    done = gadkit_("export", run.path, tmp_path / "exported")
    assert done.code == 0, done.err
    (line,) = done.err.splitlines()
    assert line.startswith(f"gadkit: warning: {run.checkpoint_path(4) / 'model.safetensors'}: its SHA-256 is")
    assert json.loads((tmp_path / "exported" / "config.json").read_text())["step"] == 5
