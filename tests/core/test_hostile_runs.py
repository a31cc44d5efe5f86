"""Whoever made a run, a model, a configuration or a pack: it is refused, or it is what its files say."""

import json
import os
import resource
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import hostile_probe
import hostile_runs
import pytest
import tomli_w
from small_runs import environment

import gadkit
from gadkit import PluginError, RunError
from gadkit.registry import Registry
from gadkit.runs.inside import check_inside

#: How many are tried: 2,000 are enough for every kind of harm in most places; the suite tries a fifth.
COUNT = int(os.environ.get("GADKIT_TEST_MUTATIONS", "452"))
SEED = 1
#: What none of them may take, of processor time and of memory.
SECONDS = 5.0
MEMORY = 1 << 30

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are limited as Linux does it")


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    return hostile_runs.material(tmp_path_factory.mktemp("material"))


def probe(material, root, count, seed):
    """What became of every case; a process that crashes or hangs on one is followed by another behind it."""
    for name in ("cache", "temporary"):
        (root / name).mkdir(parents=True)
    found = []
    paths = os.pathsep.join(map(str, (Path(hostile_probe.__file__).parent, environment()["PYTHONPATH"])))
    variables = environment(
        PYTHONPATH=paths, GADKIT_CACHE=str(root / "cache"), TMPDIR=str(root / "temporary"), HOME=str(root)
    )
    first = 0
    while first < count:
        command = [sys.executable, hostile_probe.__file__, material, root / f"from-{first}", seed, count, first]
        done = subprocess.run(
            [*map(str, command)], env=variables, capture_output=True, text=True, timeout=1800, check=False
        )
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert lines, done.stderr[-3000:]
        found += [line for line in lines if "outcome" in line]
        if "outcome" not in lines[-1]:
            found.append(lines[-1] | {"outcome": "ended", "problem": f"it ended the process: {done.stderr[-2000:]}"})
        first = found[-1]["number"] + 1
    return found


def test_every_mutation_is_refused_in_a_sentence_or_loaded_as_what_it_says(material, tmp_path):
    found = probe(material, tmp_path, COUNT, SEED)
    assert [case["number"] for case in found] == list(range(COUNT))
    assert not [(case["name"], case["problem"]) for case in found if case["problem"]]
    assert max(case["seconds"] for case in found) < SECONDS
    assert max(case["bytes"] for case in found) < MEMORY
    # the probe was no dummy: of every way in, some were refused and some were loaded
    outcomes = Counter((case["way"], case["outcome"]) for case in found)
    assert outcomes.keys() == {
        (way, outcome) for way in ("load", "judge", "resume", "resolve", "pack") for outcome in ("refused", "loaded")
    }


# --- the probe sees what it is to see --------------------------------------------------------------------------------


def test_the_probe_notices_what_is_written_run_and_imported(material, tmp_path):
    """In a process of its own, for what watches stays."""
    script = (
        "import os, pickle, subprocess, sys\n"
        "from pathlib import Path\n"
        "from hostile_probe import Watcher\n"
        "root = Path(sys.argv[1])\n"
        "(root / 'inside').mkdir(); (root / 'allowed').mkdir(); (root / 'outside').mkdir()\n"
        "(root / 'inside' / 'link').symlink_to(root / 'outside')\n"
        "(root / 'outside' / 'there').write_text('x')\n"
        "os.chdir(root)\n"
        "watcher = Watcher([root / 'allowed'])\n"
        "def seen(harm):\n"
        "    watcher.found, watcher.inside = [], str(root / 'inside') + os.sep\n"
        "    harm()\n"
        "    watcher.inside = ''\n"
        "    return len(watcher.found)\n"
        "harms = [\n"
        "    lambda: open('inside/a', 'w').close(), lambda: open('allowed/a', 'w').close(),\n"
        "    lambda: open('outside/there').close(), lambda: os.rename('inside/a', 'inside/b'),\n"
        "    lambda: open('outside/a', 'w').close(), lambda: open('inside/link/b', 'w').close(),\n"
        "    lambda: os.remove('outside/a'), lambda: os.rename('inside/b', 'outside/c'), lambda: os.mkdir('new'),\n"
        "    lambda: open('inside/../d', 'a').close(), lambda: subprocess.run(['true']),\n"
        "    lambda: pickle.loads(pickle.dumps(Path)), lambda: compile('1', 'inside/e.py', 'exec'),\n"
        "    lambda: compile('1', str(root / 'inside' / 'e.py'), 'exec'),\n"
        "]\n"
        "print([seen(harm) for harm in harms])\n"
    )
    paths = os.pathsep.join(map(str, (Path(hostile_probe.__file__).parent, environment()["PYTHONPATH"])))
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path.resolve())],
        env=environment(PYTHONPATH=paths),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *counts, relative, absolute = json.loads(done.stdout)
    assert counts[:4] == [0, 0, 0, 0]
    assert all(counts[4:])
    assert (relative, bool(absolute)) == (0, True)


