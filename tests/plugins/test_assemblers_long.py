"""What the assemblers for long videos promise together: prefixes, late frames, and memory that does not grow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from long_assemblers import LATENT, MOVING, SMALL, VIDEO, in_pieces, make, noise
from small_runs import SETTINGS, environment, folder_of_clips, small
from torch import Tensor

import gadkit
from gadkit.evaluation.clips import whole
from gadkit.evaluation.protocol import open_protocol
from gadkit.evaluation.subjects import ModelSubject
from gadkit.registry import get_registry
from gadkit.testing.probes import TinyGenerator

NAMES = list(SMALL)
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("context", [0, 2])
@pytest.mark.parametrize("name", NAMES)
def test_the_first_48_frames_of_200_are_a_video_of_48(name: str, context: int) -> None:
    """Bit for bit, in the floats that are rendered."""
    net, generator = make(name), TinyGenerator(VIDEO, LATENT, MOVING, context)
    draws = noise(dtype=torch.float32)

    def film(length: int, start: int = 0) -> Tensor:
        with torch.no_grad():
            return torch.cat([*net.stream(generator, draws, length, start=start)], dim=1)

    long = film(200)
    assert long.std().item() > 0.2
    for length in (1, 17, 48):
        assert torch.equal(film(length), long[:, :length])
    assert torch.equal(film(20, 150), long[:, 150:170])


@pytest.mark.parametrize(("name", "tolerance"), [("lstm", 1e-6), ("transformer", 1e-5), ("motion-codes", 1e-5)])
def test_a_jump_to_frame_100_000_ends_where_streaming_does(name: str, tolerance: float) -> None:
    net, draws = make(name), noise(1, dtype=torch.float32)
    times = torch.arange(100_001, dtype=torch.float64).expand(1, -1)
    with torch.no_grad():
        streamed = in_pieces(net, times.split(2000 if name == "lstm" else 320, dim=1), draws)
        jumped, _ = net.codes(draws, torch.tensor([[0.0, 3.0, 400.0, 100_000.0]]))
    expected = streamed[:, [0, 3, 400, 100_000]]
    torch.testing.assert_close(jumped, expected, rtol=0, atol=tolerance)
    assert not torch.allclose(streamed[:, -1], streamed[:, -2], atol=1e-3)


#: Streams 100 frames of 16 videos and then 10,000, and prints the peak memory in MB after each. What an assembler would
#: keep of every frame (a state, keys and values) is more than 80 MB in all.
STREAMS = """
import json, sys
sys.path.insert(0, sys.argv[3])
import torch
from long_videos import peak
from gadkit import Key, Noise, VideoSpec
from gadkit.registry import get_registry
from gadkit.testing.probes import TinyGenerator

torch.set_num_threads(1)
torch.manual_seed(0)
video = VideoSpec(height=4, width=4, frames=8)
net = get_registry().find("assembler", sys.argv[1]).load()(video, 8, 4, **json.loads(sys.argv[2]))
generator = TinyGenerator(video, 8, 4, 0)
peaks = []
for length in (100, 10_000):
    with torch.no_grad():
        count = sum(block.shape[1] for block in net.stream(generator, Noise(Key.of(0), torch.arange(16)), length))
    assert count == length
    peaks.append(peak() / 1e6)
print(json.dumps(peaks))
"""


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("lstm", {"hidden": 128}),
        ("transformer", {"window": 8, "layers": 2, "heads": 2, "width": 32}),
        ("motion-codes", {"width": 32, "waves": 16}),
    ],
)
def test_memory_does_not_grow_with_the_length(name: str, settings: dict[str, int]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STREAMS, name, json.dumps(settings), str(BENCHMARKS)],
        capture_output=True,
        text=True,
        check=True,
        timeout=250,
        env=environment(),
    )
    short, long = json.loads(done.stdout)
    assert short > 50
    assert long - short < 50


def test_the_benchmark_measures_windows_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A window's frames are those of the streamed video, and the first window's score is what `evaluate` says."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import long_videos

    data = folder_of_clips(tmp_path / "data", count=8, length=20)
    settings = SETTINGS | {"assembler.hidden": 8}
    run = small(tmp_path / "run", dataset=None, data=data, assembler="lstm", set=settings).path
    common = ["--num", "8", "--resamplings", "2", "--features", "random-r3d", "--device", "cpu"]
    options = [*common, "--windows", "0", "33", "--lengths", "20", "--json", str(tmp_path / "long.json")]
    (row,) = long_videos.main([str(run), *options])
    told = {"features": "random-r3d", "clips": 8, "real_clips": 8, "resamplings": 2}
    (score,) = gadkit.evaluate(run, refine=0, device="cpu", **told).values.values()
    assert row["drift"]["0"] == score.to_dict()
    assert row["drift"]["33"]["value"] != score.value
    assert row["drift"]["33"]["floor"] == score.floor
    assert json.loads((tmp_path / "long.json").read_text()) == [row]
    (peak,) = row["peaks_mb"]["20"]
    assert peak > 50
    printed = capsys.readouterr().out
    for head in ("| floor | 0–15 | 33–48 |", "| 20 frames | more |"):
        assert head in printed
    model = gadkit.load(run, device="cpu")
    chosen = open_protocol(get_registry(), "gadkit").settings
    clips = long_videos.WindowSubject(ModelSubject(model, "run"), 33).read(whole(3), chosen)
    assert torch.equal(clips, model.sample(3, 60)[:, 33:49])
