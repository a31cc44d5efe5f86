"""From clips to a new video in Python: train, load, sample, write.

    python examples/train_and_sample.py [FOLDER_OF_VIDEOS] [STEPS]

Without a folder it trains on the clips that come with gadkit. Twenty steps, the default, show that everything works
and take some seconds; for something to look at, try a thousand. The run goes under `runs/` and the videos into the
folder that you stand in.
"""

from __future__ import annotations

import sys

import torch

import gadkit


def main(folder: str | None = None, steps: int = 20) -> None:
    outcome = gadkit.train(
        recipe="demo",  # 32x32, small networks: minutes on any machine
        data=folder,
        steps=steps,
        sample_every=max(steps // 5, 10),
        device="auto",
        seed=0,
    )
    assert outcome.path is not None  # only processes beside the first have no folder
    print(f"{outcome.reason}: {outcome.path}")

    model = gadkit.load(outcome.path)
    videos = model.sample(num=4, length=48, seed=1)  # uint8 (4, 48, C, H, W)
    print(f"made {tuple(videos.shape)} at {model.video.fps:g} Hz")

    # A seed means one video, and a longer one begins with the shorter one.
    assert torch.equal(model.sample(num=4, length=24, seed=1), videos[:, :24])
    assert torch.equal(model.sample(num=1, length=48, seed=1, first=2), videos[2:3])

    frames = videos[0].permute(0, 2, 3, 1)  # to (T, H, W, C), as files have it
    gadkit.write_video("one.gif", frames, fps=min(model.video.fps, 25))
    gadkit.write_video("grid.mp4", model.grid(num=4, length=200, seed=1), fps=model.video.fps)  # streamed
    print("wrote one.gif and grid.mp4")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None, int(sys.argv[2]) if len(sys.argv) > 2 else 20)
