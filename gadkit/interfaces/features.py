"""Features: the fixed networks that videos are measured in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from gadkit.interfaces.weights import Weights


class Features(nn.Module, ABC):
    """A fixed network from videos to vectors. Settings are the keyword-only arguments of `__init__`.

    A network without settings that change its numbers is the better one: results are compared by name and hash. Its
    tensors are what `gadkit weights install` put into the cache where `weights` is set; otherwise `__init__` makes
    them, the same everywhere. `gadkit.load_features` builds, loads and freezes one.

    Attributes:
        dim: D, the length of a vector; set by `__init__`.
        of: What a vector describes: a whole `clip`, or each `frame` on its own.
        frames: The fewest and the most frames of a clip; `None` for no most.
        labels: Names of the classes that `logits` tells apart, K of them; empty where there are none.
        weights: Where its tensors come from; `None` where `__init__` makes them.
        literature: The published metrics' network that its numbers may be compared with, such as `"I3D (Kinetics-400
            logits)"`; empty where they are comparable with nothing published, which is said wherever one is printed.
        preparation: What it does to the pixels, for the manifest of a result: `{"size": 224, "resize": "bilinear"}`.
    """

    dim: int
    of: ClassVar[Literal["clip", "frame"]] = "clip"
    frames: ClassVar[tuple[int, int | None]] = (1, None)
    labels: ClassVar[tuple[str, ...]] = ()
    weights: ClassVar[Weights | None] = None
    literature: ClassVar[str] = ""
    preparation: Mapping[str, Any] = {}

    @abstractmethod
    def forward(self, video: Tensor) -> Tensor:
        """Vectors of clips; a clip's do not depend on the clips beside it.

        Args:
            video: uint8 `(B, T, 3, H, W)`, sRGB, any H and W.

        Returns:
            float32 `(B, D)`, or `(B, T, D)` where `of` is `frame`.
        """

    def logits(self, features: Tensor) -> Tensor:
        """The pre-softmax scores of the classes, from vectors that `forward` gave.

        Args:
            features: float `(..., D)`.

        Returns:
            float `(..., K)`.

        Raises:
            NotImplementedError: The network knows no classes.
        """
        raise NotImplementedError(f"{type(self).__name__} knows no classes")
