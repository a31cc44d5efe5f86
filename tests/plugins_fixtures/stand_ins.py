"""Small parts and recipes under gadkit's own name, so that configurations are tested apart from the bundled ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from gadkit import Dataset, Discriminator, Generator, Loss, Trainer
from gadkit.registry import Registry
from plugins_fixtures import importable, write_package

Beta = Annotated[float, Field(ge=0, lt=1)]


class Wide(Generator):
    latent_dim = 2

    def __init__(
        self,
        video,
        *,
        width: Annotated[int, Field(gt=0)] = 64,
        norm: Literal["batch", "none"] = "batch",
        betas: tuple[Beta, Beta] = (0.5, 0.999),
        limit: Annotated[float, Field(gt=0)] | None = None,
        taps: tuple[int, ...] = (1, 2),
        table: dict[str, float] = {},  # noqa: B006
        title: str = "",
        cache: Path = Path("."),
    ):
        super().__init__(video)

    def forward(self, codes, labels=None):
        return codes


class Other(Wide):
    def __init__(self, video, *, width: int = 8, depth: int = 3):
        super().__init__(video)


class Judge(Discriminator):
    def features(self, video, labels=None, times=None):
        return video

    def forward(self, video, labels=None, times=None):
        return video


class Plain(Loss):
    def __init__(self, *, scale: float = 1.0):
        self.scale = scale

    def discriminator(self, real, fake):
        return real.mean()

    def generator(self, fake, real):
        return fake.mean()


class Short(Trainer):
    needs = ("generator",)

    def __init__(self, *, steps: Annotated[int, Field(gt=0)] = 10):
        self.steps = steps

    def fit(self, session):
        return "finished"


class Clips(Dataset):
    def __init__(self, path, *, loop: bool = False, fps: float = 25.0):
        super().__init__(path)

    def sources(self):
        return []

    def open(self, source):
        raise NotImplementedError


PLUGIN = """
from gadkit import Component, hookimpl

def offer(**targets):
    return [Component(name=n, summary=n, target=f"plugins_fixtures.stand_ins:{t}") for n, t in targets.items()]

@hookimpl
def gadkit_generators(): return offer(wide="Wide", other="Other")
@hookimpl
def gadkit_discriminators(): return offer(judge="Judge")
@hookimpl
def gadkit_losses(): return offer(plain="Plain")
@hookimpl
def gadkit_trainers(): return offer(short="Short")
@hookimpl
def gadkit_datasets(): return offer(clips="Clips")
@hookimpl
def gadkit_recipes():
    return [Component(name=n, summary=n, target=f"stand_in_recipes:{n}.toml") for n in ("dcgan", "demo", "odd")]
"""

DCGAN = """
seed = 5
[video]
height = 32
[generator]
use = "wide"
width = 128
limit = 2.0
[discriminator]
use = "judge"
[loss]
use = "plain"
scale = 3.0
[trainer]
use = "short"
"""


@contextmanager
def stand_in_registry(site: Path) -> Iterator[Registry]:
    """A registry whose distribution `gadkit` is what stands above."""
    recipes = site / "stand_in_recipes"
    recipes.mkdir()
    (recipes / "__init__.py").write_text("")
    (recipes / "dcgan.toml").write_text(DCGAN)
    (recipes / "demo.toml").write_text(DCGAN.replace("seed = 5", "seed = 6"))
    (recipes / "odd.toml").write_text("[generatr]\n")
    with importable(site):
        write_package(site, "gadkit", PLUGIN, module="stand_in_plugin", version="1")
        yield Registry.discover({})
