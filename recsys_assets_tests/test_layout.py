"""Rules of the layout that import contracts cannot say."""

import ast
import re
from pathlib import Path

import pytest

import recsys_assets

PACKAGE = Path(recsys_assets.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
GRAPH = [path for path in MODULES if path.is_relative_to(PACKAGE / "defs" / "graph")]
# Loaded with the definitions, so what they import at the top costs every process its start.
HEAVY = {"tensorflow", "merlin", "pyspark", "feast", "evidently", "implicit", "matplotlib"}

# What the models environment lacks.
ORCHESTRATION = {"dagster", "duckdb", "fastapi", "feast", "polars", "pyspark", "sqlalchemy"}
IN_MODELS = sorted(
    path
    for path in MODULES
    if re.search(r"Runs in (both|the models)\s+environment", path.read_text())
)


def imported(path: Path, *, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def loaded_with(path: Path) -> set[str]:
    """Names of all that is imported when a module is, in the package's other modules too."""
    names, seen, waiting = set(), set(), {path}
    while waiting:
        seen |= waiting
        found = {name for one in waiting for name in imported_modules(one)}
        names |= {name.split(".")[0] for name in found}
        waiting = {file for name in found for file in files_of(name)} - seen
    return names


def imported_modules(path: Path) -> set[str]:
    """Dotted names that the top level of a module may import modules by."""
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def files_of(name: str) -> list[Path]:
    inner = PACKAGE.parent.joinpath(*name.split("."))
    return [file for file in (inner.with_suffix(".py"), inner / "__init__.py") if file.exists()]


@pytest.mark.parametrize("path", IN_MODELS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_runs_in_the_models_environment_imports_nothing_that_it_lacks(path):
    assert loaded_with(path) & ORCHESTRATION == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_whoever_catches_errors_of_the_store_catches_those_of_a_cluster(path):
    """redis-py's own class leaves them out: `storage.online_store.STORE_ERRORS` has both."""
    caught = [
        ast.unparse(node.type)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler) and node.type is not None
    ]
    assert not [one for one in caught if re.search(r"\bRedisError\b", one)]


@pytest.mark.parametrize("path", GRAPH, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_graph_imports_nothing_heavy(path):
    assert not imported(path, top_level_only=True) & HEAVY


def test_only_settings_reads_the_environment():
    readers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any(
            word in path.read_text() for word in ("os.environ.get(", "os.getenv(", "= os.environ[")
        )
    }

    assert readers - {"defs/runs/instance.py", "storage/s3.py"} == set()
