"""VideoMAE: what is asked of transformers and what is made of its answer, and the sentences where there is none."""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

import gadkit
from gadkit_plugins.features.videomae import VideoMAE

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
PREPARATION = json.dumps({"image_mean": MEAN, "image_std": STD})


class Backbone(nn.Module):
    """Makes a token of every frame: the means of its three channels."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def forward(self, pixel_values: torch.Tensor) -> SimpleNamespace:
        assert pixel_values.shape[1:] == (16, 3, 8, 8)
        self.batches.append(len(pixel_values))
        return SimpleNamespace(last_hidden_state=pixel_values.mean(dim=(3, 4)))


class Classifier(nn.Module):
    """In the place of transformers' network."""

    def __init__(self, num_frames: int = 16, pooled: bool = True) -> None:
        super().__init__()
        self.config = SimpleNamespace(num_frames=num_frames, hidden_size=3, image_size=8)
        self.videomae = Backbone()
        self.fc_norm = nn.LayerNorm(3) if pooled else None
        self.classifier = nn.Linear(3, 5)


class Stand:
    """In the place of the package transformers: keeps what it is asked for."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.net = Classifier()
        self.missing: list[str] = []
        self.asked: list[tuple[str, dict[str, object]]] = []
        (folder / "preprocessor_config.json").write_text(PREPARATION)

        def cached_file(model: str, name: str, *, revision: str) -> str:
            self.asked.append((model, {"revision": revision}))
            return str(folder / name)

        def from_pretrained(model: str, **options: object) -> tuple[nn.Module, dict[str, list[str]]]:
            self.asked.append((model, options))
            return self.net, {"missing_keys": self.missing}

        package, utilities = ModuleType("transformers"), ModuleType("transformers.utils")
        package.VideoMAEForVideoClassification = SimpleNamespace(from_pretrained=from_pretrained)
        utilities.cached_file = cached_file
        monkeypatch.setitem(sys.modules, "transformers", package)
        monkeypatch.setitem(sys.modules, "transformers.utils", utilities)


@pytest.fixture
def stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    return Stand(tmp_path, monkeypatch)


def test_its_features_are_the_normalised_mean_of_the_tokens(stand: Stand) -> None:
    video = torch.randint(0, 256, (3, 16, 3, 8, 8), dtype=torch.uint8)
    net = VideoMAE()
    assert net.dim == 3
    tokens = ((video / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)).mean(dim=(3, 4))
    mean = tokens.mean(dim=1)
    expected = (mean - mean.mean(1, keepdim=True)) / (mean.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(net(video), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(net.logits(expected), stand.net.classifier(expected))
    assert stand.net.videomae.batches == [2, 1]
    stand.net.fc_norm = None
    torch.testing.assert_close(net(video), tokens[:, 0], rtol=1e-4, atol=1e-5)  # such a model reads its first token


def test_only_safetensors_are_loaded_and_no_code(stand: Stand) -> None:
    VideoMAE()
    VideoMAE(model="a/model")
    VideoMAE(model="a/model", revision="v2")
    assert all(options["use_safetensors"] is True for _, options in stand.asked[1::2])
    assert all(options["trust_remote_code"] is False for _, options in stand.asked[1::2])
    default = "MCG-NJU/videomae-base-finetuned-ssv2"
    asked = [(model, options["revision"]) for model, options in stand.asked]
    expected = [(default, "refs/pr/1"), ("a/model", "main"), ("a/model", "v2")]
    assert asked == [pair for pair in expected for _ in range(2)]


def test_a_model_that_does_not_fit_is_refused(stand: Stand) -> None:
    stand.missing = ["classifier.weight"]
    with pytest.raises(gadkit.DataError, match=r"a/model has no classifier\.weight"):
        VideoMAE(model="a/model")
    stand.missing, stand.net = [], Classifier(num_frames=32)
    with pytest.raises(gadkit.DataError, match="takes clips of 32 frames, expected 16"):
        VideoMAE(model="a/model")


def test_clips_of_another_length_are_refused(stand: Stand) -> None:
    with pytest.raises(gadkit.DataError, match="clips of 15 frames, expected 16"):
        VideoMAE()(torch.zeros(1, 15, 3, 8, 8, dtype=torch.uint8))


def test_a_model_out_of_reach_is_a_sentence(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, **__: object) -> None:
        raise OSError("We couldn't connect to\n'https://huggingface.co'.")

    monkeypatch.setattr(sys.modules["transformers.utils"], "cached_file", failing)
    with pytest.raises(gadkit.UnavailableError) as caught:
        VideoMAE()
    sentence = str(caught.value)
    assert "We couldn't connect to 'https://huggingface.co'" in sentence
    assert "HF_HOME" in sentence
    assert "\n" not in sentence


def test_without_transformers_the_package_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(gadkit.UnavailableError, match="pip install transformers"):
        gadkit.load_features("videomae")


def test_its_numbers_are_comparable_with_nothing_published() -> None:
    assert not VideoMAE.literature
    assert VideoMAE.weights is None
    assert VideoMAE.frames == (16, 16)


def test_a_small_model_of_transformers_itself(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.VideoMAEConfig(
        image_size=32, patch_size=8, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    model = transformers.VideoMAEForVideoClassification(config).eval()
    model.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(PREPARATION)
    net = gadkit.load_features("videomae", model=str(tmp_path), device="cpu")
    video = torch.randint(0, 256, (3, 16, 3, 32, 32), dtype=torch.uint8)
    pixels = (video / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    with torch.no_grad():
        expected = model(pixel_values=pixels).logits
    torch.testing.assert_close(net.logits(net(video)), expected, rtol=1e-4, atol=1e-5)