# --- names and links -------------------------------------------------------------------------------------------------


@pytest.fixture
def run(material, tmp_path):
    """A copy of the run, and where a link could lead."""
    (tmp_path / "outside").mkdir()
    return Path(shutil.copytree(material / "run", tmp_path / "run"))


def test_a_plugin_file_that_a_configuration_names_is_asked_for_and_not_loaded(run, tmp_path):
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'touched')!r}, 'w')\n")
    with (run / "config.toml").open("a") as file:
        file.write(f'\n[[plugins]]\npath = "{evil}"\n')
    for choices in ({"config": run / "config.toml", "out": tmp_path / "new"}, {"resume": run}):
        with pytest.raises(gadkit.ConfigError, match=r"needs the plugin file .*evil\.py'.*: pass it with --plugin"):
            gadkit.train(**choices)
    assert "evil" not in sys.modules
    assert not (tmp_path / "touched").exists()


def test_a_class_of_python_is_found_only_where_it_was_passed_in_this_process():
    registry = Registry.discover()
    name = "python:synthetic.Squares"
    with pytest.raises(PluginError, match="pass the class again"):
        registry.find("dataset", name)
    from synthetic import Squares

    registry.adopt("dataset", Squares)
    assert registry.find("dataset", name).load() is Squares
    with pytest.raises(PluginError, match="pass the class again"):
        registry.find("generator", name)
    with pytest.raises(PluginError, match="pass the class again"):
        registry.find("dataset", "python:synthetic.Squares.__init__")


@pytest.mark.parametrize("name", ["log.jsonl", ".log.jsonl.partial", ".lock", "environment.json", "samples", "new"])
def test_a_run_goes_on_only_in_its_own_folder(run, tmp_path, name):
    """A link out of it would have gadkit write where the link leads."""
    outside = tmp_path / "outside" / "theirs"
    place = run / name
    if place.is_dir():
        shutil.rmtree(place)
    elif place.exists():
        place.unlink()
    if name == "samples":
        outside.mkdir()
    else:
        outside.write_text("theirs")
    place.symlink_to(outside)
    with pytest.raises(RunError, match="is a link that leads out of the run's folder") as caught:
        gadkit.train(resume=run, set={"run.steps": 3})
    assert str(place) in str(caught.value)
    assert list(outside.iterdir()) == [] if outside.is_dir() else outside.read_text() == "theirs"


def test_a_run_may_be_reached_by_links_and_have_links_within(run, tmp_path):
    (tmp_path / "elsewhere").symlink_to(run)
    (run / "newest").symlink_to(run / hostile_runs.NEWEST)
    (run / "nothing").symlink_to("not-there")
    check_inside(tmp_path / "elsewhere")
    os.mkfifo(run / "checkpoints" / "pipe")
    with pytest.raises(RunError, match="pipe: is neither a file nor a folder"):
        check_inside(run)
    with pytest.raises(RunError, match="cannot be read"):
        check_inside(tmp_path / "not-there")


@pytest.fixture
def little_memory():
    """A process that gets two more gigabytes, and no more."""
    limit = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 30), limit[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, limit)


@pytest.mark.parametrize(
    ("section", "values", "found"),
    [
        (
            "generator",
            {"latent_dim": 10**8},
            r"its generator does not fit .*layers.0.weight has the shape \(4, 8, 4, 4\)",
        ),
        ("discriminator", {"width": 10**5, "max_width": 10**5}, "its discriminator does not fit"),
        ("video", {"height": 10**9}, r"video\.height: found 1000000000, but .* was trained with 16"),
        ("video", {"frames": 10**9}, r"video\.frames: found 1000000000, but .* was trained with 4"),
    ],
    ids=["generator", "discriminator", "height", "frames"],
)
@pytest.mark.usefixtures("little_memory")
def test_a_run_goes_on_only_with_the_nets_that_its_checkpoint_holds(run, section, values, found):
    """Its configuration is a text beside the checkpoints, and nothing is built of it that they do not fit."""
    path = run / "config.toml"
    document = tomllib.loads(path.read_text())
    document[section] |= values
    path.write_text(tomli_w.dumps(document))
    with pytest.raises(gadkit.GadkitError, match=found):
        gadkit.train(resume=run, set={"run.steps": 3})
