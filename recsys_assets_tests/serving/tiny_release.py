"""Releases without trained models, for tests of what is around them."""

import json
import py_compile
import shutil
from pathlib import Path

import numpy as np

from recsys_assets.releases.release import MANIFEST, Releases
from recsys_assets.releases.release_writing import digests
from recsys_assets.releases.rendering import TEMPLATES
from recsys_assets.triton.repository import PIPELINE, write_configs, write_identity

TINY_MODEL = Path(__file__).parent / "tiny_repo" / PIPELINE / "model.py"
ITEMS = 1000
DIMENSIONS = 8
DAY = "2017-09-30"
AT = 1_506_816_000


def item_ids(release: int) -> list[str]:
    """Every release has items of its own, so that an answer shows where it comes from."""
    return [f"{release}-{row}" for row in range(ITEMS)]


# Loads, and answers an anonymous visitor: only real requests show that it is bad.
FAILS_FOR_USERS = """

def _score(self, user_columns, timestamps, rows, embeddings=None):
    if any(user_columns["user_id"]):
        raise RuntimeError("a ranker that fails for everybody with a name")
    return [-found.astype(np.float32) for found in rows]


TinyRanker.score_batch = _score
"""
FAILS_FOR_ANN = FAILS_FOR_USERS.replace(
    'any(user_columns["user_id"])', '"ann" in user_columns["user_id"]'
)

# Waits with any batch that has a named user for as long as the folder {hold} has the file `wait`;
# each process that does leaves a file of its own there.
HELD_FOR_USERS = """

import os
import time


def _answer(self, requests, efforts, deadlines):
    if any(requests.user_ids):
        hold = Path({hold!r})
        (hold / str(os.getpid())).touch()
        while (hold / "wait").exists():
            time.sleep(0.02)
    return Pipeline.answer(self, requests, efforts, deadlines)


TinyPipeline.answer = _answer
"""


# How long a request may wait in its queue at most, in the templates and for a patient release.
_QUEUE_TIMEOUT = "default_timeout_microseconds: 1000000"
_PATIENT_TIMEOUT = "default_timeout_microseconds: 3600000000"


def lay_model(draft: Path, release: int, source: str) -> Path:
    """Templates and a compiled `model.py` in a draft; returns the version folder."""
    for config in TEMPLATES.glob("*/config.pbtxt"):
        target = draft / "templates" / config.parent.name
        target.mkdir(parents=True)
        shutil.copyfile(config, target / config.name)
    folder = draft / "models" / PIPELINE / str(release)
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(source)
    # Were it compiled when it is first loaded, the folder would change, and be loaded anew.
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(folder / "model.py"), doraise=True, invalidation_mode=mode)
    return folder


def publish_tiny_release(
    releases: Releases, broken: bool = False, code: str = "", patient: bool = False
) -> int:
    """Publishes a release that Triton can serve, or (broken) one that cannot be loaded.

    `code` is appended to its `model.py`. A patient one lets pages wait for an hour in its queue.
    """
    with releases.new() as draft:
        release = int(draft.version)
        folder = lay_model(draft.path, release, TINY_MODEL.read_text() + code)
        if patient:
            config = draft.path / "templates" / PIPELINE / "config.pbtxt"
            assert _QUEUE_TIMEOUT in config.read_text()
            config.write_text(config.read_text().replace(_QUEUE_TIMEOUT, _PATIENT_TIMEOUT))
        (folder / "item_index").mkdir()
        (folder / "item_index/item_ids.json").write_text(json.dumps(item_ids(release)))
        vectors = np.random.default_rng(release).normal(size=(ITEMS, DIMENSIONS))
        if not broken:
            np.save(folder / "vectors.npy", vectors.astype(np.float32))
        write_identity(draft.path / "models", release)
        write_configs(draft.path / "templates", draft.path / "models", release)
        manifest = {
            "release": release,
            "item_features_day": DAY,
            "trained_through": DAY,
            "files": digests(draft.path),
        }
        (draft.path / MANIFEST).write_text(json.dumps(manifest))
    return release
