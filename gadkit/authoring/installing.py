"""Packages into gadkit's own environment and out of it, by whatever program looks after that environment.

The installed torch and gadkit are held where they are: a plugin must never cost its user the build of PyTorch that
fits the machine.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from gadkit.authoring import uv_tool
from gadkit.authoring.environment import Environment, injected
from gadkit.authoring.requirements import Distribution, Package, distributions, plugins_among
from gadkit.errors import PluginError, nearest
from gadkit.registry.entry import BUNDLED
from gadkit.registry.switches import canonical

#: Distributions that no plugin may exchange.
HELD = ("torch", BUNDLED)
#: The file of constraints that steps speak of.
PINS = "constraints.txt"
#: Seconds that a look at the plugins may take in a process of its own.
PATIENCE = 120.0


@dataclass(frozen=True)
class Step:
    """One command, with the variables that it is given beside those of this process."""

    command: tuple[str, ...]
    variables: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """As one would type it."""
        given = [f"{name}={shlex.quote(value)}" for name, value in self.variables.items()]
        return " ".join([*given, shlex.join(self.command)])


def pins() -> list[str]:
    """The constraints that hold torch and gadkit where they are, with their local versions: `"torch==2.13.0+cpu"`."""
    held = []
    for name in HELD:
        try:
            held.append(f"{name}=={metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return held


def parse_packages(texts: Sequence[str]) -> list[Package]:
    """What somebody asked to install.

    Raises:
        PluginError: One is no package, or is gadkit or torch itself.
    """
    packages = [Package.parse(text) for text in texts]
    for package in packages:
        if package.name in HELD:
            raise PluginError(f"{package.name} is no plugin: it stays as it is; change it as you installed it.")
    return packages


def install_steps(
    environment: Environment,
    packages: Sequence[Package],
    *,
    folder: Path,
    editable: bool = False,
    upgrade: bool = False,
    index_url: str | None = None,
) -> list[Step]:
    """The commands that install packages, in their order.

    Args:
        environment: gadkit's.
        packages: Which.
        folder: Where the file of constraints stands, and where others may be written.
        editable: Their code is used where it lies.
        upgrade: The newest versions that fit; what they depend on is upgraded where it must be.
        index_url: Where to look for packages.

    Raises:
        PluginError: A package that is to be editable is no folder.
    """
    for package in packages:
        if editable and not package.is_folder:
            raise PluginError(f"--editable: {package.text!r} is no folder of sources.")
    index = ["--index-url", index_url] if index_url else []
    constraints = str(folder / PINS)
    wanted = [word for package in packages for word in (["-e"] if editable else []) + [package.text]]
    own = list(environment.command)
    if environment.installer == "pip":
        return [_step(own, "install", "-c", constraints, *(["--upgrade"] if upgrade else []), *index, *wanted)]
    if environment.installer == "pipx":
        return _pipx_steps(environment, packages, constraints, editable, upgrade, index)
    if environment.installer == "uv tool":
        index = uv_tool.where(environment, index_url)
    newer: list[str] = []
    for package in packages:
        if package.name and package.is_folder:  # uv takes a folder for unchanged whose pyproject.toml is
            newer += ["--reinstall-package", package.name]
        elif package.name and upgrade:
            newer += ["--upgrade-package", package.name]
    first = _step(own, "pip", "install", "--python", environment.python, "-c", constraints, *newer, *index, *wanted)
    if environment.installer == "uv":
        return [first]
    # Constraints given to `uv tool` would stand in its receipt for ever. So they are given to the first command, and
    # the second finds everything there and only writes it down.
    command, variables = uv_tool.reinstall(
        environment,
        adding=packages,
        editable=editable,
        present=plugins_among(distributions().values()),
        index_url=index_url,
        folder=folder,
    )
    return [first, Step(tuple(command), variables)]


def _step(*words: Any) -> Step:
    """A command; the first of `words` is a list, how its program is started."""
    program, *rest = words
    return Step((*program, *rest))


def _pipx_steps(
    environment: Environment,
    packages: Sequence[Package],
    constraints: str,
    editable: bool,
    upgrade: bool,
    index: list[str],
) -> list[Step]:
    """`pipx inject`, which writes down what it puts there; what it has put there is upgraded by its pip.

    `pipx inject --force` would install every dependency anew, and `--pip-args` would be written down with the file of
    constraints in it; so they come as variables.
    """
    home, own = {"PIPX_HOME": str(environment.prefix.parent.parent)}, list(environment.command)
    there = injected(environment)
    again = [package for package in packages if package.name in there and (upgrade or package.url)]
    fresh = [package for package in packages if package not in again]
    steps = []
    if fresh:
        variables = home | {"PIP_CONSTRAINT": _also("PIP_CONSTRAINT", Path(constraints).as_uri())}
        variables["UV_CONSTRAINT"] = _also("UV_CONSTRAINT", constraints)
        words = ["inject", *(["--editable"] if editable else []), *index, environment.name]
        steps.append(Step((*own, *words, *(package.text for package in fresh)), variables))
    if again:
        wanted = [word for package in again for word in (["-e"] if editable else []) + [package.text]]
        words = ["runpip", environment.name, "install", "--upgrade", "-c", constraints, *index, *wanted]
        steps.append(Step((*own, *words), home))
    return steps


def _also(variable: str, value: str) -> str:
    return " ".join(filter(None, (os.environ.get(variable), value)))


def check_uninstall(names: Sequence[str], there: dict[str, Distribution]) -> list[Distribution]:
    """The distributions that somebody wants to be rid of.

    Args:
        names: As they were typed.
        there: What is installed.

    Raises:
        PluginError: One is gadkit, is not installed, offers no plugin, or was put there by conda.
    """
    known = plugins_among(there.values())
    found = []
    for name in names:
        each = there.get(canonical(name))
        if canonical(name) == BUNDLED:
            raise PluginError("gadkit does not uninstall itself: leave it to the program that you installed it with.")
        if each is None:
            owners = [one.name for one in known if name in one.points]
            if owners:
                raise PluginError(f"{name!r} is a plugin of {owners[0]}: uninstall that package.")
            offered = [one.name for one in known]
            listed = f" Packages with plugins: {', '.join(offered)}." if offered else " No package offers plugins here."
            raise PluginError(f"No package {name!r} is installed here.{nearest(canonical(name), offered)}{listed}")
        if not each.points:
            raise PluginError(
                f"{each.name} offers no plugin of gadkit, and others may need it: uninstall it yourself where you must."
            )
        if each.installer == "conda":
            raise PluginError(f"{each.name} was installed by conda: run `conda remove {each.name}`.")
        found.append(each)
    return found


def uninstall_steps(environment: Environment, names: Sequence[str], *, folder: Path) -> list[Step]:
    """The commands that take packages away, their dependencies left where they are.

    Args:
        environment: gadkit's.
        names: Normalised names of distributions.
        folder: Where files may be written.
    """
    own = list(environment.command)
    if environment.installer == "pip":
        return [_step(own, "uninstall", "--yes", *names)]
    if environment.installer == "pipx":
        home, known = {"PIPX_HOME": str(environment.prefix.parent.parent)}, injected(environment)
        recorded = [name for name in names if name in known]
        others = [name for name in names if name not in known]
        steps = []
        if recorded:
            steps.append(Step((*own, "uninject", "--leave-deps", environment.name, *recorded), home))
        if others:
            steps.append(Step((*own, "runpip", environment.name, "uninstall", "--yes", *others), home))
        return steps
    first = _step(own, "pip", "uninstall", "--python", environment.python, *names)
    if environment.installer == "uv":
        return [first]
    present = plugins_among(distributions().values())
    command, variables = uv_tool.reinstall(environment, removing=names, present=present, folder=folder)
    return [first, Step(tuple(command), variables)]


def carry_out(steps: Sequence[Step]) -> None:
    """Runs commands one after the other; what they say goes where this process's words go.

    Raises:
        PluginError: One of them fails; those after it are not run.
    """
    for step in steps:
        sys.stdout.flush()
        try:
            process = subprocess.Popen(step.command, env=os.environ | step.variables)
        except OSError as error:
            raise PluginError(f"{step.command[0]!r} cannot be started: {error.strerror or error}.") from error
        try:
            code = process.wait()
        except KeyboardInterrupt:  # it was asked as well, and half a package is worse than a moment's patience
            process.wait()
            raise
        if code:
            told = f"`{' '.join(_short(step.command))}` failed with exit code {code}, for the reason above"
            if {"install", "inject"} & set(step.command):
                told += f"; {' and '.join(pins())} are held as they are: what needs another cannot stand beside them"
            raise PluginError(f"{told}.")


def _short(command: Sequence[str]) -> Iterator[str]:
    """A command without its program's folder and without files of this process."""
    yield Path(command[0]).name
    skipped = False
    for word in command[1:]:
        if word == "-c" or skipped:
            skipped = not skipped
            continue
        yield word


