"""What becomes of each installed plugin: whether it is used, has failed, or is switched off, and by what."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gadkit.errors import ConfigError
from gadkit.registry.entry import BUNDLED
from gadkit.registry.installed import Failure, Installed
from gadkit.registry.switches import canonical, matching, spelled, switched_off

#: Seconds from which on the import and the hooks of a plugin are slow: every command that lists components waits.
SLOW = 0.5


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """One entry point, and what became of it. Every text can be shown on a terminal as it is.

    Attributes:
        name: The name of the entry point; `"?"` where the metadata of its distribution cannot be read.
        distribution: The distribution that it belongs to, normalised.
        version: The distribution's version; empty where the metadata do not say.
        status: Whether its components can be used.
        reason: Why it failed, or what switched it off and how to switch it on; without a full stop. Empty where it is
            ready.
        seconds: How long its import and its hooks took; 0 where it was not imported.
        api: The newest `Component.api` of its components; `None` where it has none, or was not asked.
        components: How many it offers.
        by: What switched it off: `"plugins.toml"`, `"GADKIT_DISABLED_PLUGINS"` or `"GADKIT_NO_PLUGINS"` (which
            `--no-plugins` sets); empty where nothing did.
    """

    name: str
    distribution: str
    version: str = ""
    status: Literal["ready", "failed", "disabled"] = "ready"
    reason: str = ""
    seconds: float = 0.0
    api: int | None = None
    components: int = 0
    by: str = ""

    @property
    def provider(self) -> str:
        """The distribution with its version."""
        return f"{self.distribution} {self.version}".strip()

    @property
    def is_slow(self) -> bool:
        """Whether it is a third party's and takes so long that every command is late for it."""
        return self.distribution != BUNDLED and self.seconds > SLOW

    @property
    def switch(self) -> str:
        """What `gadkit plugins disable` calls it, quoted for a shell."""
        return spelled(self.distribution, self.name)

    @classmethod
    def failed(cls, failure: Failure) -> Plugin:
        """The plugin of a failure."""
        return cls(
            name=failure.plugin,
            distribution=failure.distribution,
            version=failure.version,
            status="failed",
            reason=failure.reason,
        )


@dataclass(frozen=True)
class TurnedOff:
    """Which plugins are switched off, known before any of them is imported.

    Attributes:
        configured: The names in the user's `plugins.toml`.
        variable: The names in `GADKIT_DISABLED_PLUGINS`.
        bundled_only: Whether `GADKIT_NO_PLUGINS` switches off all but gadkit's own.
    """

    configured: tuple[str, ...] = ()
    variable: tuple[str, ...] = ()
    bundled_only: bool = False

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> TurnedOff:
        """As the user's file and `environ` say.

        Raises:
            ConfigError: `GADKIT_NO_PLUGINS` is neither 0 nor 1, or the file is damaged and third parties' plugins would
                be imported, among them those that it switches off.
        """
        bundled_only = is_set(environ, "GADKIT_NO_PLUGINS")
        try:
            configured = switched_off()
        except ConfigError:
            if not bundled_only:
                raise
            configured = ()
        variable = tuple(map(canonical, environ.get("GADKIT_DISABLED_PLUGINS", "").split(",")))
        return cls(configured, variable, bundled_only)

    def plugin(self, found: Installed) -> Plugin | None:
        """A plugin that is switched off, with what did it and what undoes it; `None` for one that is not."""
        if name := matching(self.configured, found.distribution, found.point.name):
            by, mend = "plugins.toml", f"`gadkit plugins enable {shlex.quote(name)}` switches it on"
        elif matching(self.variable, found.distribution, found.point.name):
            by, mend = "GADKIT_DISABLED_PLUGINS", "take it out of GADKIT_DISABLED_PLUGINS"
        elif self.bundled_only and found.distribution != BUNDLED:
            by, mend = "GADKIT_NO_PLUGINS", "leave --no-plugins or GADKIT_NO_PLUGINS away"
        else:
            return None
        return Plugin(
            name=found.plugin,
            distribution=found.distribution,
            version=found.version,
            status="disabled",
            reason=f"switched off: {mend}",
            by=by,
        )


def is_set(environ: Mapping[str, str], name: str) -> bool:
    """Whether a variable is 1; `ConfigError` where it is neither 0 nor 1."""
    value = environ.get(name, "").strip().lower()
    if value in ("", "0", "false", "no", "off"):
        return False
    if value in ("1", "true", "yes", "on"):
        return True
    raise ConfigError(f"{name}: found {environ[name]!r}, expected 1 or 0.")
