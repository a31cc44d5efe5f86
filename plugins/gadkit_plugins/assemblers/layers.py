"""What the nets of this plugin are made of beside their own ideas: the class of a video, and maps of known scale."""

from __future__ import annotations

from torch import Tensor, nn

from gadkit import ConfigError, VideoSpec


class ClassVector(nn.Module):
    """A learned vector of a video's class, which begins standard normal; empty for data without classes.

    Args:
        video: What is generated.
        size: Entries.

    Attributes:
        size: Entries; 0 without classes.
    """

    def __init__(self, video: VideoSpec, size: int) -> None:
        super().__init__()
        self.size = size if video.classes else 0
        self.embedding = nn.Embedding(video.classes, size) if video.classes else None

    def forward(self, labels: Tensor | None, batch: int, like: Tensor) -> Tensor:
        """The vectors `(B, size)` of labels `(B,)`, in the type and on the device of `like`.

        Raises:
            ConfigError: There are classes, and no labels.
        """
        if self.embedding is None:
            return like.new_zeros(batch, 0)
        if labels is None:
            raise ConfigError(
                f"labels: found none, but the assembler was built for {self.embedding.num_embeddings} classes; give a "
                f"class number in [0, {self.embedding.num_embeddings}) for every video."
            )
        vectors: Tensor = self.embedding(labels.to(like.device))
        return vectors.to(like.dtype)


def scaled_rows(weight: Tensor, scale: float = 1.0) -> None:
    """Fills a weight `(out, ...)` so that each output of standard normal inputs has the standard deviation `scale`.

    Rows are random directions of exactly that length, so the promise holds for few inputs too.
    """
    nn.init.normal_(weight)
    weight.data.mul_(scale / weight.data.flatten(1).norm(dim=1).view(-1, *[1] * (weight.dim() - 1)))


def linear(inputs: int, outputs: int, scale: float = 1.0, bias: bool = True) -> nn.Linear:
    """A linear map whose rows are scaled by `scaled_rows`, and whose bias begins at 0."""
    made = nn.Linear(inputs, outputs, bias=bias)
    scaled_rows(made.weight, scale)
    if bias:
        nn.init.zeros_(made.bias)
    return made
