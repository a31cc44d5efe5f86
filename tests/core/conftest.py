"""What the tests of a model's discriminator share: a run and an export that are only read, and copies to harm."""

import shutil

import pytest
from small_judges import REFINER
from small_runs import SETTINGS, small

import gadkit
from gadkit.runs.folder import Run


@pytest.fixture(scope="session")
def judged_run(tmp_path_factory):
    """A run with the checkpoints of steps 0 to 2."""
    run = tmp_path_factory.mktemp("judged") / "run"
    small(run, steps=2, checkpoint_every=1, keep=9, set=SETTINGS | REFINER)
    return run


@pytest.fixture(scope="session")
def judged_model(judged_run, tmp_path_factory):
    """The model of that run, exported with its discriminator."""
    return gadkit.load(judged_run, device="cpu").export(tmp_path_factory.mktemp("judged") / "model", discriminator=True)


@pytest.fixture
def judged_checkpoint(judged_run, tmp_path):
    """The newest checkpoint of a copy of the run."""
    return Run(shutil.copytree(judged_run, tmp_path / "run")).checkpoints()[-1]


@pytest.fixture
def judged_copy(judged_model, tmp_path):
    """A copy of the exported model."""
    return shutil.copytree(judged_model, tmp_path / "model")


@pytest.fixture(params=["judged_checkpoint", "judged_copy"], ids=["checkpoint", "model"])
def judged(request):
    """A checkpoint, or an exported model."""
    return request.getfixturevalue(request.param)
