"""What a file may import and call, read from its syntax tree; `test_imports.py` holds the house to it.

Every function takes source text, so that the rules themselves are tested on planted violations.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

#: The core from top to bottom. A module imports those below it and those of its own floor, never one above it.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("gadkit.__main__",),
    ("gadkit.cli",),
    ("gadkit.testing", "gadkit.authoring"),
    ("gadkit.comparison",),
    ("gadkit.runs", "gadkit.transfer", "gadkit.doctor", "gadkit.survey", "gadkit.evaluation", "gadkit.report"),
    ("gadkit.engine",),
    ("gadkit.layers", "gadkit.config"),
    ("gadkit.registry",),
    ("gadkit.data", "gadkit.weights"),
    ("gadkit.video", "gadkit.signature", "gadkit.checkpoints", "gadkit.pages"),
    ("gadkit.interfaces",),
    (
        "gadkit.sections",
        "gadkit.tables",
        "gadkit.component",
        "gadkit.deprecations",
        "gadkit.errors",
        "gadkit.folders",
        "gadkit.hookspecs",
        "gadkit.randomness",
        "gadkit.schedules",
        "gadkit.words",
    ),
)

#: Imports that go up for the sake of a type alone, `(module, imported module)`, each for a reason:
#: the contract of a trainer names the session that it is handed.
UPWARD_TYPES = {("gadkit.interfaces.trainer", "gadkit.runs.session")}

#: Public beside the names of `gadkit.__all__`: what plugins may import as modules.
PUBLIC_MODULES = (
    "gadkit.data",
    "gadkit.engine",
    "gadkit.randomness",
    "gadkit.testing",
    "gadkit.video",
    "gadkit.weights",
)

#: `(module, name)` of the uses that are meant, each for a reason: `--plugin my.py` runs the file that its user names,
#: and runs the bytes that were hashed.
MEANT = {("gadkit.registry.files", "exec")}

#: Loading with any of these can execute what a file says.
UNSAFE_MODULES = {"cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "pickle", "shelve"}
UNSAFE_NAMES = {
    "builtins.eval",
    "builtins.exec",
    "eval",
    "exec",
    "pandas.read_pickle",
    "torch.hub.load",
    "torch.jit.load",
    "torch.load",
    "torch.package.PackageImporter",
    "torch.serialization.load",
    "yaml.load",
    "yaml.unsafe_load",
}


@dataclass(frozen=True)
class Import:
    """One imported name: `from module import name`, or `import module` with an empty `name`."""

    module: str
    name: str
    line: int
    for_types: bool

    @property
    def dotted(self) -> str:
        return f"{self.module}.{self.name}" if self.name else self.module


def within(module: str, package: str) -> bool:
    """Whether `module` is `package` or lies in it."""
    return module == package or module.startswith(package + ".")


def imports(source: str, module: str, is_package: bool = False) -> list[Import]:
    """Every import of a file, wherever it stands: relative ones resolved, `import_module("...")` counted."""
    tree = ast.parse(source)
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    found: list[Import] = []
    whole: set[str] = set()  # top packages bound by a plain `import x`
    for node in ast.walk(tree):
        for_types = id(node) in typing_only
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.append(Import(alias.name, "", node.lineno, for_types))
                whole.add(alias.asname or alias.name.partition(".")[0])
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                parts = module.split(".")
                parts = parts[: len(parts) - node.level + is_package]
                origin = ".".join([*parts, origin] if origin else parts)
            found += [Import(origin, alias.name, node.lineno, for_types) for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            target = node.args[0] if node.args else None
            if isinstance(target, ast.Constant) and isinstance(target.value, str):
                found.append(Import(target.value, "", node.lineno, for_types))
    for node in ast.walk(tree):  # `import gadkit` and then `gadkit.train`
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = node.value.id
            if name == "gadkit" and name in whole:
                found.append(Import(name, node.attr, node.lineno, id(node) in typing_only))
    return found


def floor(module: str) -> int | None:
    """The floor of a core module, 0 on top; `None` for a module without a place."""
    for index, packages in enumerate(FLOORS):
        if any(within(module, package) for package in packages):
            return index
    return None


def home(item: Import, modules: frozenset[str], exports: Mapping[str, str]) -> str:
    """The module that an import of gadkit really leads to: a submodule, or where an exported name lives."""
    if item.dotted in modules:
        return item.dotted
    return exports.get(item.name, item.module) if item.module == "gadkit" else item.module


def core_violations(
    source: str, module: str, modules: frozenset[str], exports: Mapping[str, str], is_package: bool = False
) -> Iterator[str]:
    """What a core file imports against the direction.

    Args:
        source: Its text.
        module: Its dotted name.
        modules: Every module of the core.
        exports: The public names of `gadkit`, each with the module that it lives in.
        is_package: Whether the file is an `__init__.py`.
    """
    own = floor(module)
    if own is None:
        yield f"{module}: has no floor in FLOORS"
        return
    for item in imports(source, module, is_package):
        if within(item.module, "gadkit_plugins"):
            yield f"{module}:{item.line}: the core imports the plugin {item.dotted}"
        if not within(item.module, "gadkit"):
            continue
        target = home(item, modules, exports)
        if target == "gadkit":  # `__version__`, or the package alone, whose names are looked at where they are used
            continue
        other = floor(target)
        if other is None:
            yield f"{module}:{item.line}: imports {target}, which has no floor in FLOORS"
        elif other < own and not (item.for_types and (module, target) in UPWARD_TYPES):
            yield f"{module}:{item.line}: imports {target}, which stands above it"


def plugin_violations(source: str, module: str, public: frozenset[str], is_package: bool = False) -> Iterator[str]:
    """What a bundled plugin's file imports beyond gadkit's public names and its own folder.

    Args:
        source: Its text.
        module: Its dotted name, `gadkit_plugins.FOLDER...`.
        public: `gadkit.__all__`.
        is_package: Whether the file is an `__init__.py`.
    """
    own = ".".join(module.split(".")[:2])
    for item in imports(source, module, is_package):
        if within(item.module, "gadkit_plugins") and not (within(item.dotted, own) and own != "gadkit_plugins"):
            yield f"{module}:{item.line}: imports {item.dotted}, the inside of another plugin"
        if not within(item.module, "gadkit"):
            continue
        if any(within(item.dotted, package) for package in PUBLIC_MODULES):
            if any(part.startswith("_") for part in item.dotted.split(".")):
                yield f"{module}:{item.line}: imports {item.dotted}, which is private"
        elif item.module != "gadkit" or (item.name and item.name not in public):
            yield f"{module}:{item.line}: imports {item.dotted}, which is not public"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Component"):
            for keyword in node.keywords:
                if keyword.arg == "target" and isinstance(keyword.value, ast.Constant):
                    target = str(keyword.value.value).partition(":")[0]
                    if not within(target, own):
                        yield f"{module}:{node.lineno}: offers {target}, which is not its own"


def unsafe(source: str, module: str) -> Iterator[str]:
    """What a file uses that can execute data: pickle and its like, `torch.load`, `eval`, `exec`, `allow_pickle`."""
    tree = ast.parse(source)
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                names[alias.asname or top] = alias.name if alias.asname else top
                if top in UNSAFE_MODULES:
                    yield f"{module}:{node.lineno}: imports {alias.name}"
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            if node.module.partition(".")[0] in UNSAFE_MODULES:
                yield f"{module}:{node.lineno}: imports {node.module}"
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            head, _, rest = ast.unparse(node).partition(".")
            origin = names.get(head, head if not rest else "")
            dotted = f"{origin}.{rest}" if rest else origin
            if dotted in UNSAFE_NAMES and (module, dotted) not in MEANT:
                yield f"{module}:{node.lineno}: uses {dotted}"
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            yield f"{module}:{node.value.lineno}: allows pickles"


def cycle(graph: Mapping[str, set[str]]) -> list[str]:
    """A cycle of a directed graph, its first node repeated at the end; empty where there is none."""
    done: set[str] = set()

    def walk(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for following in sorted(graph.get(node, ())):
            if found := walk(following, [*path, node]):
                return found
        done.add(node)
        return []

    for start in sorted(graph):
        if found := walk(start, []):
            return found
    return []
