"""Which components there are, who offers them, which plugins failed or are switched off, and what a name means."""

from gadkit.registry.entry import BUNDLED, Entry
from gadkit.registry.installed import Failure
from gadkit.registry.registry import Registry, check_kind, get_registry
from gadkit.registry.standing import Plugin

__all__ = ["BUNDLED", "Entry", "Failure", "Plugin", "Registry", "check_kind", "get_registry"]
