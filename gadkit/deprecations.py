"""What is to go from the contract: it goes on working, and says what to write in its place.

A public name that goes stands in `NAMES`, from where `gadkit.OldName` still finds it. A hook that goes, or one of its
arguments, says so in its specification:

```python
@hookspec(warn_on_impl=Deprecated(since="0.4", instead="gadkit_generators").warning("the hook 'gadkit_nets'"))
def gadkit_nets(): ...

@hookspec(warn_on_impl_args={"size": Deprecated(since="0.4", instead="video").warning("the argument 'size'")})
def gadkit_run_started(folder, config, step, size): ...
```

How long it stays is said at `gadkit.component.API_VERSION`. Python shows such a warning where tests run and in a
program's own file; the command line shows each once.
"""

from __future__ import annotations

import importlib
import warnings
from dataclasses import dataclass
from typing import Any

from gadkit.errors import GadkitWarning


class GadkitDeprecationWarning(GadkitWarning, DeprecationWarning):
    """Something that a plugin or a program uses will go in a later version of gadkit."""


@dataclass(frozen=True, kw_only=True)
class Deprecated:
    """One name that is to go.

    Attributes:
        since: The first version of gadkit that says so.
        instead: What to write in its place.
        target: Where a public name lives still, `"module:Attribute"`; empty for hooks.
    """

    since: str
    instead: str
    target: str = ""

    def warning(self, what: str) -> GadkitDeprecationWarning:
        """The warning that names `what`, such as `"gadkit.OldName"`."""
        return GadkitDeprecationWarning(f"{what} is deprecated since gadkit {self.since}: write {self.instead} instead")


#: The public names of gadkit that are to go.
NAMES: dict[str, Deprecated] = {}


def deprecated_name(name: str) -> Any:
    """What a name of `NAMES` stands for, for `gadkit.__getattr__`, whose caller is warned."""
    found = NAMES[name]
    warnings.warn(found.warning(f"gadkit.{name}"), stacklevel=3)
    module, _, attribute = found.target.partition(":")
    return getattr(importlib.import_module(module), attribute)
