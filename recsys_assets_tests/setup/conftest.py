"""A clone with lock files of small wheels, which uv really installs."""

import os
import random
import sys
from pathlib import Path

import pytest

from recsys_assets.settings import REPOSITORY
from recsys_assets_tests.setup.wheels import make_wheel, served
from tools.setup.commands import Commands

NAMES = [f"package{number:02}" for number in range(12)]


class Clone:
    """A folder with locks `some` (all packages but the last two) and `more` (the last three)."""

    def __init__(self, folder: Path, wheels: Path, index: str) -> None:
        self.folder, self.wheels = folder, wheels
        self.environ = {
            "PATH": os.environ["PATH"],
            "UV_CACHE_DIR": str(folder.parent / "cache"),
            "UV_DEFAULT_INDEX": index,
            "UV_NO_CONFIG": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            "PYTHON": sys.executable,
            "PYTHONPATH": str(REPOSITORY),
        }
        draw = random.Random(7)
        self.pins = {
            name: make_wheel(
                wheels,
                name,
                "1.0",
                {f"{name}/{part}.bin": draw.randbytes(40_000) for part in "abc"},
            )
            for name in NAMES
        }
        (folder / "requirements").mkdir(parents=True)
        (folder / ".venvs/tools/bin").mkdir(parents=True)
        (folder / ".venvs/tools/bin/uv").symlink_to(REPOSITORY / ".venvs/tools/bin/uv")
        (folder / "requirements/sizes.txt").write_text(
            "".join(f"{name}=={version} 120000\n" for name in NAMES for version in ("1.0", "2.0"))
        )
        self.lock("some", NAMES[:-2])
        self.lock("more", NAMES[-3:])

    def lock(self, name: str, packages: list[str]) -> None:
        """Writes a lock file."""
        text = "".join(self.pins[package] for package in packages)
        (self.folder / f"requirements/{name}.txt").write_text(text)

    def commands(self, **environ: str) -> Commands:
        """Runs with the clone's index and a cache of its own."""
        return Commands(self.folder / ".venvs/setup.log", {**self.environ, **environ})

    @property
    def packages(self) -> Path:
        """Site-packages of the environment `env`."""
        return self.folder / ".venvs/env/lib/python3.11/site-packages"

    def written(self) -> dict[str, tuple[int, int]]:
        """Inode and time of every RECORD, which uv writes anew with each distribution."""
        records = sorted(self.packages.glob("*.dist-info/RECORD"))
        stats = {record.parent.name: record.stat() for record in records}
        return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}


@pytest.fixture
def clone(tmp_path, monkeypatch):
    (tmp_path / "clone").mkdir()
    monkeypatch.chdir(tmp_path / "clone")
    with served(tmp_path / "index") as index:
        yield Clone(tmp_path / "clone", tmp_path / "index", index)
