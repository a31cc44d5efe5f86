"""Which commands change gadkit's environment, for each program that looks after one, and what they must keep."""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path

import pytest
from plugins_fixtures import importable, write_metadata, write_package

from gadkit.authoring import installing
from gadkit.authoring.environment import Environment, injected, notes, this_environment
from gadkit.authoring.provider import is_address, met, provider_of, source_address
from gadkit.authoring.requirements import Package, distributions
from gadkit.errors import PluginError

SPARKLE = Package(text="gadkit-sparkle>=1", name="gadkit-sparkle")

RECEIPT = """
[tool]
requirements = [
    { name = "gadkit", extras = ["test"], specifier = ">=0.1" },
    { name = "gadkit-wheel", path = "/wheels/gadkit_wheel-1.0-py3-none-any.whl" },
    { name = "gadkit-lies", editable = "/work/lies" },
    { name = "gadkit-git", git = "https://host/a.git?tag=v1&subdirectory=b#0123" },
    { name = "gadkit-old", specifier = "==2", marker = "python_version > '3'" },
]
constraints = [{ name = "numpy", specifier = "<3" }]
entrypoints = [
    { name = "gadkit", install-path = "/home/ada/bin/gadkit", from = "gadkit" },
    { name = "old", install-path = "/home/ada/bin/old", from = "gadkit-old" },
]

[tool.options]
index = [{ url = "https://one/simple", default = true }, { name = "acme", url = "https://two/simple", default = false }]
find-links = ["file:///wheels"]
prerelease = "allow"
torch-backend = "cpu"
build-isolation = "shared"
compile-bytecode = true
exclude-newer = "2030-01-02T00:00:00Z"
"""


def environment(installer: str, prefix: Path = Path("/venvs/gadkit")) -> Environment:
    commands = {"pip": ("python", "-m", "pip"), "uv": ("uv",), "pipx": ("pipx",), "uv tool": ("uv",)}
    return Environment(
        installer=installer,  # type: ignore[arg-type]
        command=commands[installer],
        prefix=prefix,
        python="/venvs/gadkit/bin/python",
        base="/usr/bin/python3",
    )


def pipx_environment(folder: Path, *names: str) -> Environment:
    (folder / "pipx_metadata.json").write_text(json.dumps({"injected_packages": {name: {} for name in names}}))
    return environment("pipx", folder)


def uv_environment(folder: Path, receipt: str = RECEIPT) -> Environment:
    prefix = folder / "gadkit"
    prefix.mkdir()
    (prefix / "uv-receipt.toml").write_text(receipt)
    return environment("uv tool", prefix)


def words(steps, number=0) -> list[str]:
    return list(steps[number].command)


def following(command, flag) -> list[str]:
    """What stands behind each `flag`."""
    return [command[place + 1] for place, word in enumerate(command) if word == flag]


@pytest.mark.parametrize(
    ("text", "name", "url"),
    [
        ("gadkit_Sparkle[extra]>=1,<2", "gadkit-sparkle", ""),
        ("gadkit-sparkle @ https://host/x.zip", "gadkit-sparkle", "https://host/x.zip"),
        ("git+https://host/a/b@v1#egg=x", "", "https://host/a/b"),
        (
            "https://host/gadkit_sparkle-1.0-py3-none-any.whl",
            "gadkit-sparkle",
            "https://host/gadkit_sparkle-1.0-py3-none-any.whl",
        ),
        (
            "https://host/gadkit_sparkle-1.0.tar.gz#sha256=00",
            "gadkit-sparkle",
            "https://host/gadkit_sparkle-1.0.tar.gz",
        ),
    ],
)
def test_names_and_addresses_are_told_apart(text, name, url):
    package = Package.parse(text)
    assert (package.text, package.name, package.url) == (text, name, url)


def test_paths_are_made_absolute_and_named_by_what_lies_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a b").mkdir()
    Path("a b/pyproject.toml").write_text("[project]\nname = 'Acme_GAN'\n")
    package = Package.parse("./a b[extra]")
    assert package == Package(
        text=f"{tmp_path / 'a b'}[extra]", name="acme-gan", url=(tmp_path / "a b").as_uri(), is_folder=True
    )
    Path("acme_gan-1.0-py3-none-any.whl").touch()
    assert Package.parse("acme_gan-1.0-py3-none-any.whl").name == "acme-gan"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--index-url=https://evil", "is no package: expected a name"),
        ("a b", "is no package: expected a name"),
        ("./nowhere", "There is no './nowhere'"),
        (".", "it has neither pyproject.toml nor setup.py"),
        ("torch>=2", "torch is no plugin: it stays as it is"),
        ("gadkit", "gadkit is no plugin"),
    ],
)
def test_what_is_no_package_is_refused(text, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PluginError, match=expected):
        installing.parse_packages([text])


