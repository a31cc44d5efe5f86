"""What the documentation shows is there: links, names, flags, variables, and code that runs."""

from __future__ import annotations

import ast
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

import gadkit
from gadkit.cli.app import app
from gadkit.doctor import house

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    page for at in ("*", "docs/*", "docs/*/*", "examples/*", "examples/*/*") for page in ROOT.glob(f"{at}.md")
)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
#: Flags of other programs that the pages mention.
FOREIGN = {
    "--dist",
    "--extra-index-url",
    "--index-url",
    "--nproc-per-node",
    "--num_processes",
    "--multi_gpu",
    "--pre",
    "--repository",
    "--check",
    "--strict",
    "--signals-to-handle",
    "--shutdown-timeout",
    # of SLURM's batch scripts
    "--job-name",
    "--time",
    "--gres",
    "--cpus-per-task",
    "--ntasks",
    "--requeue",
    "--signal",
    "--open-mode",
    "--output",
    # of the examples and benchmarks
    "--full",
    "--latent-optimisation",
    "--seeds",
}


def pages() -> Any:
    return pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def blocks(page: Path, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")) if kind == language]


def commands() -> dict[str, Any]:
    """Every command by its words: `{"train": ..., "plugins list": ...}`."""
    found: dict[str, Any] = {}
    waiting = [("", typer.main.get_command(app))]
    while waiting:
        name, command = waiting.pop()
        if hasattr(command, "commands"):
            waiting += [(f"{name} {inner}".strip(), each) for inner, each in command.commands.items()]
        else:
            found[name] = command
    return found


def lines() -> list[Any]:
    """Every `gadkit ...` command of a shell block: a line, or a part of one between `&&`."""
    found = []
    for page in PAGES:
        for block in blocks(page, "sh"):
            for line in block.splitlines():
                for part in line.split("&&"):
                    words = shlex.split(part, comments=True)
                    if "-m" in words and "gadkit" in words:
                        words = words[words.index("gadkit") :]
                    if "gadkit" in words[:1]:
                        found.append(pytest.param(words[1:], id=f"{page.name}: {part.partition('#')[0].strip()}"))
    return found


def test_pages_are_found() -> None:
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "plugins.md", "python.md"} <= {page.name for page in PAGES}
    assert len(lines()) > 8


@pages()
def test_links_lead_somewhere(page: Path) -> None:
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text):
        if not re.match(r"[a-z]+:|#", target):
            assert (page.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("words", lines())
def test_command_lines_parse(words: list[str]) -> None:
    known = commands()
    while words and words[0] in {"--verbose", "--no-plugins"}:
        words = words[1:]
    if words in (["--version"], ["--help"]):
        return
    name = next((name for name in (" ".join(words[:count]) for count in (3, 2, 1)) if name in known), None)
    assert name is not None, f"there is no command {words[0]!r}"
    arguments = words[len(name.split()) :]
    if arguments != ["..."]:
        known[name].make_context(name, arguments)


@pages()
def test_flags_exist(page: Path) -> None:
    own = {option for command in commands().values() for parameter in command.params for option in parameter.opts}
    own |= {"--verbose", "--no-plugins", "--version", "--help", "--install-completion", "--show-completion"}
    text = re.sub(r"^(?:.*\b(?:pip|git|conda|uv) .*)$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    mentioned = set(re.findall(r"(?<![\w-])--[a-z][\w-]+", text))
    assert mentioned - own - FOREIGN == set()


@pages()
def test_names_of_gadkit_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in set(re.findall(r"(?<![\w/.-])gadkit\.([A-Za-z]\w*)", text)):
        assert hasattr(gadkit, name) or (ROOT / "gadkit" / name).exists() or (ROOT / f"gadkit/{name}.py").exists(), name


@pages()
def test_python_compiles(page: Path) -> None:
    for block in blocks(page, "python"):
        ast.parse(block)


def test_variables_are_those_that_the_code_reads() -> None:
    read = set()
    for path in [*ROOT.glob("gadkit/**/*.py"), *ROOT.glob("plugins/**/*.py")]:
        if "doctor" not in path.parts:
            read |= set(re.findall(r"\bGADKIT_[A-Z_]+\b", path.read_text(encoding="utf-8")))
    assert read == set(house.VARIABLES)
    of_tests = set()
    for path in ROOT.glob("tests/**/*.py"):
        of_tests |= set(re.findall(r"\bGADKIT_TEST_[A-Z_]+\b", path.read_text(encoding="utf-8")))
    for page in PAGES:
        named = set(re.findall(r"\bGADKIT_[A-Z_]+\b", page.read_text(encoding="utf-8")))
        assert named <= (read | of_tests if page.name in {"CONTRIBUTING.md", "SECURITY.md"} else read)


def test_plugin_file_of_the_docs_is_a_plugin_that_conforms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gadkit.registry import Registry

    plugin, test = (block for block in blocks(ROOT / "docs/plugins.md", "python") if "Tempered" in block)
    (tmp_path / "my.py").write_text(plugin, encoding="utf-8")
    monkeypatch.setitem(sys.modules, "my", ModuleType("my"))  # so that whatever the plugin leaves there is taken back
    del sys.modules["my"]
    (entry,) = Registry().load_file(tmp_path / "my.py")
    assert entry.load().__name__ == "Tempered"
    names: dict[str, Any] = {}
    exec(test, names)
    names["test_tempered"]()


def test_worked_example_of_contributing_holds() -> None:
    from gadkit.testing import check_loss

    code = [block for block in blocks(ROOT / "CONTRIBUTING.md", "python") if "LogCosh" in block]
    component, record, test = code
    names: dict[str, Any] = {"Component": gadkit.Component}
    exec(component, names)
    exec(f"record = {record}", names)
    assert names["record"].target.endswith(":LogCosh")
    exec(test, names)
    names["test_logcosh_is_log_cosh"]()
    check_loss(names["LogCosh"])
