"""Reads Dockerfiles and .dockerignore, as far as the checks of `images.py` need it."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dockerfile_parse.constants import COMMENT_INSTRUCTION
from dockerfile_parse.parser import DockerfileParser, image_from

_VARIABLE = re.compile(r"\$\{?(\w+)\}?")


@dataclass(frozen=True)
class Instruction:
    """One instruction; `value` is what follows its keyword, with continued lines joined."""

    line: int
    keyword: str
    value: str

    @property
    def command(self) -> list[str]:
        """The words of a command in JSON form; empty for one in shell form."""
        start = self.value.find("[")
        if start < 0 or not self.value.endswith("]"):
            return []
        return [str(word) for word in json.loads(self.value[start:])]

    def option(self, name: str) -> str | None:
        """Value of `--name=value`."""
        found = re.search(rf"--{name}=(\S+)", self.value)
        return found[1] if found else None


@dataclass
class Stage:
    """What one FROM begins. `base` is its image with the defaults of build arguments filled in."""

    line: int
    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def of(self, *keywords: str) -> list[Instruction]:
        """Instructions with one of the keywords."""
        return [found for found in self.instructions if found.keyword in keywords]


@dataclass(frozen=True)
class Dockerfile:
    """A parsed Dockerfile."""

    path: Path
    stages: list[Stage]
    arguments: dict[str, str]

    @classmethod
    def read(cls, path: Path) -> "Dockerfile":
        """Parses a file."""
        arguments: dict[str, str] = {}
        stages: list[Stage] = []
        for found in _instructions(path):
            if found.keyword == "ARG":
                name, _, default = found.value.partition("=")
                arguments[name] = default
            if found.keyword == "FROM":
                base, name = image_from(found.value)
                stages.append(Stage(found.line, fill(base, arguments), name or str(len(stages))))
            elif stages:
                stages[-1].instructions.append(found)
        return cls(path, stages, arguments)

    @property
    def images(self) -> list[Stage]:
        """Stages that become images: those that no other stage is made from."""
        used = {stage.base for stage in self.stages}
        for stage in self.stages:
            used |= {copy.option("from") or "" for copy in stage.of("COPY")}
        return [stage for stage in self.stages if stage.name not in used]

    def sources(self) -> Iterator[tuple[Instruction, str]]:
        """Paths of the build context that are copied or mounted."""
        for stage in self.stages:
            for copy in stage.of("COPY", "ADD"):
                if copy.option("from") is None:
                    words = [word for word in shlex.split(copy.value) if not word.startswith("--")]
                    yield from ((copy, word) for word in words[:-1])
            for run in stage.of("RUN"):
                for mount in re.findall(r"--mount=(\S+)", run.value):
                    options = dict(part.partition("=")[::2] for part in mount.split(","))
                    if options.get("type") == "bind":
                        yield run, options["source"]


def fill(text: str, arguments: Mapping[str, str]) -> str:
    """Replaces `${NAME}` by the default of that build argument, where it has one."""
    return _VARIABLE.sub(lambda found: arguments.get(found[1], found[0]), text)


def _instructions(path: Path) -> Iterator[Instruction]:
    for found in DockerfileParser(str(path)).structure:
        if found["instruction"] != COMMENT_INSTRUCTION:
            yield Instruction(found["startline"] + 1, found["instruction"], found["value"])


class Ignored:
    """What a .dockerignore keeps out of the build context: the last pattern that fits decides."""

    def __init__(self, text: str) -> None:
        lines = [line.strip() for line in text.splitlines()]
        self._patterns = [
            (line.startswith("!"), _as_regex(line.removeprefix("!").strip("/")))
            for line in lines
            if line and not line.startswith("#")
        ]

    def __contains__(self, path: str) -> bool:
        ignored = False
        for kept, pattern in self._patterns:
            if pattern.match(path.strip("/")):
                ignored = not kept
        return ignored


def _as_regex(pattern: str) -> re.Pattern[str]:
    """A pattern also fits all that lies below what it fits."""
    pieces = []
    for piece in re.split(r"(\*\*/|\*\*|\*|\?)", pattern):
        wild = {"**/": r"(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
        pieces.append(wild.get(piece, re.escape(piece)))
    return re.compile("".join(pieces) + r"(?:/.*)?$")
