"""The batch script of the documentation: put back into the queue until the run is done."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from small_runs import NETS, SMALL, environment, same_tensors

from gadkit.checkpoints.store import read_tensors
from gadkit.runs.folder import Run

PAGE = Path(__file__).parents[2] / "docs" / "clusters.md"


def program(folder: Path, name: str, text: str) -> None:
    """An executable of the batch script's `PATH`."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def wait_for(pattern: str, log: Path, job: subprocess.Popen) -> None:
    """Until the job's log has a line."""
    while not re.search(pattern, log.read_text(), re.MULTILINE):
        assert job.poll() is None, log.read_text()
        time.sleep(0.05)


def test_the_batch_script_goes_on_until_the_run_is_done(tmp_path, clips):
    (script,) = re.findall(r"^```bash\n(#!/bin/bash\n.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert "#SBATCH --signal=USR1@" in script
    assert "#SBATCH --requeue" in script
    (tmp_path / "job.sh").write_text(script)
    (tmp_path / "my-clips").symlink_to(clips)
    (tmp_path / "bin").mkdir()
    small = " ".join((*SMALL, *NETS, "--checkpoint-every", "2", "--log-every", "1"))
    program(tmp_path / "bin", "gadkit", f'exec {sys.executable} -m gadkit "$@" {small} --steps $STEPS')
    program(tmp_path / "bin", "srun", 'echo $$ > step.pid; exec "$@"')  # the process that gets SLURM's signal
    program(tmp_path / "bin", "scontrol", 'echo "$@" >> scontrol.log')
    log, queue = tmp_path / "job.log", tmp_path / "scontrol.log"

    def turn(steps: int, signals: int) -> int:
        """One turn of the job; its exit code."""
        path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
        variables = environment(PATH=path, STEPS=str(steps), SLURM_JOB_ID="17", CI="1")
        done = len(Run(tmp_path / "runs/mine").read_log())
        with log.open("w") as file:
            job = subprocess.Popen(["bash", "job.sh"], cwd=tmp_path, env=variables, stdout=file, stderr=file)
            if signals:
                wait_for(rf"^step {done + 4}/", log, job)
                os.kill(int((tmp_path / "step.pid").read_text()), signals)
            return job.wait(timeout=120)

    assert turn(100000, signal.SIGKILL) == 128 + signal.SIGKILL
    assert not queue.exists()  # SLURM itself puts back a job whose node fails
    assert turn(100000, signal.SIGUSR1) == 143
    assert queue.read_text() == "requeue 17\n"
    steps = Run(tmp_path / "runs/mine").read_log()[-1]["step"]
    assert f"Stopped with the checkpoint of step {steps}." in log.read_text()
    assert turn(steps + 3, 0) == 0
    assert turn(steps + 3, 0) == 0  # a finished job that is given again
    assert queue.read_text() == "requeue 17\n"
    assert [line["step"] for line in Run(tmp_path / "runs/mine").read_log()] == list(range(1, steps + 4))

    command = [sys.executable, "-m", "gadkit", "train", "--data", clips, *small.split(), "--steps", str(steps + 3)]
    subprocess.run([*map(str, command), "--out", "unbroken"], cwd=tmp_path, env=environment(), check=True, timeout=120)
    ends = [Run(tmp_path / name).find_checkpoint() for name in ("runs/mine", "unbroken")]
    assert same_tensors(*(read_tensors(end, "training.safetensors") for end in ends))
