"""Rules of the layout that import contracts cannot say."""

import ast
from pathlib import Path

import pytest

import recsys_assets

PACKAGE = Path(recsys_assets.__file__).parent
STAGES = sorted(path.parent for path in PACKAGE.glob("*/assets.py"))
WIRING = {
    "assets.py",
    "example_assets.py",
    "candidate_assets.py",
    "index_assets.py",
    "checks.py",
    "jobs.py",
    "resources.py",
    "sensors.py",
    "pipes.py",
    "pipes_kubernetes.py",
    "pipes_pods.py",
    "configuration.py",
}
PLAIN = sorted(
    path
    for folder in [*STAGES, PACKAGE / "storage"]
    for path in folder.rglob("*.py")
    if path.name not in WIRING
)
# Loaded with the definitions, so what they import at the top costs every process its start.
HEAVY = {"tensorflow", "merlin", "pyspark", "feast", "evidently", "implicit", "matplotlib"}


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


@pytest.mark.parametrize("path", PLAIN, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_plain_modules_do_not_know_dagster(path):
    assert "dagster" not in imported(path)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_wiring_imports_nothing_heavy(stage):
    for name in WIRING:
        if (stage / name).exists():
            assert not imported(stage / name, top_level_only=True) & HEAVY


def test_only_settings_reads_the_environment():
    readers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any(
            word in path.read_text() for word in ("os.environ.get(", "os.getenv(", "= os.environ[")
        )
    }

    assert readers - {"instance.py", "storage/s3.py"} == set()
