"""What a new package, its modules and its classes are called."""

from __future__ import annotations

import builtins
import importlib.util
import keyword
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from gadkit.component import KINDS
from gadkit.errors import ConfigError, nearest
from gadkit.registry import Registry
from gadkit.registry.entry import BUNDLED

#: So that lines of the package stay within their length.
_LONGEST = 32
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
#: Names that mean something else in a configuration.
_RESERVED = frozenset({"none", "auto"})


@dataclass(frozen=True)
class Names:
    """The names of one package.

    Attributes:
        name: Of its components and of its entry point, such as `my-gan`.
    """

    name: str

    @property
    def distribution(self) -> str:
        """What pip installs: `gadkit-my-gan`."""
        return f"gadkit-{self.name}"

    @property
    def package(self) -> str:
        """What Python imports: `gadkit_my_gan`."""
        return self.distribution.replace("-", "_")

    def class_of(self, kind: str, text: str, *, alone: bool) -> str:
        """The class of a kind: `MyGan`, or `MyGanLoss` where the package has other kinds or the name is taken.

        Args:
            kind: A key of `KINDS`.
            text: The module that the class will stand in, whose own names it must not hide.
            alone: Whether the package has one kind.
        """
        bare = "".join(part.capitalize() for part in self.name.split("-"))
        taken = set(re.findall(r"\w+", text)) | set(dir(builtins)) | set(keyword.kwlist)
        candidates = [bare] if alone else []
        candidates += [bare + kind.capitalize(), f"{bare}{kind.capitalize()}Plugin"]
        return next(name for name in candidates if name not in taken)


def names_of(text: str) -> Names:
    """The names for what somebody typed: `my-gan`, or `gadkit-my-gan`.

    Raises:
        ConfigError: It cannot be a name, or there is such a package already.
    """
    name = text.removeprefix("gadkit-")
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        parts = re.findall(r"[a-z0-9]+", name.lower())
        proposal = "-".join(parts).lstrip("0123456789-")[:_LONGEST].rstrip("-") or "my-gan"
        raise ConfigError(
            f"NAME: found {text!r:.80}, expected lower-case letters and digits with single hyphens between them, "
            f"beginning with a letter, at most {_LONGEST} of them; take {proposal!r}, say."
        )
    names = Names(name)
    if name in _RESERVED:
        raise ConfigError(f"NAME: found {name!r}, which means something else in a configuration; choose another name.")
    if importlib.util.find_spec(names.package) is not None:
        raise ConfigError(
            f"NAME: found {name!r}, but there is an import package {names.package} here already; choose another name, "
            f"or uninstall {names.distribution} first."
        )
    return names


def check_kinds(kinds: Iterable[str]) -> list[str]:
    """The kinds, each once, in the order of `KINDS`; raises `ConfigError` for what is none, and for none at all."""
    chosen = set(kinds)
    for kind in sorted(chosen - set(KINDS)):
        raise ConfigError(f"--kind: found {kind!r}.{nearest(kind, KINDS)} Expected one of {', '.join(KINDS)}.")
    if not chosen:
        raise ConfigError(f"--kind: found none, expected at least one of {', '.join(KINDS)}.")
    return [kind for kind in KINDS if kind in chosen]


def check_free(name: str, kinds: Iterable[str], registry: Registry, commands: Collection[str] = ()) -> None:
    """Raises `ConfigError` where gadkit itself has a component of the name, which the bare name would always mean.

    Args:
        name: The new components' name.
        kinds: Theirs.
        registry: What there is.
        commands: gadkit's own subcommands.
    """
    for kind in kinds:
        own = {entry.name for entry in registry.entries(kind) if entry.distribution == BUNDLED}
        if kind == "command":
            own |= set(commands)
        if name in own:
            raise ConfigError(
                f"NAME: found {name!r}, but gadkit itself has a {kind} of this name, which the name would always mean; "
                "choose another one."
            )
