"""Releases without trained models, for tests of what is around them."""

import json
import py_compile
import shutil
from pathlib import Path

import numpy as np

from recsys_assets.serving.release import MANIFEST, Releases
from recsys_assets.serving.rendering import TEMPLATES
from recsys_assets.serving.repository import STAGES, write_configs, write_identity

TINY_REPO = Path(__file__).parent / "tiny_repo"
ITEMS = 1000
DIMENSIONS = 8
AT = 1_506_816_000


def item_ids(release: int) -> list[str]:
    """Every release has items of its own, so that an answer shows where it comes from."""
    return [f"{release}-{row}" for row in range(ITEMS)]


def publish_tiny_release(releases: Releases, broken: bool = False) -> int:
    """Publishes a release that Triton can serve, or (broken) one whose ranker cannot be loaded."""
    with releases.new() as draft:
        release = int(draft.version)
        for config in TEMPLATES.glob("*/config.pbtxt"):
            target = draft.path / "templates" / config.parent.name
            target.mkdir(parents=True)
            shutil.copyfile(config, target / config.name)
        for stage in STAGES:
            folder = draft.path / "models" / stage / str(release)
            folder.mkdir(parents=True)
            shutil.copyfile(TINY_REPO / stage / "model.py", folder / "model.py")
            mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
            py_compile.compile(str(folder / "model.py"), doraise=True, invalidation_mode=mode)
            (folder / "item_index").mkdir()
            (folder / "item_index/item_ids.json").write_text(json.dumps(item_ids(release)))
            vectors = np.random.default_rng(release).normal(size=(ITEMS, DIMENSIONS))
            if not (broken and stage == "rank"):
                np.save(folder / "vectors.npy", vectors.astype(np.float32))
        write_identity(draft.path / "models", release)
        write_configs(draft.path / "templates", draft.path / "models", release)
        (draft.path / MANIFEST).write_text(json.dumps({"release": release}))
    return release
