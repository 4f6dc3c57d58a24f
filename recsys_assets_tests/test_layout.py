"""Rules of the layout that import contracts cannot say."""

import ast
import itertools
import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import recsys_assets

PACKAGE = Path(recsys_assets.__file__).parent
REPOSITORY = PACKAGE.parent
MODULES = sorted(PACKAGE.rglob("*.py"))
LAB = [
    path for name in ("benchmarks", "replay", "tools") for path in (REPOSITORY / name).rglob("*.py")
]
GRAPH = [path for path in MODULES if path.is_relative_to(PACKAGE / "defs" / "graph")]
# Loaded with the definitions, so what they import at the top costs every process its start.
HEAVY = {"tensorflow", "merlin", "pyspark", "feast", "evidently", "implicit", "matplotlib"}

# What the models environment lacks.
ORCHESTRATION = {"dagster", "duckdb", "fastapi", "feast", "polars", "pyspark", "sqlalchemy"}
IN_MODELS = [
    path
    for path in [*MODULES, *LAB]
    if re.search(r"Runs in (both|the models)\s+environment", path.read_text())
]


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def names_of(paths: Iterable[Path]) -> list[str]:
    return [str(path.relative_to(REPOSITORY)) for path in paths]


@cache
def imported_modules(path: Path) -> frozenset[str]:
    """Dotted names that the top level of a module may import modules by."""
    names: set[str] = set()
    for node in parsed(path).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def modules_with(path: Path) -> set[str]:
    """Dotted names that are imported when a module is, by our other modules too."""
    names, seen, waiting = set(), set(), {path}
    while waiting:
        seen |= waiting
        found = {name for one in waiting for name in imported_modules(one)}
        names |= found
        waiting = {file for name in found for file in files_of(name)} - seen
    return names


def loaded_with(path: Path) -> set[str]:
    """The packages of these."""
    return {name.split(".")[0] for name in modules_with(path)}


def files_of(name: str) -> list[Path]:
    inner = REPOSITORY.joinpath(*name.split("."))
    return [file for file in (inner.with_suffix(".py"), inner / "__init__.py") if file.exists()]


def test_what_runs_in_the_models_environment_imports_nothing_that_it_lacks():
    assert IN_MODELS
    assert names_of(path for path in IN_MODELS if loaded_with(path) & ORCHESTRATION) == []


def test_whoever_catches_errors_of_the_store_catches_those_of_a_cluster():
    """redis-py's own class leaves them out: `storage.online_store.STORE_ERRORS` has both."""

    def catches_less(node: ast.AST) -> bool:
        caught = isinstance(node, ast.ExceptHandler) and node.type and ast.unparse(node.type)
        return bool(caught and re.search(r"\bRedisError\b", caught))

    paths = [path for path in [*MODULES, *LAB] if any(map(catches_less, ast.walk(parsed(path))))]
    assert names_of(paths) == []


def test_the_graph_imports_nothing_heavy():
    heavy = {
        path: {name.split(".")[0] for name in imported_modules(path)} & HEAVY for path in GRAPH
    }
    assert names_of(path for path, found in heavy.items() if found) == []


def test_only_settings_reads_the_environment():
    words = ("os.environ.get(", "os.getenv(", "= os.environ[")
    readers = [path for path in MODULES if any(word in path.read_text() for word in words)]

    assert names_of(readers) == ["recsys_assets/storage/s3.py"]  # variables of AWS, see there


def test_what_dagster_does_not_export_is_imported_with_a_reason():
    for path in [*MODULES, *LAB]:
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
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in found.items() if count > 1] == []


def test_a_room_is_no_maze():
    files = Counter(path.parent for path in MODULES)
    assert names_of(folder for folder, count in files.items() if count > 20) == []


def test_a_module_fits_on_a_few_screens():
    assert names_of(path for path in MODULES if len(path.read_text().splitlines()) > 350) == []


def test_the_command_line_starts_in_either_environment_and_loads_nothing_heavy():
    heavy = ORCHESTRATION | HEAVY | {"numpy", "pyarrow", "boto3"}
    assert loaded_with(PACKAGE / "cli.py") & heavy == set()


def test_an_agent_loads_no_server_that_others_embed():
    embedded = {"recsys_assets.triton.server", "recsys_assets.services.valkey"}
    assert modules_with(PACKAGE / "rollout" / "agent_process.py") & embedded == set()
