"""Rules of the layout that import contracts cannot say."""

import ast
import itertools
import re
from collections import Counter
from pathlib import Path

import pytest

import recsys_assets

PACKAGE = Path(recsys_assets.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
FOLDERS = sorted({path.parent for path in MODULES})
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


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_dagster_does_not_export_is_imported_with_a_reason(path):
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"\s*from dagster\._", line):
            block = itertools.takewhile(lambda one: "import" in one, reversed(lines[:number]))
            before = lines[number - 1 - len(list(block))]
            assert "Dagster 1.13" in line + before, f"{path}:{number + 1}"


def test_no_two_classes_have_one_name():
    found = Counter(
        node.name
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in found.items() if count > 1] == []


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_is_no_maze(folder):
    assert len(list(folder.glob("*.py"))) <= 20


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_fits_on_a_few_screens(path):
    assert len(path.read_text().splitlines()) <= 350


def test_the_command_line_starts_in_either_environment_and_loads_nothing_heavy():
    heavy = ORCHESTRATION | HEAVY | {"numpy", "pyarrow", "boto3"}
    assert loaded_with(PACKAGE / "cli.py") & heavy == set()
