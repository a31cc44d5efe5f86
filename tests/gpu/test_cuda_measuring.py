"""Features and metrics on a GPU give what they give on the CPU."""

import pytest
import torch

import gadkit
from gadkit.errors import DataError
from gadkit_plugins.metrics import FrechetVideoDistance, KernelVideoDistance, PrecisionRecallDensityCoverage

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


def clips(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 16, 3, 64, 64), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("name", ["random-r3d", "i3d", "effnet-lite0"])
def test_features_are_those_of_the_cpu(name):
    try:
        there, here = (gadkit.load_features(name, device=device) for device in ("cuda", "cpu"))
    except DataError as error:
        pytest.skip(str(error))
    video = clips(4, 0)
    expected = here(video)
    found = there(video.cuda()).cpu()
    assert (found - expected).abs().max() <= 1e-3 * expected.abs().max()


@pytest.mark.parametrize("cls", [FrechetVideoDistance, KernelVideoDistance, PrecisionRecallDensityCoverage])
def test_metrics_are_those_of_the_cpu(cls):
    found = {}
    for device in ("cpu", "cuda"):
        metric = cls().to(device)
        for side, seed in ((True, 1), (False, 2)):
            rows = torch.randn(60, 20, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
            for part in rows.split(17):
                metric.update(part.to(device), real=side)
        found[device] = {name: float(value) for name, value in metric.compute().items()}
    assert found["cuda"] == pytest.approx(found["cpu"], rel=1e-9)
