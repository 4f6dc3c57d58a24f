"""What in a store goes or stays as a whole: a release, a version, a partition, a leftover."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from recsys_assets.releases.release import MANIFEST
from recsys_assets.storage.removal import Stored, Upload

CLAIMS = "releases/claims/"
_MARKERS = ("approved", "rejected", "claims")
_COMPLETE = "_COMPLETE"
_DAY = "day="
_OF_RUNS = {"staging": "staging", "pipes": "messages"}
_ANSWERS = "request_log"  # the table that takes what waits below `answers/`
# Names of artifacts may be paths, such as one for each day; versions are named by `Artifact`.
_OF_VERSION = re.compile(r"artifacts/(?P<version>[^.].*?/\d{8}T\d{12}-[0-9a-f]{8})/")


@dataclass(frozen=True)
class Item:
    """Something that goes, or stays, as a whole.

    Attributes:
        kind: release, artifact, partition, staging, messages, leftover or upload.
        name: such as `7`, `dlrm/20170901T...`, `request_log/2017-09-01`.
        why: it goes, or stays.
        size: bytes.
        names: of its objects in the store.
        upload: of the kind upload, what is to be aborted.
    """

    kind: str
    name: str
    why: str
    size: int
    names: tuple[str, ...]
    upload: Upload | None = None


Judged = tuple[Item, bool]
Group = dict[str, list[Stored]]


def unit_of(name: str) -> tuple[str, str] | None:
    """Kind and name of what an object belongs to; None if it stays for ever."""
    of_version = _OF_VERSION.match(name)
    if of_version is not None:
        return "artifact", of_version["version"]
    match name.split("/"):
        case ["releases", number, _, *_] if number.isdecimal():
            return "release", number
        case ["releases", marker, number] if marker in _MARKERS and number.isdecimal():
            return "release", number
        case ["tables", table, day, file] if day.startswith(_DAY) and not file.startswith("."):
            return "partition", f"{table}/{day.removeprefix(_DAY)}"
        case ["answers", day, file] if day.startswith(_DAY) and not file.startswith("."):
            return "partition", f"{_ANSWERS}/{day.removeprefix(_DAY)}"  # they wait for that one
        case ["staging" | "pipes" as folder, run, *_] if run:
            return _OF_RUNS[folder], run
        case ["releases", ".lock"]:
            return None
        case parts:
            hidden = [place for place, part in enumerate(parts) if part.startswith(".")]
            return ("leftover", "/".join(parts[: hidden[0] + 1])) if hidden else None


def folder_of(name: str) -> str:
    """The folder that goes with its last object; empty for an object in a shared one."""
    parts = name.split("/")
    match unit_of(name):
        case ("release", number):
            return f"releases/{number}" if parts[1] == number else ""
        case ("artifact", version):
            return f"artifacts/{version}"
        case ("partition", _):
            return "/".join(parts[:-1])
        case ("leftover", folder):
            return folder
        case _:
            return "/".join(parts[:2])


def grouped(found: Iterable[Stored]) -> dict[str, Group]:
    """Objects by kind and by what they belong to."""
    groups: dict[str, Group] = defaultdict(lambda: defaultdict(list))
    for each in found:
        unit = unit_of(each.name)
        if unit is not None:
            groups[unit[0]][unit[1]].append(each)
    return groups


def judge(
    kind: str, group: Group, keep: Callable[[str], str], why: Callable[[str], str]
) -> list[Judged]:
    """Items of a kind; `keep` says why one stays, or nothing, and `why` else why it goes."""
    judged = []
    for name in sorted(group, key=lambda name: (len(name), name)):  # 9 before 10
        parts, reason = group[name], keep(name)
        size, names = sum(part.size for part in parts), tuple(part.name for part in parts)
        judged.append((Item(kind, name, reason or why(name), size, names), not reason))
    return judged


def youngest(parts: list[Stored]) -> datetime:
    """When something was last written; an empty folder counts only if there is nothing else.

    The age of one changes when what was in it is deleted.
    """
    files = [part.modified for part in parts if not part.name.endswith("/")]
    return max(files or [part.modified for part in parts])


def is_manifest(name: str) -> bool:
    """Whether an object is what makes a release exist."""
    parts = name.split("/")
    return len(parts) == 3 and parts[0] == "releases" and parts[2] == MANIFEST


def is_marker(name: str) -> bool:
    """Whether an object is what makes a version of an artifact exist."""
    unit = unit_of(name)
    return unit is not None and name == f"artifacts/{unit[1]}/{_COMPLETE}"
