"""Serving results as Markdown, for the metadata of assets and checks."""

from collections.abc import Sequence
from typing import Any

from recsys_assets.serving.canary import Finding

_DIGEST_SHOWN = 12


def files_as_markdown(manifest: dict[str, Any]) -> str:
    """The files of a release with size and the beginning of their SHA-256."""
    lines = ["| file | kB | sha256 |", "|---|---:|---|"]
    lines += [
        f"| {name} | {file['bytes'] / 1000:,.1f} | `{file['sha256'][:_DIGEST_SHOWN]}` |"
        for name, file in manifest["files"].items()
    ]
    return "\n".join(lines)


def findings_as_markdown(findings: Sequence[Finding]) -> str:
    """What was asked, and what was wrong with the answer."""
    lines = ["| user | k | faults |", "|---|---:|---|"]
    lines += [
        f"| {finding.user_id or '(anonymous)'} | {finding.k} | {'; '.join(finding.faults)} |"
        for finding in findings
    ]
    return "\n".join(lines)
