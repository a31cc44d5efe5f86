"""The plain record that a plugin hands over, and the kinds of component that there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: The version of the plugin contract: the hooks, the records, the interfaces and the public names that a plugin was
#: written against. `Component.api` says which version that was.
#:
#: It grows by one where a plugin that kept to the contract could break:
#: - a hook, an argument of a hook, a public name, a method or attribute of an interface goes or is renamed;
#: - an interface asks for a method or an attribute that it did not ask for;
#: - gadkit hands a component more, less or other arguments than it did;
#: - a shape, a dtype, a range, a unit or the meaning of what is handed over changes, or what was accepted is refused.
#:
#: It stays where no such plugin can: a new hook, kind, public name or field of a record with a default; one more
#: argument of a hook (an implementation is called with those that it names); a new method of an interface that has an
#: implementation; one more check in `gadkit.testing`.
#:
#: What is to go is deprecated first (`gadkit.deprecations`): it goes on working, with a warning that says what to
#: write instead, for two minor releases at least (deprecated in 0.4, it is there in 0.5 and may be gone in 0.6), and
#: goes only where this number grows.
API_VERSION = 1

#: The oldest version of the contract that is still kept to. It follows `API_VERSION` one version behind at the nearest,
#: so that the plugins of one contract run under the next.
OLDEST_API = 1


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
        requires: What the target needs beyond what its distribution installs, as PEP 508 has it, such as
            `("tensorboard>=2.16",)`; looked for before `target` is imported, so that whoever lacks it is told what to
            install.
    """

    name: str
    summary: str
    target: str
    api: int = API_VERSION
    source: str = ""
    requires: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of component.

    Attributes:
        name: As it stands in a configuration.
        hook: The hook that offers its components.
        interface: The class that their targets implement; empty where they are no classes.
        summary: One line.
        form: What a target is: a class, a TOML file, or a command (a Typer application or a function).
    """

    name: str
    hook: str
    interface: str = ""
    summary: str
    form: Literal["class", "file", "command"] = "class"

    @property
    def is_file(self) -> bool:
        """Whether its components are TOML files."""
        return self.form == "file"


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
            summary="how a number is measured: clips, counts, network, seeds",
            form="file",
        ),
        Kind(
            name="recipe",
            hook="gadkit_recipes",
            summary="a complete choice of parts with their settings",
            form="file",
        ),
        Kind(
            name="tracker",
            hook="gadkit_trackers",
            interface="gadkit.interfaces.tracker:Tracker",
            summary="shows a run somewhere else while it goes on",
        ),
        Kind(
            name="command",
            hook="gadkit_commands",
            summary="a subcommand of gadkit",
            form="command",
        ),
    )
}
