"""Whether what is installed is whole: every distribution held against its RECORD.

An installer that is killed leaves a distribution with some of its files, and the next one trusts
it by the name of its folder. A file that is there is complete or has another size.
"""

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

from tools.setup.failure import Failure


def site_packages(environment: Path) -> Path:
    """Where an environment's packages lie."""
    return environment / "lib/python3.11/site-packages"


def broken(packages: Path) -> list[Path]:
    """The .dist-info folders of the distributions of which something is missing or cut off."""
    return [info for info in _infos(packages) if not _whole(info)]


def pins(packages: Path) -> set[str]:
    """`name==version` of every distribution."""
    names = (info.name.removesuffix(".dist-info").split("-", 1) for info in _infos(packages))
    return {f"{canonical(name)}=={version}" for name, version in names}


def canonical(name: str) -> str:
    """A distribution's name as lock files spell it."""
    return name.lower().replace("_", "-").replace(".", "-")


def remove(info: Path) -> None:
    """Removes what is left of a distribution, its description last."""
    root = info.parents[3]  # files of bin/ and share/ are outside site-packages
    for file, _ in _files(info):
        if file.resolve().is_relative_to(root) and file.parent != info:
            file.unlink(missing_ok=True)
    shutil.rmtree(info)


def require_whole(packages: Path, remedy: str) -> None:
    """Raises a Failure that names what is not whole."""
    names = [info.name.removesuffix(".dist-info") for info in broken(packages)]
    if names:
        raise Failure(f"{', '.join(names[:5])} in {packages} not whole after installing", remedy)


def _infos(packages: Path) -> list[Path]:
    return sorted(packages.glob("*.dist-info"))


def _whole(info: Path) -> bool:
    if not (info / "METADATA").is_file() or not (info / "RECORD").is_file():
        return False
    for file, size in _files(info):
        try:
            found = file.stat().st_size
        except FileNotFoundError:
            return False
        if size is not None and found != size:
            return False
    return True


def _files(info: Path) -> Iterator[tuple[Path, int | None]]:
    """The files of a distribution, and their sizes where they are recorded."""
    record = info / "RECORD"
    if not record.is_file():
        return
    with record.open(encoding="utf-8", newline="") as lines:
        for row in csv.reader(lines):
            if row and not row[0].endswith(".pyc"):  # written when first imported
                size = int(row[2]) if len(row) > 2 and row[2] else None
                yield info.parent / row[0], size
