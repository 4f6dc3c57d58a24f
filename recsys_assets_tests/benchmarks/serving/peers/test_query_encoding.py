"""The query side encoded in halves is the query side."""

import numpy as np
import pytest

from benchmarks.serving.peers import query_encoding
from benchmarks.serving.peers.options import Options
from recsys_assets.features.encoding import EncodedBatch, Encoding, ModelEncoding
from recsys_assets.features.request_time import CONTEXT_FEATURES

COLUMNS = {
    "user_id": np.array(["ann", "bob"], dtype=object),
    "age": np.array(["30-39", ""], dtype=object),
    "device": np.array(["web", "mobile"], dtype=object),
    "spend": np.array([3.0, np.nan]),
    "recency_days": np.array([1.5, 9.0]),
    **{name: np.array([0.1, -0.7]) for name in CONTEXT_FEATURES},
}
TEXTS, NUMBERS = ("user_id", "age", "device"), ("spend", "recency_days", *CONTEXT_FEATURES)


def write_release(folder, categorical, numeric):
    encoding = Encoding.fit(COLUMNS, categorical, numeric)
    for name in ("two_tower", "dlrm", "dlrm/retrieval"):
        (folder / name).mkdir()
        ModelEncoding(encoding, encoding).save(folder / name / "encoding.json")
    return encoding, Options(str(folder), 1, "", "")


def test_both_halves_make_the_whole(tmp_path):
    encoding, options = write_release(tmp_path, TEXTS, NUMBERS)
    encodings = query_encoding.query_encodings(options)
    one = {name: values[1:] for name, values in COLUMNS.items()}

    joined = query_encoding.join(
        query_encoding.encode([query_encoding.user_part(e) for e in encodings], one),
        query_encoding.encode([query_encoding.context_part(e) for e in encodings], one),
    )

    whole = encoding.transform(one)
    assert isinstance(joined, EncodedBatch)
    np.testing.assert_array_equal(joined.ids, np.repeat(whole.ids, 3, axis=0))
    np.testing.assert_array_equal(joined.dense, np.repeat(whole.dense, 3, axis=0))


@pytest.mark.parametrize(
    ("categorical", "numeric"), [(TEXTS[::-1], NUMBERS), (TEXTS, NUMBERS[::-1])]
)
def test_columns_in_another_order_are_refused(tmp_path, categorical, numeric):
    _, options = write_release(tmp_path, categorical, numeric)
    with pytest.raises(query_encoding.UnknownEncoding, match="two_tower"):
        query_encoding.query_encodings(options)
