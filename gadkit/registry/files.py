"""Python files that are loaded as plugins by their path: `--plugin my.py`."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from gadkit.errors import PluginError


@dataclass(frozen=True)
class SourceFile:
    """A plugin file as it was read once.

    Attributes:
        given: The path as the user wrote it, for messages.
        path: The same, absolute.
        content: Its bytes: what is hashed is what is run.
    """

    given: str
    path: Path
    content: bytes

    @classmethod
    def read(cls, path: Path | str) -> SourceFile:
        """Reads a file; `PluginError` where it cannot be read."""
        file = Path(path).expanduser().resolve()
        try:
            return cls(str(path), file, file.read_bytes())
        except OSError as error:
            raise PluginError(f"Plugin file {str(path)!r} cannot be read: {error.strerror or error}.") from error

    @property
    def sha256(self) -> str:
        """The SHA-256 of the content in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    def check_name(self) -> None:
        """Raises `PluginError` where the file's name cannot be that of a module, or is that of another one."""
        if self.path.suffix != ".py" or not self.path.stem.isidentifier():
            raise PluginError(
                f"Plugin file {self.given!r} has a name that cannot be imported: use letters, digits, '_' and .py."
            )
        if self._is_taken():
            raise PluginError(f"Plugin file {self.given!r} has the name of another Python module: rename the file.")

    def _is_taken(self) -> bool:
        """Whether importing the file under its own name would hide another module."""
        if self.path.stem in sys.modules:
            return True
        spec = importlib.util.find_spec(self.path.stem)
        return spec is not None and (spec.origin is None or Path(spec.origin).resolve() != self.path)

    def run(self) -> ModuleType:
        """Runs it as the module of its name."""
        spec = importlib.util.spec_from_file_location(self.path.stem, self.path)
        assert spec is not None  # a .py file has a loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[self.path.stem] = module  # targets, dataclasses and type hints look it up there
        exec(compile(self.content, str(self.path), "exec"), module.__dict__)
        return module

    def forget(self) -> None:
        """Takes its module out of those that are imported."""
        sys.modules.pop(self.path.stem, None)