def test_torch_and_gadkit_are_held_with_their_local_versions():
    assert installing.pins() == [f"{name}=={metadata.version(name)}" for name in ("torch", "gadkit")]


@pytest.mark.parametrize("upgrade", [False, True])
@pytest.mark.parametrize("installer", ["pip", "uv", "pipx", "uv tool"])
def test_every_installer_is_given_the_pins(installer, upgrade, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_CONSTRAINT", "their.txt")
    there = pipx_environment(tmp_path) if installer == "pipx" else environment(installer)
    there = uv_environment(tmp_path) if installer == "uv tool" else there
    folder = tmp_path / "made"
    folder.mkdir()
    step = installing.install_steps(there, [SPARKLE], folder=folder, upgrade=upgrade)[0]
    pins = folder / "constraints.txt"
    if installer == "pipx":  # as a flag, pipx would write it down and miss it one day
        assert step.variables["PIP_CONSTRAINT"] == f"their.txt {pins.as_uri()}"
        assert step.variables["UV_CONSTRAINT"] == str(pins)
        assert step.variables["PIPX_HOME"] == str(tmp_path.parent.parent)
        assert str(pins) not in str(step.command)
    else:
        assert following(step.command, "-c") == [str(pins)]
    assert step.command[-1] == SPARKLE.text
    if installer in ("uv", "uv tool"):
        assert following(step.command, "--python") == [there.python]
        assert following(step.command, "--upgrade-package") == (["gadkit-sparkle"] if upgrade else [])
    if installer == "pip":
        assert ("--upgrade" in step.command) == upgrade


def test_folders_are_installed_anew_and_in_place(tmp_path):
    sources = Package(text="/src/a", name="acme", url="file:///src/a", is_folder=True)
    for installer in ("pip", "uv"):
        steps = installing.install_steps(
            environment(installer), [sources], folder=tmp_path, editable=True, index_url="https://own"
        )
        assert words(steps)[-2:] == ["-e", "/src/a"]
        assert following(words(steps), "--index-url") == ["https://own"]
    assert following(words(steps), "--reinstall-package") == ["acme"]
    with pytest.raises(PluginError, match="'gadkit-sparkle>=1' is no folder"):
        installing.install_steps(environment("pip"), [SPARKLE], folder=tmp_path, editable=True)


def test_pipx_upgrades_what_it_put_there_by_its_pip(tmp_path):
    there = pipx_environment(tmp_path, "Gadkit_Sparkle")
    assert injected(there) == {"gadkit-sparkle"}
    other = Package(text="gadkit-other", name="gadkit-other")
    steps = installing.install_steps(there, [SPARKLE, other], folder=tmp_path, upgrade=True)
    assert words(steps) == ["pipx", "inject", tmp_path.name, "gadkit-other"]
    pins = str(tmp_path / "constraints.txt")
    assert words(steps, 1) == ["pipx", "runpip", tmp_path.name, "install", "--upgrade", "-c", pins, SPARKLE.text]
    assert "--force" not in str(steps)  # it would install torch anew


def test_uv_s_receipt_keeps_what_it_names_and_gains_the_new_package(tmp_path):
    there = uv_environment(tmp_path)
    folder = tmp_path / "made"
    folder.mkdir()
    with importable(tmp_path / "site"):
        write_package(tmp_path / "site", "acme-beside", "")
        first, second = installing.install_steps(there, [SPARKLE], folder=folder)
    command = list(second.command)
    assert command[:3] == ["uv", "tool", "install"]
    assert "gadkit[test]>=0.1" in command
    assert {
        "gadkit-wheel @ file:///wheels/gadkit_wheel-1.0-py3-none-any.whl",
        "gadkit-git @ git+https://host/a.git@v1#subdirectory=b",
        "gadkit-old==2 ; python_version > '3'",
        "gadkit-sparkle>=1",
        "acme-beside",  # uv removes what the receipt does not name
    } <= set(following(command, "--with"))
    assert following(command, "--with-editable") == ["/work/lies"]
    assert following(command, "--with-executables-from") == ["gadkit-old"]
    assert following(command, "--python") == ["/usr/bin/python3"]  # with another one uv would begin from nothing
    assert (folder / "constraints.txt").exists() is False  # ours would stand in the receipt and hold gadkit for ever
    assert (folder / "receipt-constraints.txt").read_text() == "numpy<3\n"
    assert following(command, "--constraints") == [str(folder / "receipt-constraints.txt")]
    assert second.variables == {"UV_TOOL_DIR": str(tmp_path), "UV_TOOL_BIN_DIR": "/home/ada/bin"}
    for each in (first.command, command):
        assert following(each, "--default-index") == ["https://one/simple"]
        assert following(each, "--index") == ["acme=https://two/simple"]
        assert following(each, "--find-links") == ["file:///wheels"]
        assert following(each, "--prerelease") == ["allow"]
    assert following(command, "--torch-backend") == ["cpu"]
    assert {"--no-build-isolation", "--compile-bytecode"} <= set(command)


def test_uv_s_receipt_forgets_what_is_uninstalled(tmp_path):
    first, second = installing.uninstall_steps(uv_environment(tmp_path), ["gadkit-old"], folder=tmp_path)
    assert first.command == ("uv", "pip", "uninstall", "--python", "/venvs/gadkit/bin/python", "gadkit-old")
    assert "gadkit-old" not in str(second.command)
    assert "gadkit-wheel" in str(second.command)


def test_a_damaged_receipt_is_told(tmp_path):
    with pytest.raises(PluginError, match=r"uv-receipt.toml cannot be read"):
        installing.install_steps(uv_environment(tmp_path, "[tool]\n"), [SPARKLE], folder=tmp_path)


def test_pipx_takes_away_what_it_knows_and_the_rest_by_its_pip(tmp_path):
    there = pipx_environment(tmp_path, "one")
    steps = installing.uninstall_steps(there, ["one", "two"], folder=tmp_path)
    assert words(steps) == ["pipx", "uninject", "--leave-deps", tmp_path.name, "one"]
    assert words(steps, 1) == ["pipx", "runpip", tmp_path.name, "uninstall", "--yes", "two"]


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """An environment's folder that this process believes to live in."""
    prefix = tmp_path / "venvs" / "gadkit"
    prefix.mkdir(parents=True)
    monkeypatch.setattr(sys, "prefix", str(prefix))
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    monkeypatch.delenv("UV", raising=False)
    return prefix


def test_environments_are_known_by_their_files(elsewhere, monkeypatch):
    assert this_environment().command == (sys.executable, "-m", "pip")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert (this_environment().installer, this_environment().command) == ("uv", ("/bin/uv",))
    (elsewhere / "uv-receipt.toml").touch()
    assert (this_environment().installer, this_environment().name) == ("uv tool", "gadkit")
    (elsewhere / "pipx_metadata.json").touch()
    assert this_environment().command == ("/bin/pipx",)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(PluginError, match="pipx is not on the PATH"):
        this_environment()
    (elsewhere / "pipx_metadata.json").unlink()
    with pytest.raises(PluginError, match="uv is not on the PATH"):
        this_environment()
    (elsewhere / "uv-receipt.toml").unlink()
    with pytest.raises(PluginError, match="-m ensurepip` first"):
        this_environment()
    (elsewhere / "conda-meta").mkdir()
    with pytest.raises(PluginError, match="`conda install pip` first"):
        this_environment()


def test_another_program_s_python_and_a_cache_are_left_alone(elsewhere, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "base_prefix", str(elsewhere))
    monkeypatch.setattr("sysconfig.get_path", lambda *_: str(tmp_path))
    assert this_environment().installer == "pip"
    (tmp_path / "EXTERNALLY-MANAGED").touch()
    with pytest.raises(PluginError, match=r"asks to leave it alone \(.*EXTERNALLY-MANAGED\): install gadkit in an"):
        this_environment()
    monkeypatch.setattr(sys, "base_prefix", "/usr")  # an environment made from such a Python is its own master
    assert this_environment().installer == "pip"
    (elsewhere.parent / "CACHEDIR.TAG").touch()
    with pytest.raises(PluginError, match=r"from a cache .* which is thrown away"):
        this_environment()


def test_a_locked_project_is_spoken_of(elsewhere):
    assert notes(this_environment()) == []
    (elsewhere.parent / "uv.lock").touch()
    assert "`uv add PACKAGE` keeps it" in notes(this_environment())[0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gadkit", "gadkit does not uninstall itself"),
        ("torch", "torch offers no plugin of gadkit"),
        ("acme-gun", "Did you mean 'acme-gan'"),
        ("shine", "'shine' is a plugin of acme-gan: uninstall that package"),
        ("acme-snake", "run `conda remove acme-snake`"),
    ],
)
def test_what_is_not_uninstalled(name, expected, tmp_path):
    write_metadata(tmp_path, "acme-gan", "1", {"shine": "acme_gan"})
    write_metadata(tmp_path, "acme-snake", "1", {"snake": "acme_snake"})
    (tmp_path / "acme_snake-1.dist-info" / "INSTALLER").write_text("conda\n")
    with importable(tmp_path):
        there = distributions()
        assert [each.name for each in installing.check_uninstall(["Acme_GAN"], there)] == ["acme-gan"]
        with pytest.raises(PluginError, match=expected):
            installing.check_uninstall([name], there)


