"""What the site's strict build does not look at: pages and pictures outside docs/."""

import re

import pytest

from tools.docs.tables import ROOT, TABLES

OUTSIDE = [
    ROOT / name
    for name in (
        *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "k8s/README.md"),
        *("observability/README.md", "observability/RUNBOOK.md"),
    )
]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
MODULE = re.compile(r"`([a-z_/]+\.py)`")
PACKAGE = ROOT / "recsys_assets"
CODE = [path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "var"))]
ASKED = re.compile(r"^<!-- made from code: (.+) -->$", re.MULTILINE)


@pytest.mark.parametrize("page", OUTSIDE, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_pictures_lead_somewhere(page):
    links = [one for one in LINK.findall(page.read_text()) if "://" not in one]
    assert [one for one in links if not (page.parent / one).is_file()] == []


def test_the_readme_is_read_in_minutes():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_the_map_of_folders_names_every_room():
    page = (ROOT / "docs" / "concepts" / "architecture.md").read_text()
    rooms = {f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")}
    rooms |= {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}
    assert {room for room in rooms if f"`{room}`" not in page} == set()


def test_every_table_stands_on_one_page():
    pages = (ROOT / "docs").rglob("*.md")
    asked = [name for page in pages for name in ASKED.findall(page.read_text())]
    assert sorted(asked) == sorted(TABLES)


def test_modules_that_pages_name_exist():
    """Those of the mutants' last result are of its commit."""
    names = {
        (page.name, name)
        for page in [*OUTSIDE, *(ROOT / "docs").rglob("*.md")]
        if page.name not in {"mutants.md", "CHANGELOG.md"}
        for name in MODULE.findall(page.read_text())
    }
    files = [f"/{file.relative_to(ROOT)}" for folder in CODE for file in folder.rglob("*.py")]
    assert names
    assert {one for one in names if not any(file.endswith(f"/{one[1]}") for file in files)} == set()
