"""Reads lock files and the table of their sizes."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

REQUIREMENTS = Path("requirements")
SIZES = REQUIREMENTS / "sizes.txt"
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s\\;]+)", re.MULTILINE)


def lock(name: str) -> Path:
    """The file of a lock."""
    return REQUIREMENTS / f"{name}.txt"


def locked(files: Iterable[Path]) -> set[str]:
    """`name==version` of every pin."""
    return {
        f"{name}=={version}"
        for file in files
        for name, version in _PIN.findall(file.read_text(encoding="utf-8"))
    }


def sizes(file: Path = SIZES) -> dict[str, int]:
    """Bytes that each pin downloads."""
    lines = (line.split() for line in file.read_text(encoding="utf-8").splitlines())
    return {pin: int(size) for pin, size in lines}


def digest(files: Iterable[Path]) -> str:
    """What is installed, as one word: it changes with every byte of these files."""
    whole = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        whole.update(f"{file.name} {len(content)}\n".encode() + content)
    return whole.hexdigest()