def test_what_came_is_known_by_name_by_address_or_as_new(tmp_path):
    write_metadata(tmp_path, "acme-gan", "1", {"shine": "acme_gan"})
    write_metadata(tmp_path, "acme-url", "1", {"url": "acme_url"})
    url = {"url": "https://host/a", "vcs_info": {"vcs": "git", "requested_revision": "v1"}}
    (tmp_path / "acme_url-1.dist-info" / "direct_url.json").write_text(json.dumps(url))
    before = distributions()
    with importable(tmp_path):
        after = distributions()
        assert after["acme-url"].as_requirement == "acme-url @ git+https://host/a@v1"
        for text, expected in (
            ("acme_gan>=1", ["acme-gan"]),
            ("git+https://host/a@v1", ["acme-url", "acme-gan"]),
        ):
            assert [each.name for each in installing.arrived([Package.parse(text)], before, after)] == expected
        assert [each.name for each in installing.arrived([Package.parse("git+https://host/a@v1")], after, after)] == [
            "acme-url"
        ]


def test_a_failing_installer_is_one_sentence(capfd):
    step = installing.Step((sys.executable, "-c", "import sys; print('its words'); sys.exit(3)", "install"))
    with pytest.raises(PluginError, match=r"failed with exit code 3, for the reason above; torch==.* are held"):
        installing.carry_out([step, step])
    assert capfd.readouterr().out.count("its words") == 1
    with pytest.raises(PluginError, match="'/no/such' cannot be started"):
        installing.carry_out([installing.Step(("/no/such",))])


