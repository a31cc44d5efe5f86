"""The installation: Python, packages, plugins, folders, variables."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from gadkit import __version__
from gadkit.doctor.check import Check
from gadkit.errors import nearest
from gadkit.registry import BUNDLED, Failure, get_registry
from gadkit.registry.switches import spelled

#: Packages that gadkit does without, reported where they are installed.
OPTIONAL = ("torchmetrics", "torchvision")
#: Variables that gadkit reads.
VARIABLES = ("GADKIT_CACHE", "GADKIT_CONFIG", "GADKIT_DISABLED_PLUGINS", "GADKIT_NO_PLUGINS", "GADKIT_STRICT_PLUGINS")
#: Variables of others that change what a run does or how fast it is.
FOREIGN = (
    "ACCELERATE_USE_CPU",
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_ENABLE_MPS_FALLBACK",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)
_GIB = 2**30
_REINSTALL = "python -m pip install --force-reinstall --no-deps gadkit"


def system() -> Iterator[Check]:
    """Versions of gadkit and Python, and the operating system."""
    version = platform.python_version()
    text = f"{platform.python_implementation()} {version} on {platform.platform()}, {sys.executable}"
    details = {"python": version, "platform": platform.platform(), "executable": sys.executable}
    yield Check(group="system", name="gadkit", status="ok", text=__version__, details={"version": __version__})
    yield Check(group="system", name="python", status="ok", text=text, details=details)


def requirements() -> list[str] | None:
    """What gadkit's distribution asks for, extras left out; `None` where gadkit is not installed."""
    try:
        found = metadata.requires("gadkit") or []
    except metadata.PackageNotFoundError:
        return None
    return [requirement for requirement in found if "extra ==" not in requirement]


def installed(name: str) -> str | None:
    """The installed version of a distribution."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def packages() -> Iterator[Check]:
    """Every required package with its version, held against what gadkit asks for; optional ones where installed."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        remedy = "python -m pip install packaging"
        yield Check(group="packages", name="packaging", status="fail", text="not installed", remedy=remedy)
        return
    asked = requirements()
    if asked is None:
        text = "gadkit runs from its source folder and is not installed, so no plugin is registered"
        remedy = "python -m pip install -c constraints.txt -e . (in gadkit's source folder)"
        yield Check(group="packages", name="gadkit", status="fail", text=text, remedy=remedy)
    for line in sorted(asked or []):
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        version = installed(requirement.name)
        wanted = f"{requirement.name}{requirement.specifier}"
        remedy = f'python -m pip install "{wanted}"'
        details = {"version": version, "required": str(requirement.specifier)}
        if version is None:
            text = f"not installed, gadkit needs {wanted}"
            yield Check(
                group="packages", name=requirement.name, status="fail", text=text, remedy=remedy, details=details
            )
        elif not requirement.specifier.contains(version, prereleases=True):
            text = f"{version}, gadkit needs {wanted}"
            yield Check(
                group="packages", name=requirement.name, status="fail", text=text, remedy=remedy, details=details
            )
        else:
            yield Check(group="packages", name=requirement.name, status="ok", text=version, details=details)
    for name in OPTIONAL:
        version = installed(name)
        if version is not None:
            text = f"{version} (optional)"
            yield Check(group="packages", name=name, status="ok", text=text, details={"version": version})


def plugins() -> Iterator[Check]:
    """How many plugins and components there are, and every one that failed, with its reason."""
    registry = get_registry()
    entries = list(registry.entries())
    providers = sorted({entry.provider for entry in entries})
    text = f"{len(entries)} components from {', '.join(providers) or 'nobody'}"
    details = {"components": len(entries), "providers": providers}
    if not entries:
        remedy = f"{_REINSTALL}; and look at GADKIT_DISABLED_PLUGINS"
        yield Check(group="plugins", name="plugins", status="fail", text=text, remedy=remedy, details=details)
    else:
        yield Check(group="plugins", name="plugins", status="ok", text=text, details=details)
    for plugin, distribution in registry.disabled:
        yield Check(group="plugins", name=plugin, status="ok", text=f"of {distribution}: switched off, not imported")
    for failure in registry.failures:
        yield _failed(failure)


def _failed(failure: Failure) -> Check:
    own = failure.distribution == BUNDLED
    remedy = f"python -m pip install --upgrade {failure.distribution}"
    switch = spelled(failure.distribution, failure.plugin)
    remedy = _REINSTALL if own else f"{remedy}; or switch it off: gadkit plugins disable {switch}"
    return Check(
        group="plugins",
        name=failure.plugin,
        status="fail" if own else "warn",
        text=f"of {f'{failure.distribution} {failure.version}'.strip()}: {failure.reason}",
        remedy=remedy,
        details={"distribution": failure.distribution, "version": failure.version, "reason": failure.reason},
    )


def storage() -> Iterator[Check]:
    """The folder of decoded videos and the folder that one stands in: writable, and with room."""
    from gadkit.data.digests import cache_folder

    for name, folder in (("cache", cache_folder()), ("working folder", Path.cwd())):
        yield room(name, folder)


def room(name: str, folder: Path) -> Check:
    """Whether a folder, or the nearest existing one above it, can be written and has 2 GiB left."""
    standing = folder
    while not standing.exists() and standing.parent != standing:
        standing = standing.parent
    free = shutil.disk_usage(standing).free
    text = f"{folder}, {free / _GIB:.1f} GiB free"
    details = {"folder": str(folder), "free": free}
    if not standing.is_dir() or not os.access(standing, os.W_OK | os.X_OK):
        text = f"{folder} cannot be written"
        remedy = "set GADKIT_CACHE to a folder of yours" if name == "cache" else "write runs elsewhere with --out"
        return Check(group="storage", name=name, status="warn", text=text, remedy=remedy, details=details)
    if free < 2 * _GIB:
        remedy = "free some space" + (", or set GADKIT_CACHE to another disk" if name == "cache" else "")
        return Check(group="storage", name=name, status="warn", text=text, remedy=remedy, details=details)
    return Check(group="storage", name=name, status="ok", text=text, details=details)


def environment() -> Iterator[Check]:
    """Gadkit's variables that are set, others that matter, and misspelled ones."""
    for name in sorted(os.environ):
        value = os.environ[name]
        if name in VARIABLES or name in FOREIGN:
            yield Check(group="environment", name=name, status="ok", text=value, details={"value": value})
        elif re.match(r"GADKIT_", name):
            text = f"gadkit knows no such variable.{nearest(name, VARIABLES)}"
            remedy = f"unset {name}"
            details = {"value": value}
            yield Check(group="environment", name=name, status="warn", text=text, remedy=remedy, details=details)
