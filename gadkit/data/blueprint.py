"""What a dataset is made from, in plain values: another process makes an equal one."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gadkit.interfaces.dataset import Dataset, Location


@dataclass(frozen=True, kw_only=True)
class Blueprint:
    """A dataset's class, location and settings.

    Attributes:
        target: `"module:Class"`; the module can be imported by every process.
        path: The location.
        settings: The keyword arguments, in plain values.
    """

    target: str
    path: Location
    settings: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> Dataset:
        """Makes the dataset."""
        module, _, name = self.target.partition(":")
        made = getattr(importlib.import_module(module), name)(self.path, **self.settings)
        assert isinstance(made, Dataset)
        return made

    def to_json(self) -> str:
        """Text from which `from_json` makes an equal blueprint."""
        path = {"path": str(self.path)} if isinstance(self.path, Path) else {"text": self.path}
        return json.dumps({"target": self.target, **path, "settings": dict(self.settings)})

    @classmethod
    def from_json(cls, text: str) -> Blueprint:
        """The blueprint that `to_json` wrote."""
        values = json.loads(text)
        path = Path(values["path"]) if "path" in values else str(values["text"])
        return cls(target=values["target"], path=path, settings=values["settings"])
