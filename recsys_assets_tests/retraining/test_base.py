import json

import numpy as np
import pytest

from recsys_assets.features.encoding import Encoding, ModelEncoding
from recsys_assets.models.merlin import write_weights
from recsys_assets.releases.release import MANIFEST, MissingRelease, Releases
from recsys_assets.retraining.base import Base, UnusableBase, grown
from recsys_assets.storage import MissingArtifact, Store

TABLE = np.arange(6, dtype=np.float32).reshape(3, 2)
BIAS = np.ones(2, dtype=np.float32)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path.as_uri())
    encoding = Encoding.fit({"user_id": np.array(["ann"], dtype=object)}, ["user_id"], [])
    with store.artifact("dlrm").new_version() as draft:
        ModelEncoding(encoding, encoding).save(draft.path / "encoding.json")
        write_weights([TABLE, BIAS], draft.path / "weights.npz")
        (draft.path / "metrics.json").write_text(json.dumps({"parameters": {"top_dim": 8}}))
    with Releases(store).new() as release:
        artifacts = {
            "dlrm": {"artifact": "dlrm", "version": draft.version},
            "two_tower": {"artifact": "two_tower", "version": "gone"},
        }
        manifest = {"trained_through": "2017-09-30", "artifacts": artifacts}
        (release.path / MANIFEST).write_text(json.dumps(manifest))
    return store


def test_a_base_is_what_its_release_was_made_of(store):
    base = Base.load(store, 1, "dlrm", "2017-10-07")

    assert (base.release, base.trained_through) == (1, "2017-09-30")
    assert base.folder == store.artifact("dlrm").fetch()
    assert base.encoding.query.cardinalities == {"user_id": 2}
    assert base.parameters == {"top_dim": 8}
    assert [array.tolist() for array in base.weights] == [TABLE.tolist(), BIAS.tolist()]


def test_a_base_that_knows_the_days_to_come_is_refused(store):
    with pytest.raises(UnusableBase, match=r"release 1 was trained through 2017-09-30.*09-29"):
        Base.load(store, 1, "dlrm", "2017-09-29")


def test_a_missing_release_or_artifact_is_named(store):
    with pytest.raises(MissingRelease, match="release 7"):
        Base.load(store, 7, "dlrm", "2017-10-07")
    with pytest.raises(MissingArtifact, match="version gone of artifact 'two_tower'"):
        Base.load(store, 1, "two_tower", "2017-10-07")


def test_new_rows_are_copies_of_the_unknown_row_behind_those_there_are():
    table, bias = grown([TABLE, BIAS], [(5, 2), (2,)])

    assert table[:3].tobytes() == TABLE.tobytes()
    assert table[3:].tolist() == [TABLE[0].tolist()] * 2
    assert bias is BIAS


@pytest.mark.parametrize(
    "shapes", [[(3, 2)], [(2, 2), (2,)], [(3, 4), (2,)], [(3, 2), (3,)], [(3, 2), (2, 1)]]
)
def test_a_base_that_was_built_otherwise_is_refused(shapes):
    with pytest.raises(UnusableBase, match="train the base again"):
        grown([TABLE, BIAS], shapes)
