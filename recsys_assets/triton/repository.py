"""The layout of a Triton model repository: version folders, and config files from templates."""

import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path
from string import Template

from recsys_assets.runtime.processes import ServiceError
from recsys_assets.triton.client import CACHED, MODEL

PIPELINE = "pipeline"  # the model that holds a release, one version each
CONFIG = "config.pbtxt"
ON_CPU, ON_GPU = "KIND_CPU", "KIND_GPU"  # what an instance of the model computes on
# The ensemble's own version never changes; the release is in the version of its step.
_ENSEMBLE_VERSION = "1"
_IDENTITY = "release.json"


def write_configs(templates: Path, repository: Path, release: int, kind: str = ON_CPU) -> None:
    """Makes the ensembles answer with `release` from their next load on.

    Args:
        templates: folder with one `<model>/config.pbtxt` for each model.
        repository: model repository. Config files are replaced by rename, and only where they
            differ: Triton loads a model whose config has been touched anew.
        release: what the ensemble answers with.
        kind: of the model's instances.
    """
    for model in (PIPELINE, MODEL, CACHED):
        text = Template((templates / model / CONFIG).read_text()).substitute(
            release=release, kind=kind
        )
        target = repository / model / CONFIG
        if target.exists() and target.read_text() == text:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = target.with_name(f".{CONFIG}.{uuid.uuid4().hex}")
        staging.write_text(text)
        staging.replace(target)
    (repository / MODEL / _ENSEMBLE_VERSION).mkdir(exist_ok=True)
    (repository / CACHED / str(release)).mkdir(exist_ok=True)


def write_identity(models: Path, release: int) -> None:
    """Marks the version folder of a new release as its own.

    Numbers begin at 1 again in a new store, so that a number alone does not tell releases apart.
    """
    identity = json.dumps({"release": release, "id": uuid.uuid4().hex})
    (models / PIPELINE / str(release) / _IDENTITY).write_text(identity)


def item_ids(folder: Path, release: int) -> list[str]:
    """The items that a release knows, by row of its index."""
    file = folder / "models" / PIPELINE / str(release) / "item_index" / "item_ids.json"
    return list(json.loads(file.read_text()))


def add_version(models: Path, repository: Path, release: int) -> None:
    """Lays a release's version folder beside those that are there, whole or not at all.

    Files are hard links where both folders are on one mount: a release never changes. A folder
    of that number which an earlier store has left is replaced.

    Raises:
        ServiceError: the release was rendered for another layout.
    """
    source, target = _versions(models, repository, release)
    if not source.is_dir():
        raise ServiceError(
            f"release {release} has no {PIPELINE}/: it was rendered for an earlier layout of "
            "models. Serve it with the code that rendered it, or begin anew in another RECSYS_HOME"
        )
    if is_laid(models, repository, release):
        return
    if target.exists():
        shutil.rmtree(target)
    staging = target.with_name(f".{release}.{uuid.uuid4().hex}")
    staging.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copytree(source, staging, copy_function=_link_or_copy)
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def is_laid(models: Path, repository: Path, release: int) -> bool:
    """Whether that very release, not one that bore its number in another store, lies there."""
    source, target = _versions(models, repository, release)
    return target.exists() and (
        (target / _IDENTITY).read_bytes() == (source / _IDENTITY).read_bytes()
    )


def remove_versions(repository: Path, kept: Iterable[int]) -> None:
    """Removes version folders of other releases, and what a killed promotion has left.

    Triton unloads a removed version at the next load.
    """
    names = {str(release) for release in kept} | {CONFIG}
    for entry in (repository / PIPELINE).iterdir():
        if entry.name not in names and entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name not in names:
            entry.unlink()


def _versions(models: Path, repository: Path, release: int) -> tuple[Path, Path]:
    """The version folder of a release, and where it goes."""
    return models / PIPELINE / str(release), repository / PIPELINE / str(release)


def _link_or_copy(source: str, target: str) -> None:
    """Two volumes of a pod may be on one device, and still no link goes from one to the other."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copy2(source, target)
