"""VideoMAE, a video transformer, as the package transformers has it."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gadkit import DataError, Features, UnavailableError

from .computing import as_stated, stretch

_MODEL = "MCG-NJU/videomae-base-finetuned-ssv2"
#: Where the Hub has that model as safetensors: its main revision is an executable pickle only.
_REVISION = "refs/pr/1"
_LENGTH = 16
#: Clips that are in the net at once.
_CLIPS = {"cpu": 2, "cuda": 64}
_SHOWN = 200


class VideoMAE(Features):
    """What the classifier of a fine-tuned VideoMAE reads: its last hidden state, averaged over tokens and normalised.

    By default ViT-B, trained on Something-Something v2 (Tong et al. 2022, arXiv:2203.12602), whose classes differ in
    their motion. Content-debiased FVD (Ge et al. 2024, arXiv:2404.12391) takes the same place of VideoMAE-v2's ViT-g,
    ten times as large: distances of the two are not comparable. Clips have 16 frames, stretched to the size that the
    model was trained at, bilinear, without antialiasing, and normalised as its processor says.

    The package transformers loads it, from the Hugging Face Hub or a folder, from safetensors alone and without running
    code of it. The weights that it loads by default are under CC-BY-NC-4.0.

    Args:
        model: A model of the Hub, or a folder as `save_pretrained` writes it, for video classification.
        revision: A branch, tag or commit of the Hub; by default main, and for the default model the one that holds
            safetensors.

    Raises:
        UnavailableError: The package transformers is not installed, or the model cannot be reached.
        DataError: It is no VideoMAE for classification, or takes another number of frames than 16.
    """

    frames = (_LENGTH, _LENGTH)
    _mean: Tensor
    _std: Tensor

    def __init__(self, *, model: str = _MODEL, revision: str | None = None) -> None:
        super().__init__()
        revision = revision or (_REVISION if model == _MODEL else "main")
        net, processor = _loaded(model, revision)
        config = net.config
        if config.num_frames != _LENGTH:
            raise DataError(
                f"videomae: {model} takes clips of {config.num_frames} frames, expected {_LENGTH}: set its `model` "
                "to a model of 16 frames."
            )
        self.net = net
        self.dim = int(config.hidden_size)
        self._size = int(config.image_size)
        mean, std = processor["image_mean"], processor["image_std"]
        self.register_buffer("_mean", torch.tensor(mean).view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("_std", torch.tensor(std).view(3, 1, 1) * 255, persistent=False)
        self.preparation = {
            "size": self._size,
            "resize": "bilinear",
            "antialias": False,
            "mean": mean,
            "std": std,
            "revision": revision,
        }

    def forward(self, video: Tensor) -> Tensor:
        """The features of clips.

        Args:
            video: uint8 `(B, 16, 3, H, W)`, sRGB, any H and W.

        Returns:
            float32 `(B, D)`.

        Raises:
            DataError: The clips have not 16 frames.
        """
        if video.shape[1] != _LENGTH:
            raise DataError(f"videomae: found clips of {video.shape[1]} frames, expected {_LENGTH}: use such clips.")
        with as_stated(video.device):
            parts = video.split(_CLIPS.get(video.device.type, _CLIPS["cpu"]))
            features = torch.cat([self._features(part) for part in parts])
        return features

    def logits(self, features: Tensor) -> Tensor:
        """The scores of the classes that the model was fine-tuned for."""
        scores: Tensor = self.net.classifier(features)
        return scores

    def _features(self, video: Tensor) -> Tensor:
        x = stretch(video.flatten(0, 1), self._size)
        x = ((x - self._mean) / self._std).unflatten(0, video.shape[:2])
        hidden = self.net.videomae(pixel_values=x).last_hidden_state
        found: Tensor = hidden[:, 0] if self.net.fc_norm is None else self.net.fc_norm(hidden.mean(dim=1))
        return found


def _loaded(model: str, revision: str) -> tuple[Any, dict[str, Any]]:
    """The network that transformers makes of a model, and how its processor prepares pixels."""
    try:
        transformers = importlib.import_module("transformers")
        cached_file = importlib.import_module("transformers.utils").cached_file
    except ImportError as error:
        raise UnavailableError(
            "videomae: the package transformers is not installed, and loads this network: pip install transformers"
        ) from error
    try:
        processor = json.loads(Path(cached_file(model, "preprocessor_config.json", revision=revision)).read_text())
        net, told = transformers.VideoMAEForVideoClassification.from_pretrained(
            model, revision=revision, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
    except Exception as error:  # transformers and what it downloads with raise many kinds
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:_SHOWN].rstrip(" .")
        raise UnavailableError(
            f"videomae: {model} (revision {revision}) could not be loaded ({reason}); check the connection to "
            "huggingface.co, or fetch it elsewhere and set its `model` to the folder, with config.json, "
            "preprocessor_config.json and model.safetensors; what was fetched once is kept in the folder HF_HOME."
        ) from error
    if missing := sorted(told["missing_keys"]):
        raise DataError(
            f"videomae: {model} has no {missing[0]}, so it is no VideoMAE for video classification: set its `model` "
            "to one that is fine-tuned."
        )
    return net, processor
