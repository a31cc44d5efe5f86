"""The plain record that a plugin hands over, and the kinds of component that there are."""

from __future__ import annotations

from dataclasses import dataclass

#: The version of the plugin contract: hooks, records and interfaces. It grows by one when an old plugin
#: could break; `Component.api` says which version a component was written for.
API_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Component:
    """One thing that a plugin offers, described without importing it.

    Attributes:
        name: The name on the command line: lower-case letters, digits, `-`, `_` and `.`, beginning with a letter.
        summary: One line for `gadkit plugins list`.
        target: Where it lives, `"package.module:Attribute"`; imported when the component is used, never before.
            For a recipe or a protocol: `"package:file.toml"`, a file inside that package.
        api: The `API_VERSION` that the component was written for, compared before `target` is imported.
        source: Where the idea comes from: a paper, a URL. Empty for what has no source.
    """

    name: str
    summary: str
    target: str
    api: int = API_VERSION
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of component: its hook, and the interface that its targets implement; empty for those that are files."""

    name: str
    hook: str
    interface: str
    summary: str

    @property
    def is_file(self) -> bool:
        """Whether its components are TOML files, not classes."""
        return not self.interface


#: Every kind by name, in the order of `gadkit plugins list`.
KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            name="generator",
            hook="gadkit_generators",
            interface="gadkit.interfaces.generator:Generator",
            summary="codes to frames",
        ),
        Kind(
            name="assembler",
            hook="gadkit_assemblers",
            interface="gadkit.interfaces.assembler:VideoAssembler",
            summary="how frames become a video of any length",
        ),
        Kind(
            name="discriminator",
            hook="gadkit_discriminators",
            interface="gadkit.interfaces.discriminator:Discriminator",
            summary="video to logits",
        ),
        Kind(
            name="loss",
            hook="gadkit_losses",
            interface="gadkit.interfaces.loss:Loss",
            summary="logits to the two players' losses",
        ),
        Kind(
            name="penalty",
            hook="gadkit_penalties",
            interface="gadkit.interfaces.penalty:Penalty",
            summary="regularises the discriminator's gradient",
        ),
        Kind(
            name="augmentation",
            hook="gadkit_augmentations",
            interface="gadkit.interfaces.augmentation:Augmentation",
            summary="changes what the discriminator sees",
        ),
        Kind(
            name="direction",
            hook="gadkit_directions",
            interface="gadkit.interfaces.direction:Direction",
            summary="how the two players' gradients become steps",
        ),
        Kind(
            name="refiner",
            hook="gadkit_refiners",
            interface="gadkit.interfaces.refiner:Refiner",
            summary="moves latents along the discriminator's gradient",
        ),
        Kind(
            name="trainer",
            hook="gadkit_trainers",
            interface="gadkit.interfaces.trainer:Trainer",
            summary="owns the training loop",
        ),
        Kind(
            name="dataset",
            hook="gadkit_datasets",
            interface="gadkit.interfaces.dataset:Dataset",
            summary="where clips come from",
        ),
        Kind(
            name="features",
            hook="gadkit_features",
            interface="gadkit.interfaces.features:Features",
            summary="the fixed networks that videos are measured in",
        ),
        Kind(
            name="metric",
            hook="gadkit_metrics",
            interface="gadkit.interfaces.metric:VideoMetric",
            summary="numbers about sets of videos",
        ),
        Kind(
            name="protocol",
            hook="gadkit_protocols",
            interface="",
            summary="how a number is measured: clips, counts, network, seeds",
        ),
        Kind(
            name="recipe",
            hook="gadkit_recipes",
            interface="",
            summary="a complete choice of parts with their settings",
        ),
    )
}
