"""What the user switched off: `plugins.toml` in the user's configuration, read before any plugin is imported.

```toml
disabled = ["acme-gan", "acme-other:shimmer", "glitter"]
```

A name is a distribution, one plugin of a distribution (its entry point after a colon), or an entry point of whichever
distribution has one of that name. Spelling is normalised as PyPI does it: `Acme_GAN` is `acme-gan`.

A file that cannot be read is an error for whatever imports plugins, since one that was switched off may end the
process; switching a plugin on or off sets such a file aside and begins a new one.
"""

from __future__ import annotations

import os
import re
import shlex
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

from gadkit.errors import ConfigError, GadkitWarning, nearest
from gadkit.folders import config_folder
from gadkit.registry.entry import BUNDLED

_HEAD = "# Plugins that `gadkit plugins disable` switched off; `gadkit plugins enable NAME` switches one on again.\n"


def canonical(name: str) -> str:
    """A name in the normalised spelling of PyPI: `"Acme_GAN"` is `"acme-gan"`."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def switches_file() -> Path:
    """The file: `$GADKIT_CONFIG/plugins.toml`, else in the user's configuration folder of gadkit; it may be missing."""
    return config_folder() / "plugins.toml"


def switched_off() -> tuple[str, ...]:
    """What the user switched off, in the normalised spelling.

    Raises:
        ConfigError: The file is there and cannot be read, or is not as expected.
    """
    path = switches_file()
    try:
        text = path.read_bytes().decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(path, f"it cannot be read: {getattr(error, 'strerror', None) or error}") from error
    import tomllib

    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _damaged(path, f"it is no TOML: {error}") from error
    for key in document:
        if key != "disabled":
            raise _damaged(path, f"found the key {key!r}{nearest(key, ['disabled']).rstrip()}")
    names = document.get("disabled", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _damaged(path, f"found disabled = {names!r:.200}")
    return tuple(canonical(name) for name in names if name.strip())


def _damaged(path: Path, what: str) -> ConfigError:
    return ConfigError(
        f'{path}: {what}; expected a list of names such as disabled = ["acme-gan"]: mend the file or delete it.'
    )


def matching(names: Iterable[str], distribution: str, plugin: str) -> str:
    """The first of `names` that means a plugin; empty where none does.

    Args:
        names: Normalised names, as `switched_off` gives them.
        distribution: The plugin's distribution.
        plugin: The name of its entry point.
    """
    owner, own = canonical(distribution), canonical(plugin)
    return next((name for name in names if name in (owner, own, f"{owner}:{own}")), "")


def spelled(distribution: str, plugin: str) -> str:
    """What to call a plugin to switch it off, quoted for a shell: its distribution; of gadkit's own, that one alone."""
    return shlex.quote(f"{BUNDLED}:{plugin}" if distribution == BUNDLED else distribution)


def switch_off(name: str) -> Path:
    """Switches a plugin off from the next start on, whether or not it is installed; nothing is imported.

    Args:
        name: A distribution, an entry point, or `"distribution:entry point"`.

    Returns:
        The file that says so.

    Raises:
        ConfigError: The name is empty or means everything that comes with gadkit, or the file cannot be written.
    """
    name = _named(name)
    if name == BUNDLED:
        raise ConfigError(
            "gadkit cannot do without all of its own plugins: switch off one of them, such as gadkit:vae."
        )
    return _change(lambda names: [*(each for each in names if not each.startswith(f"{name}:")), name])


def switch_on(name: str) -> Path:
    """Switches a plugin on again: takes out of the file whatever means `name`, or a part of it.

    Args:
        name: As for `switch_off`. One that is not switched off is left as it is.

    Returns:
        The file.

    Raises:
        ConfigError: The name is empty, its distribution is switched off as a whole, or the file cannot be written.
    """
    name = _named(name)
    owner, _, plugin = name.rpartition(":")

    def without(names: tuple[str, ...]) -> list[str]:
        if owner and owner in names:
            raise ConfigError(
                f"plugin {plugin!r} is switched off with all of {owner}: run `gadkit plugins enable {owner}`, and then "
                "switch off the others of its plugins."
            )
        return [each for each in names if each not in (name, plugin) and name not in each.split(":")]

    return _change(without)


def _named(name: str) -> str:
    if not canonical(name).strip(":-"):
        raise ConfigError(f"found {name!r} for a plugin, expected the name of a distribution or of an entry point.")
    return canonical(name)


def _change(change: Callable[[tuple[str, ...]], Iterable[str]]) -> Path:
    """Reads, changes and writes the file, whole or not at all, one process at a time."""
    import tomli_w
    from filelock import FileLock

    shown = switches_file()
    path = Path(os.path.realpath(shown))  # whoever keeps it elsewhere, behind a link, keeps the link
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock"), timeout=10):
            names = _read_or_set_aside(path)
            text = _HEAD + tomli_w.dumps({"disabled": sorted(set(change(names)))})
            try:
                with partial.open("w", encoding="utf-8") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(partial, path)
            finally:
                partial.unlink(missing_ok=True)
    except OSError as error:  # filelock's timeout is one, too
        raise ConfigError(
            f"{shown} cannot be written: {error.strerror or error}; set GADKIT_CONFIG to a folder of yours, or switch "
            "plugins off with GADKIT_DISABLED_PLUGINS."
        ) from error
    return shown


def _read_or_set_aside(path: Path) -> tuple[str, ...]:
    try:
        return switched_off()
    except ConfigError as error:
        aside = path.with_name(f"{path.name}.damaged")
        os.replace(path, aside)
        warnings.warn(f"{error} It is {aside.name} now, and a new one begins.", GadkitWarning, stacklevel=4)
        return ()
