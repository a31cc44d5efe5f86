"""A store gives the same frames from disk and from memory."""

import json
import struct
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gadkit.data.index import Index, PackedVideo
from gadkit.data.store import ClipStore, Skipped
from gadkit.errors import DataError
from gadkit.video.geometry import Geometry

LENGTHS = [3, 1, 6, 4, 2]
BLOCKS = [10, 4, 5]  # videos 0 to 2, then a video of 4 frames, then one of 2 after 3 frames of none
STARTS = [0, 3, 4, 10, 17]


def make():
    generator = torch.Generator().manual_seed(0)
    blocks = [torch.randint(0, 256, (size, 4, 5, 3), dtype=torch.uint8, generator=generator) for size in BLOCKS]
    store = ClipStore(
        blocks,
        torch.tensor(STARTS),
        torch.tensor(LENGTHS),
        names=list("abcde"),
        fps=12.0,
        labels=torch.tensor([0, 1, 0, 1, 1]),
        classes=("x", "y"),
        skipped=[Skipped("f", "f is bad.")],
    )
    return store, torch.cat(blocks)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_mapped_resident_and_expected_agree(data):
    store, flat = make()
    count = data.draw(st.integers(1, 4))
    videos = data.draw(st.lists(st.integers(0, 4), max_size=6))
    rows = [data.draw(st.lists(st.integers(0, LENGTHS[v] - 1), min_size=count, max_size=count)) for v in videos]
    video, frame = torch.tensor(videos, dtype=torch.int64), torch.tensor(rows, dtype=torch.int64).reshape(-1, count)
    mapped = store.gather(video, frame)
    assert mapped.shape == (len(videos), count, 4, 5, 3)
    assert mapped.is_contiguous()
    assert torch.equal(mapped, store.to("cpu").gather(video, frame))
    for row, (number, numbers) in enumerate(zip(videos, rows, strict=True)):
        for column, time in enumerate(numbers):
            assert torch.equal(mapped[row, column], flat[STARTS[number] + time])


def test_the_resident_copy_keeps_what_is_known():
    store, _ = make()
    resident = store.to("cpu")
    assert resident is not store
    assert resident.to("cpu") is resident
    for name in ("height", "width", "channels", "fps", "classes", "names", "skipped", "nbytes", "device"):
        assert getattr(resident, name) == getattr(store, name)
    assert torch.equal(resident.labels, store.labels)
    assert torch.equal(resident.lengths, store.lengths)
    assert store.nbytes == sum(LENGTHS) * 60


@pytest.mark.parametrize(
    ("video", "frame"), [([5], [[0]]), ([-1], [[0]]), ([0], [[3]]), ([1, 2], [[0, 0], [0, -1]]), ([1], [[0, 1]])]
)
def test_numbers_out_of_range_are_refused(video, frame):
    # Without the check they would read a neighbour's frames.
    store, _ = make()
    for one in (store, store.to("cpu")):
        with pytest.raises(DataError):
            one.gather(torch.tensor(video), torch.tensor(frame))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_copy_on_the_gpu_gives_the_same_frames():
    store, _ = make()
    video, frame = torch.tensor([4, 2, 3]), torch.tensor([[0, 1], [5, 0], [2, 2]])
    resident = store.to("cuda")
    for place in ("cpu", "cuda"):
        result = resident.gather(video.to(place), frame.to(place))
        assert result.device.type == "cuda"
        assert torch.equal(result.cpu(), store.gather(video, frame))


OPENED = """
import sys
from pathlib import Path
import torch
from gadkit.data.pack import open_pack
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
before = resident()
store = open_pack(Path(sys.argv[1]))
frames = store.gather(torch.tensor([0, 0]), torch.tensor([[0, 9000], [19999, 3]]))
print(resident() - before, int(frames[0, 1].max()))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_opening_a_large_pack_does_not_load_it(tmp_path):
    shape = [20000, 128, 128, 3]
    size = 20000 * 128 * 128 * 3
    header = json.dumps({"frames": {"dtype": "U8", "shape": shape, "data_offsets": [0, size]}}).encode().ljust(248)
    with (tmp_path / "shard-00000.safetensors").open("wb") as file:  # nearly 1 GB, of which nearly all is a hole
        file.write(struct.pack("<Q", len(header)) + header)
        file.seek(256 + 9000 * 128 * 128 * 3)
        file.write(b"\x07" * 100)
        file.truncate(256 + size)
    video = PackedVideo(name="a", shard=0, start=0, length=20000, fps=25.0, width=128, height=128, sha256="0" * 64)
    index = Index(key="k", geometry=Geometry(height=128, width=128), shards=(20000,), videos=(video,), skipped=())
    (tmp_path / "index.json").write_text(index.to_json())
    done = subprocess.run([sys.executable, "-c", OPENED, str(tmp_path)], capture_output=True, text=True, check=True)
    growth, value = map(int, done.stdout.split())
    assert value == 7
    assert growth < size / 10
