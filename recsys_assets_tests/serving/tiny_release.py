"""Releases without trained models, for tests of what is around them."""

import json
import py_compile
import shutil
from pathlib import Path

import numpy as np

from recsys_assets.serving.integrity import digests
from recsys_assets.serving.release import MANIFEST, Releases
from recsys_assets.serving.rendering import TEMPLATES
from recsys_assets.serving.repository import STAGES, write_configs, write_identity

TINY_REPO = Path(__file__).parent / "tiny_repo"
ITEMS = 1000
DIMENSIONS = 8
DAY = "2017-09-30"
AT = 1_506_816_000


def item_ids(release: int) -> list[str]:
    """Every release has items of its own, so that an answer shows where it comes from."""
    return [f"{release}-{row}" for row in range(ITEMS)]


# Loads, and answers an anonymous visitor: only real requests show that it is bad.
FAILS_FOR_USERS = """

def _score(self, user_columns, timestamp, rows):
    if user_columns["user_id"][0]:
        raise RuntimeError("a ranker that fails for everybody with a name")
    return -rows.astype(np.float32)


TinyRanker.score = _score
"""


def publish_tiny_release(releases: Releases, broken: bool = False, ranker_code: str = "") -> int:
    """Publishes a release that Triton can serve, or (broken) one whose ranker cannot be loaded.

    `ranker_code` is appended to the ranker's `model.py`.
    """
    with releases.new() as draft:
        release = int(draft.version)
        for config in TEMPLATES.glob("*/config.pbtxt"):
            target = draft.path / "templates" / config.parent.name
            target.mkdir(parents=True)
            shutil.copyfile(config, target / config.name)
        for stage in STAGES:
            folder = draft.path / "models" / stage / str(release)
            folder.mkdir(parents=True)
            source = (TINY_REPO / stage / "model.py").read_text()
            (folder / "model.py").write_text(source + (ranker_code if stage == "rank" else ""))
            mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
            py_compile.compile(str(folder / "model.py"), doraise=True, invalidation_mode=mode)
            (folder / "item_index").mkdir()
            (folder / "item_index/item_ids.json").write_text(json.dumps(item_ids(release)))
            vectors = np.random.default_rng(release).normal(size=(ITEMS, DIMENSIONS))
            if not (broken and stage == "rank"):
                np.save(folder / "vectors.npy", vectors.astype(np.float32))
        write_identity(draft.path / "models", release)
        write_configs(draft.path / "templates", draft.path / "models", release)
        manifest = {"release": release, "item_features_day": DAY, "files": digests(draft.path)}
        (draft.path / MANIFEST).write_text(json.dumps(manifest))
    return release
