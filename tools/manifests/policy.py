"""Linters of other people: checkov for manifests, hadolint for Dockerfiles, promtool.

checkov and hadolint are in an environment of their own (`requirements/k8s-tools.txt`). They run
offline: nothing is downloaded, and without a key checkov reports to nobody and knows no severities,
so each of its findings counts as high.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from recsys_assets.settings import REPOSITORY
from tools.manifests.findings import Finding, Rendered
from tools.manifests.render import K8S

EXCEPTIONS = K8S / "policy-exceptions.yaml"
TOOLS = REPOSITORY / ".venvs" / "k8s-tools" / "bin"
_OFFLINE = ("--skip-download", "--download-external-modules", "false")
_FOUND = 1  # how checkov and hadolint end if they have found something


class ToolFailed(RuntimeError):
    """A linter did not do its work; the message says which and why."""


@dataclass(frozen=True)
class Violation:
    """One finding of checkov; `of` is Kind.namespace.name."""

    check: str
    of: str
    name: str


@dataclass(frozen=True)
class Excuse:
    """Findings that are meant, and why."""

    check: str
    objects: str
    reason: str

    def excuses(self, violation: Violation) -> bool:
        """Whether the finding is one of them."""
        return violation.check == self.check and bool(re.fullmatch(self.objects, violation.of))


def exceptions(file: Path = EXCEPTIONS) -> list[Excuse]:
    """The findings that are meant."""
    return [Excuse(**each) for each in yaml.safe_load(file.read_text(encoding="utf-8"))]


def violations(rendered: Rendered) -> tuple[list[Violation], int]:
    """What checkov finds fault with, and how many of its checks passed.

    Raises:
        ToolFailed: it is not installed, or has not checked the objects.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder) / "rendered.yaml"
        file.write_text(rendered.text, encoding="utf-8")
        command = ["--file", str(file), "--framework", "kubernetes", "--output", "json"]
        said = _run("checkov", [*command, "--compact", "--quiet", *_OFFLINE])
    report = json.loads(said)
    if "results" not in report:
        raise ToolFailed(f"checkov has checked nothing of {rendered.file}: {said[:300]}")
    failed = [
        Violation(each["check_id"], each["resource"], each["check_name"])
        for each in report["results"]["failed_checks"]
    ]
    return failed, report["summary"]["passed"]


def policy_findings(
    file: str, found: Sequence[Violation], excused: Sequence[Excuse]
) -> Iterator[Finding]:
    """The violations that no exception names."""
    for each in found:
        if not any(exception.excuses(each) for exception in excused):
            remedy = f"{each.name}: mend it, or name it with a reason in {EXCEPTIONS.name}"
            yield Finding(file, each.of, each.check, "failed", remedy)


def unused(found: Sequence[Violation], excused: Sequence[Excuse]) -> Iterator[Finding]:
    """Exceptions that excuse nothing in any overlay."""
    for each in excused:
        if not any(each.excuses(violation) for violation in found):
            file = f"{K8S.name}/{EXCEPTIONS.name}"
            yield Finding(file, each.check, "objects", each.objects, "excuses nothing: remove it")


def dockerfile_findings(files: Sequence[Path]) -> Iterator[Finding]:
    """What hadolint finds fault with, at any of its levels.

    Raises:
        ToolFailed: it is not installed, or did not run.
    """
    said = json.loads(_run("hadolint", ["--format", "json", *map(str, files)]))
    for each in said:
        file = str(Path(each["file"]).relative_to(REPOSITORY))
        yield Finding(file, f"line {each['line']}", each["code"], each["level"], each["message"])


def monitoring_findings(rendered: Rendered) -> Iterator[Finding]:
    """What promtool says of the rules and the scrape configuration in the ConfigMaps.

    Debian's promtool is built without the discovery of pods, so that section is taken out for it.
    """
    maps = {
        re.sub(r"-[a-z0-9]{10}$", "", each["metadata"]["name"]): each["data"]
        for each in rendered.of_kind("ConfigMap")
    }
    yield from _promtool(rendered, ["check", "rules"], maps["prometheus-rules"])
    scraped = yaml.safe_load(maps["prometheus"]["prometheus.yml"])
    for each in scraped["scrape_configs"]:
        each.pop("kubernetes_sd_configs", None)
    configuration = {"prometheus.yml": yaml.safe_dump(scraped)}
    yield from _promtool(rendered, ["check", "config", "--syntax-only"], configuration)


def _promtool(
    rendered: Rendered, command: Sequence[str], files: Mapping[str, str]
) -> Iterator[Finding]:
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in files]
        for path in paths:
            path.write_text(files[path.name], encoding="utf-8")
        done = subprocess.run(
            ["promtool", *command, *map(str, paths)], capture_output=True, text=True, check=False
        )
    if done.returncode:
        said = (done.stderr or done.stdout).replace(f"{folder}/", "").strip()
        of = f"ConfigMap with {', '.join(files)}"
        yield Finding(rendered.file, of, f"promtool {command[1]}", "refused", said)


def _run(tool: str, arguments: Sequence[str]) -> str:
    """What a tool of the environment says; it may have found something."""
    path = TOOLS / tool
    if not path.is_file():
        raise ToolFailed(f"{path} is not there: run `make setup-manifests`")
    environment = {**os.environ, "PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}"}
    done: Any = subprocess.run(
        [str(path), *arguments], capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode not in (0, _FOUND) or not done.stdout.strip():
        raise ToolFailed(f"{tool} ended with {done.returncode}: {done.stderr.strip()[:500]}")
    return str(done.stdout)
