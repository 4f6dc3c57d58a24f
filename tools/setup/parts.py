"""What can be installed, and which lock files and tools each part brings."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tools.setup.failure import Failure


@dataclass(frozen=True)
class Part:
    """What a target needs beside the demo.

    Attributes:
        locks: lock files of the orchestration environment, without folder and ending.
        data: lock files of wheels of which only the files are used.
        tools: programs that are unpacked from Debian packages.
        linters: whether the environment of the manifests' linters is needed.
    """

    purpose: str
    locks: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    linters: bool = False


PARTS = {
    "demo": Part("both environments, data and Java: all that runs the recommender"),
    "image-encoder": Part("weights that encode pictures of items", data=("image-encoder",)),
    "console": Part("Dagster's UI and the drift pages of the replay", ("console",)),
    "check": Part("linters and type stubs", ("checks",), tools=("prometheus",)),
    "manifests": Part("what checks k8s/", ("manifests",), tools=("prometheus",), linters=True),
    "test": Part(
        "test tools and servers",
        ("test",),
        data=("image-encoder",),
        tools=("prometheus", "prometheus-alertmanager", "libfaketime", "haproxy"),
        linters=True,
    ),
    "docs": Part("what builds the documentation's site", ("docs",)),
}


def needed(asked: Iterable[str]) -> list[str]:
    """The parts that were asked for, with the demo, in the order of the table.

    Raises:
        Failure: there is no such part.
    """
    wanted = {"demo", *asked}
    for unknown in sorted(wanted - set(PARTS)):
        raise Failure(f"there is no part {unknown!r}", f"name one of {', '.join(PARTS)}")
    return [name for name in PARTS if name in wanted]


def recorded(file: Path) -> list[str]:
    """The parts that earlier set-ups of this clone have finished."""
    names = file.read_text(encoding="utf-8").split() if file.exists() else []
    return [name for name in names if name in PARTS]
