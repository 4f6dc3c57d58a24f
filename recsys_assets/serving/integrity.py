"""Whether the files of a release are still those that were rendered."""

import hashlib
from pathlib import Path
from typing import Any

from recsys_assets.serving.processes import ServiceError


class CorruptRelease(ServiceError):
    """A release whose files are not what its manifest says; it is not served."""


def digests(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of every file in a folder, by relative path; bytecode is left out."""
    return {
        str(file.relative_to(folder)): {"bytes": file.stat().st_size, "sha256": sha256(file)}
        for file in sorted(folder.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    }


def sha256(file: Path) -> str:
    """The digest of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def verify(folder: Path, manifest: dict[str, Any]) -> None:
    """Compares every file of a release with its manifest.

    Args:
        folder: the release, `Releases.fetch(release)`.
        manifest: `Releases.manifest(release)`.

    Raises:
        CorruptRelease: names the first file that is missing or differs.
    """
    release = manifest["release"]
    if not manifest.get("files"):
        raise CorruptRelease(
            f"the manifest of release {release} in {folder} lists no files: render a new release"
        )
    for name, rendered in manifest["files"].items():
        fault = _fault(folder / name, rendered)
        if fault:
            raise CorruptRelease(
                f"release {release} is damaged: {folder / name} {fault}. It is not promoted; "
                "render a new release from the same artifacts (of a remote store this is a copy: "
                f"deleting {folder} may be enough)"
            )


def _fault(file: Path, rendered: dict[str, Any]) -> str:
    if not file.is_file():
        return "is missing"
    size = file.stat().st_size
    if size != rendered["bytes"]:
        return f"has {size} bytes instead of {rendered['bytes']}"
    if sha256(file) != rendered["sha256"]:
        return f"is not what was rendered (SHA-256 is not {rendered['sha256'][:12]}...)"
    return ""
