"""Which videos can be read and written: every format is tried on real frames."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Literal

from gadkit.doctor.check import Check, Status

#: Formats of `gadkit sample`: container, encoders of which one must be there, pixel format.
WRITERS = {"MP4": ("mp4", ("libx264", "h264"), "yuv420p"), "WebM": ("webm", ("libvpx-vp9",), "yuv420p")}
#: What phones, cameras and the web write: codec to the decoders that read it, and who needs it.
READERS = {
    "H.264": (("h264",), "most MP4 files"),
    "HEVC": (("hevc",), "videos from phones"),
    "VP9": (("vp9", "libvpx-vp9"), "WebM files"),
    "AV1": (("libdav1d", "av1", "libaom-av1"), "recent WebM and MP4 files"),
}
_FRAMES = 8
_REINSTALL = "python -m pip install --force-reinstall --only-binary :all: {}"


def _has(name: str, mode: Literal["r", "w"]) -> bool:
    """Whether PyAV has the codec for reading (`"r"`) or writing (`"w"`)."""
    import av.codec

    try:
        av.codec.Codec(name, mode)
    except ValueError:
        return False
    return True


def round_trip(container: str, encoder: str, pixel_format: str) -> int:
    """Encodes `_FRAMES` frames of 64×64 in memory, decodes them, and returns how many came back."""
    import av
    import numpy as np
    from av.video.stream import VideoStream

    memory = io.BytesIO()
    with av.open(memory, "w", format=container) as output:
        stream = output.add_stream(encoder, rate=25)
        assert isinstance(stream, VideoStream)
        stream.width = stream.height = 64
        stream.pix_fmt = pixel_format
        for index in range(_FRAMES):
            pixels = np.full((64, 64, 3), 30 * index, dtype=np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        output.mux(stream.encode(None))
    memory.seek(0)
    with av.open(memory, "r") as source:
        return sum(1 for _ in source.decode(video=0))


def animate(format_name: str) -> int:
    """Writes two different frames with Pillow in memory, and returns how many frames the file has."""
    from PIL import Image

    memory = io.BytesIO()
    first, second = (Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))
    first.save(memory, format=format_name, save_all=True, append_images=[second], duration=40)
    memory.seek(0)
    with Image.open(memory) as image:
        return int(getattr(image, "n_frames", 1))


def _writes(name: str) -> Check:
    container, encoders, pixel_format = WRITERS[name]
    remedy = _REINSTALL.format("av")
    encoder = next((encoder for encoder in encoders if _has(encoder, "w")), None)
    if encoder is None:
        text = f"cannot be written: PyAV has no encoder {' or '.join(encoders)}"
        return Check(group="codecs", name=f"write {name}", status="fail", text=text, remedy=remedy)
    try:
        frames = round_trip(container, encoder, pixel_format)
    except Exception as error:  # FFmpeg's errors are of many classes
        text = f"cannot be written: {encoder} failed with {type(error).__name__}: {error}"
        return Check(group="codecs", name=f"write {name}", status="fail", text=text, remedy=remedy)
    if frames != _FRAMES:
        text = f"{encoder} wrote {_FRAMES} frames and {frames} came back"
        return Check(group="codecs", name=f"write {name}", status="fail", text=text, remedy=remedy)
    return Check(group="codecs", name=f"write {name}", status="ok", text=encoder, details={"encoder": encoder})


def _reads(name: str) -> Check:
    decoders, need = READERS[name]
    decoder = next((decoder for decoder in decoders if _has(decoder, "r")), None)
    if decoder is not None:
        return Check(group="codecs", name=f"read {name}", status="ok", text=decoder, details={"decoder": decoder})
    text = f"cannot be read ({need}): PyAV has no decoder {' or '.join(decoders)}"
    status: Status = "fail" if name == "H.264" else "warn"
    return Check(group="codecs", name=f"read {name}", status=status, text=text, remedy=_REINSTALL.format("av"))


def _animates(name: str, format_name: str) -> Check:
    try:
        frames = animate(format_name)
        problem = "" if frames == 2 else f"2 frames were written and {frames} came back"
    except Exception as error:  # Pillow names what is missing in several classes
        problem = f"{type(error).__name__}: {error}"
    if not problem:
        return Check(group="codecs", name=f"write {name}", status="ok", text="Pillow")
    text = f"cannot be written: {problem}"
    return Check(group="codecs", name=f"write {name}", status="warn", text=text, remedy=_REINSTALL.format("pillow"))


def codecs() -> Iterator[Check]:
    """Encoders tried on frames, decoders asked for, and Pillow's animations."""
    for name in WRITERS:
        yield _writes(name)
    for name in READERS:
        yield _reads(name)
    yield _animates("GIF", "GIF")
    yield _animates("animated WebP", "WEBP")
