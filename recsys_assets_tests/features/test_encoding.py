import json

import numpy as np
import pytest

from recsys_assets.features.encoding import (
    UNKNOWN,
    Encoding,
    InvalidEncoding,
    ModelEncoding,
    Normaliser,
    Vocabulary,
)


def text(*values):
    return np.array(values, dtype=object)


def test_a_vocabulary_orders_by_frequency_then_name():
    vocabulary = Vocabulary.fit(text("b", "a", "c", "c", "", "a"))

    assert vocabulary.values == ("a", "c", "b")
    assert len(vocabulary) == 4


@pytest.mark.parametrize("value", ["", "never seen", "ünïcode" * 600, "\x00"])
def test_an_unknown_value_is_the_unknown_row(value):
    assert Vocabulary.fit(text("a")).encode(text(value, "a")).tolist() == [UNKNOWN, 1]


def test_rare_values_can_share_the_unknown_row():
    vocabulary = Vocabulary.fit(text("a", "a", "b"), min_count=2)

    assert vocabulary.values == ("a",)


def test_a_missing_number_is_the_mean_and_marked():
    encoding = Encoding.fit({"x": np.array([0.0, 3.0, np.nan])}, [], ["x"])

    dense = encoding.encode_dense({"x": np.array([np.nan, np.inf, 3.0])})

    assert dense[:, 0].tolist() == [0.0, 0.0, 1.0]
    assert dense[:, 1].tolist() == [1.0, 1.0, 0.0]
    assert dense.dtype == np.float32


def test_numbers_are_standardised_and_clipped():
    normaliser = Normaliser.fit(np.array([-1.0, 1.0]))

    assert normaliser.encode(np.array([-1.0, 1.0, 1e9])).tolist() == [-1.0, 1.0, 6.0]


def test_counts_are_on_a_log_scale():
    normaliser = Normaliser.fit(np.array([0.0, 10.0, 1000.0]))

    assert normaliser.log
    assert np.isfinite(normaliser.encode(np.array([-5.0]))).all()


def test_a_column_without_any_value_stays_finite():
    normaliser = Normaliser.fit(np.array([np.nan, np.nan]))

    assert normaliser.encode(np.array([4.0, -5.0, np.nan])).tolist() == [4.0, -5.0, 0.0]


@pytest.mark.parametrize("sign", [1, -1])
def test_what_a_constant_column_holds_is_its_mean_and_a_little_more_is_little(sign):
    for cents in range(2001):
        price = sign * cents / 100
        normaliser = Normaliser.fit(np.full(1000, price))

        same, more = normaliser.encode(np.array([price, price + 0.01])).tolist()

        assert (normaliser.std, same) == (1.0, 0.0), price
        assert 0 < more <= 0.01 + 1e-12, price


def test_what_rounding_adds_to_a_constant_is_no_spread():
    almost = 9.99 + np.array([0.0, 1.0, -1.0, 2.0]) * np.spacing(9.99)

    assert Normaliser.fit(np.tile(almost, 250)).std == 1.0


def test_a_small_spread_is_one():
    assert Normaliser.fit(np.array([1e6, 1e6 + 0.01])).std < 1e-6


def test_a_column_can_take_anothers_vocabulary():
    item = Vocabulary.fit(text("tea", "soap"))

    encoding = Encoding.fit(
        {"favourite": text("soap"), "x": np.ones(1)}, ["favourite"], ["x"], {"favourite": item}
    )

    assert encoding.cardinalities == {"favourite": 3}
    assert encoding.encode_ids({"favourite": text("tea")}).tolist() == [[2]]


def test_an_extended_vocabulary_keeps_the_rows_that_are_in_use():
    vocabulary = Vocabulary.fit(text("b", "b", "a"))

    extended = vocabulary.extended(text("d", "a", "c", "", "d"))

    assert extended.values == ("b", "a", "d", "c")
    assert vocabulary.extended(text("a", "b")) == vocabulary


def test_an_encoding_is_extended_by_column():
    encoding = Encoding.fit({"c": text("a"), "d": text("a"), "x": np.ones(2)}, ["c", "d"], ["x"])

    extended = encoding.extended({"c": text("new")})

    assert extended.cardinalities == {"c": 3, "d": 2}
    assert extended.normalisers == encoding.normalisers
    with pytest.raises(KeyError, match="e"):
        encoding.extended({"e": text("new")})


def test_json_brings_back_the_same_encoding(tmp_path):
    columns = {"c": text("ä", "b", "b"), "x": np.array([1.0, 2.0, np.nan])}
    encoding = Encoding.fit(columns, ["c"], ["x"])
    ModelEncoding(encoding, encoding, "Europe/Berlin").save(tmp_path / "encoding.json")

    loaded = ModelEncoding.load(tmp_path / "encoding.json")

    assert (loaded.query, loaded.time_zone) == (encoding, "Europe/Berlin")
    batch, again = encoding.transform(columns), loaded.item.transform(columns)
    assert (batch.ids == again.ids).all()
    assert (batch.dense == again.dense).all()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"query": {"format": 99}, "item": {}}'])
def test_a_file_that_is_no_encoding_is_named(tmp_path, content):
    file = tmp_path / "encoding.json"
    file.write_text(content)

    with pytest.raises(InvalidEncoding, match=r"encoding\.json"):
        ModelEncoding.load(file)


def test_a_missing_column_is_named():
    encoding = Encoding.fit({"x": np.ones(1)}, [], ["x"])

    with pytest.raises(KeyError, match="x"):
        encoding.encode_dense({"y": np.ones(1)})


def test_stored_encodings_are_plain_json():
    encoding = Encoding.fit({"c": text("a"), "x": np.ones(2)}, ["c"], ["x"])

    assert Encoding.from_dict(json.loads(json.dumps(encoding.to_dict()))) == encoding


def test_a_model_from_before_there_were_time_zones_tells_the_hour_in_utc(tmp_path):
    file = tmp_path / "encoding.json"
    encoding = Encoding.fit({"x": np.ones(2)}, [], ["x"])
    ModelEncoding(encoding, encoding).save(file)
    stored = json.loads(file.read_text())
    del stored["time_zone"]
    file.write_text(json.dumps(stored))

    assert ModelEncoding.load(file).time_zone == "UTC"
