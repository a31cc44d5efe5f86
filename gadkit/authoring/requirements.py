"""What people write to say which package they mean, and what the installed distributions say of themselves.

Everything here reads metadata; nothing imports a package.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit
from urllib.request import url2pathname

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename

from gadkit.errors import PluginError
from gadkit.registry.entry import BUNDLED
from gadkit.registry.installed import GROUP
from gadkit.tables import parse_toml

_ARCHIVES = (".whl", ".tar.gz", ".zip")
_EXTRAS = re.compile(r"(?P<place>.+?)(?P<extras>\[[^\[\]]*\])?")


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package that somebody wants to install.

    Attributes:
        text: As an installer takes it; a path is absolute, so that it means the same in every program.
        name: Its normalised name as far as it can be told without building it; else empty.
        url: Where it comes from, as `direct_url.json` of the installed distribution tells it; empty where it comes from
            an index.
        is_folder: Whether it is a folder of sources.
    """

    text: str
    name: str = ""
    url: str = ""
    is_folder: bool = False

    @classmethod
    def parse(cls, text: str) -> Package:
        """What `text` means: a path where it looks like one, a URL, or a requirement such as `"gadkit-sparkle>=1"`.

        Raises:
            PluginError: It is none of these, or a path where nothing is.
        """
        text = text.strip()
        if not text or text.startswith("-"):
            raise PluginError(f"{text!r} is no package: expected a name such as gadkit-sparkle, a path or a URL.")
        if "://" in text.partition("@")[0]:
            return cls(text=text, name=_file_name(urlsplit(text).path), url=_plain_url(text))
        if text.startswith((".", "/", "~", "\\")) or ("@" not in text and _looks_like_a_path(text)):
            return cls._at(text)
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            why = str(error).splitlines()[0].rstrip(".")
            raise PluginError(
                f"{text!r} is no package: expected a name such as gadkit-sparkle, a path such as ./gadkit-sparkle, "
                f"or a URL ({why})."
            ) from error
        url = _plain_url(requirement.url) if requirement.url else ""
        return cls(text=text, name=canonicalize_name(requirement.name), url=url)

    @classmethod
    def _at(cls, text: str) -> Package:
        match = _EXTRAS.fullmatch(text)
        assert match is not None  # any text of a character or more
        path = Path(match["place"]).expanduser().resolve()
        if not path.exists():
            raise PluginError(f"There is no {text!r}: expected a package's folder, a wheel or an archive of sources.")
        if path.is_dir() and not any((path / file).is_file() for file in ("pyproject.toml", "setup.py")):
            raise PluginError(f"{str(path)!r} is no package: it has neither pyproject.toml nor setup.py.")
        name = _folder_name(path) if path.is_dir() else _file_name(path.name)
        return cls(text=f"{path}{match['extras'] or ''}", name=name, url=path.as_uri(), is_folder=path.is_dir())


def _looks_like_a_path(text: str) -> bool:
    return "/" in text or "\\" in text or text.endswith(_ARCHIVES)


def _folder_name(folder: Path) -> str:
    """The name that a folder's `pyproject.toml` declares; empty where only a build could tell."""
    try:
        name = parse_toml((folder / "pyproject.toml").read_bytes())["project"]["name"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return canonicalize_name(name) if isinstance(name, str) else ""


def _file_name(path: str) -> str:
    file = unquote(path.rpartition("/")[2])
    try:
        return parse_wheel_filename(file)[0] if file.endswith(".whl") else parse_sdist_filename(file)[0]
    except ValueError:
        return ""


def _plain_url(url: str) -> str:
    """A URL as `direct_url.json` has it: without the kind of repository, the revision and the fragment."""
    bare = urldefrag(url).url
    scheme, mark, rest = bare.partition("+")
    if mark and scheme.isalpha() and "://" not in scheme:
        return re.sub(r"@[^/@]*$", "", rest)
    return bare


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """What one installed distribution says of itself.

    Attributes:
        name: Normalised.
        version: As it stands in its metadata.
        points: Names of its entry points of gadkit's group.
        url: Where it was installed from, where that was no index; else empty.
        vcs: The kind of repository that `url` is, such as `"git"`; empty where it is none.
        revision: The branch, tag or commit that was asked for; may be empty.
        editable: Whether its code is used where it lies.
        installer: Who put it there: `"pip"`, `"uv"`, `"conda"`; may be empty.
        place: The folder that holds its metadata.
    """

    name: str
    version: str
    points: tuple[str, ...] = ()
    url: str = ""
    vcs: str = ""
    revision: str = ""
    editable: bool = False
    installer: str = ""
    place: Path

    def is_meant_by(self, package: Package) -> bool:
        """Whether `package` is how it was asked for."""
        if package.name:
            return self.name == package.name
        return bool(package.url) and self.url.rstrip("/") == package.url.rstrip("/")

    @property
    def as_requirement(self) -> str:
        """How to ask for it again."""
        if not self.url:
            return self.name
        if self.url.startswith("file:"):
            return url2pathname(urlsplit(self.url).path)
        if not self.vcs:
            return f"{self.name} @ {self.url}"
        return f"{self.name} @ {self.vcs}+{self.url}{'@' + self.revision if self.revision else ''}"


def distributions() -> dict[str, Distribution]:
    """Every distribution of this environment by its normalised name; those whose metadata cannot be read are left out.

    The import path's first one counts where there are several of a name, as it does for imports.
    """
    importlib.invalidate_caches()  # an installer may just have been here
    found: dict[str, Distribution] = {}
    for distribution in metadata.distributions():
        try:
            name = canonicalize_name(distribution.name)
            points = tuple(point.name for point in distribution.entry_points if point.group == GROUP)
            direct = json.loads(distribution.read_text("direct_url.json") or "{}")
            vcs = direct.get("vcs_info", {})
            each = Distribution(
                name=name,
                version=distribution.version,
                points=points,
                url=direct.get("url", ""),
                vcs=vcs.get("vcs", ""),
                revision=vcs.get("requested_revision", ""),
                editable=bool(direct.get("dir_info", {}).get("editable")),
                installer=(distribution.read_text("INSTALLER") or "").strip(),
                place=Path(str(distribution.locate_file(""))),
            )
        except Exception:  # third parties' metadata may hold anything
            continue
        found.setdefault(name, each)
    return found


def plugins_among(chosen: Iterable[Distribution]) -> list[Distribution]:
    """Those that offer plugins, gadkit itself aside."""
    return [each for each in chosen if each.points and each.name != BUNDLED]