def test_a_provider_is_what_its_metadata_say(tmp_path):
    write_metadata(tmp_path, "acme-gan", "1", {})
    (tmp_path / "acme_gan-1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: acme-gan\nVersion: 1\nLicense-Expression: MIT\n"
        'Author-email: "Ada\x1b[31m" <ada@host>, grace@host\n'
        "Project-URL: Source Code, https://host/source\nProject-URL: Home Page, javascript:alert(1)\n"
        "Project-URL: Doc-umentation, https://host/docs\n"
        "Requires-Dist: torch>=2\nRequires-Dist: no-such-thing>=1\nRequires-Dist: other; extra == 'more'\n"
        "Requires-Dist: numpy>=1000\n"
    )
    with importable(tmp_path):
        told = provider_of("acme-gan")
    assert (told.licence, told.page) == ("MIT", "https://host/docs")
    assert told.author == "Ada\\x1b[31m, grace@host"
    assert told.addresses == {"sourcecode": "https://host/source", "documentation": "https://host/docs"}
    assert told.requires == ("torch>=2", "no-such-thing>=1", "numpy>=1000")
    assert told.unmet == {"no-such-thing>=1": "not installed", "numpy>=1000": f"found {metadata.version('numpy')}"}
    assert provider_of("no-such-thing").page == ""


def test_requirements_that_are_none_are_told():
    assert met(["torch", "???", "x; python_version < '3'"]) == (
        ["torch", "???"],
        {"???": "which is no requirement as PEP 508 has it"},
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Kingma & Welling 2014, arXiv:1312.6114", "https://arxiv.org/abs/1312.6114"),
        ("hep, arXiv:hep-th/9901001v2; doi:10.1000/x", "https://arxiv.org/abs/hep-th/9901001v2"),
        ("doi:10.1109/5.771073.", "https://doi.org/10.1109/5.771073"),
        ("Ada 2030 (https://host/paper.pdf), arXiv:2001.00001", "https://host/paper.pdf"),
        ("Ada 2030", ""),
        ("file:///etc/passwd", ""),
    ],
)
def test_papers_have_addresses(source, expected):
    assert source_address(source) == expected


def test_only_the_web_is_an_address():
    assert is_address("https://host/a#b")
    for text in ("javascript:alert(1)", "file:///x", "http://a b", "https://", "https://host/\x1b[31m", "-x"):
        assert not is_address(text)