def look(names: Sequence[str], timeout: float = PATIENCE) -> dict[str, Any]:
    """What `gadkit plugins list --json` says in a process of its own, which imports everything anew.

    Args:
        names: The distributions that just came, for the sentence where they let no process live.
        timeout: Seconds that it may take.

    Raises:
        PluginError: It does not answer: a plugin ends the process or hangs at import.
    """
    # -P: what lies in the folder that one stands in is not what is installed
    command = [sys.executable, "-P", "-m", "gadkit", "plugins", "list", "--json"]
    variables = {name: value for name, value in os.environ.items() if name != "GADKIT_STRICT_PLUGINS"}
    try:
        done = subprocess.run(command, env=variables, capture_output=True, timeout=timeout, check=False)
        document = json.loads(done.stdout)
        if {"plugins", "components"} <= set(document):
            return dict(document)
        why = "gadkit does not list its plugins any more"
    except subprocess.TimeoutExpired:
        why = f"a plugin's import takes over {timeout:.0f} s"
    except (ValueError, TypeError):
        why = "a plugin ends gadkit when it is imported"
    remedy = " or ".join(f"`gadkit plugins disable {name}`" for name in names) or "`gadkit plugins disable NAME`"
    raise PluginError(f"The packages are installed, but {why}: run {remedy}.")


def arrived(
    packages: Sequence[Package], before: dict[str, Distribution], after: dict[str, Distribution]
) -> list[Distribution]:
    """The distributions that somebody asked for, as they are now; where it cannot be told, those that are new."""
    found = [each for each in after.values() if any(each.is_meant_by(package) for package in packages)]
    known = {package.name for package in packages if package.name}
    if len(known) < len(packages):  # some have no name that could be told before they were built
        found += [each for each in plugins_among(after.values()) if each not in found and before.get(each.name) != each]
    return found
