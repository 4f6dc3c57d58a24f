"""The benchmark compares a release with itself: nothing lost where nothing was changed."""

import json

import numpy as np
import pytest
from scipy import sparse

from benchmarks import quantized, quantized_quality
from benchmarks.quantized import BASELINE, VARIANTS
from benchmarks.quantized_probe import read_sessions, write_sessions
from benchmarks.quantized_quality import METRICS, Graded, Questions, compare, overlap
from benchmarks.quantized_report import as_markdown, plot
from recsys_assets.releases.offline import Answers, Sessions
from recsys_assets.releases.quantization import Sizes

_SIZE = {"before": 4 << 20, "after": 1 << 20}
CATALOGUE = np.array([f"item-{n}" for n in range(30)], dtype=object)


def sessions(count):
    return Sessions(
        user_id=np.array([f"user-{n}" for n in range(count)], dtype=object),
        timestamp=np.arange(count) + 1_506_816_000,
        device=np.array(["web", ""] * count, dtype=object)[:count],
        columns={
            "age": np.array(["35-44"] * count, dtype=object),
            "spend_7d": np.where(np.arange(count) == 0, np.nan, 1.5),
        },
    )


class Ranker:
    """Prefers items by row, the last first."""

    def score_batch(self, user_columns, timestamps, rows, embeddings):
        assert embeddings is None
        assert len(user_columns["user_id"]) == len(timestamps) == len(rows)
        return [found.astype(np.float32) for found in rows]


class Release:
    """Shows every user the items 0 to 9."""

    class rank:  # noqa: N801
        ranker = Ranker()

    def answer(self, asked, purchased, k):
        top = [CATALOGUE[:k]] * len(asked)
        return Answers(candidates=top, scores=[np.arange(k)] * len(asked), slates=top)


@pytest.fixture
def questions():
    """The first user wants what is shown first, the others what is never shown."""
    wanted = sparse.csr_matrix(np.eye(1, 30)[[0] * 40].astype(np.float32))
    wanted = sparse.vstack([wanted[:1], sparse.csr_matrix(np.eye(30)[[29] * 39])]).tocsr()
    return Questions(sessions(40), {}, wanted, CATALOGUE)


def test_measures_are_those_of_the_answers(questions):
    graded = Graded([np.array([29, 3, 5])] * 40, [np.array([True, False, False])] * 40)
    values, slates = quantized_quality.measure(Release(), questions, graded)
    assert values.keys() == set(METRICS)
    for metric in ("ndcg_at_10", "recall_at_10", "ndcg_at_10_shown"):
        assert values[metric].tolist() == [1.0] + [0.0] * 39
    assert values["auc"].tolist() == [1.0] * 40
    assert slates.tolist() == [list(range(10))] * 40


def test_a_release_loses_nothing_against_itself():
    values = {metric: np.linspace(0, 1, 50) for metric in METRICS}
    of = compare(values, values)["ndcg_at_10"]
    assert of["difference"] == of["loss_percent"] == 0
    assert of["interval"] == [0, 0]


def test_a_loss_is_relative_to_the_baseline_and_paired():
    before = {metric: np.linspace(0.1, 1, 50) for metric in METRICS}
    of = compare({metric: values * 0.9 for metric, values in before.items()}, before)["auc"]
    assert of["loss_percent"] == pytest.approx(10)
    low, high = of["loss_percent_interval"]
    assert 5 < low < 10 < high < 15


def test_overlap_is_of_the_items_whatever_their_order():
    assert overlap(np.array([[2, 1, 9]]), np.array([[1, 2, 3]])) == pytest.approx(2 / 3)


def test_sessions_come_back_as_they_were(tmp_path):
    write_sessions(tmp_path / "sessions.json", sessions(3))
    found, wanted = read_sessions(tmp_path / "sessions.json"), sessions(3)
    for name, values in wanted.query_columns().items():
        assert found.query_columns()[name].dtype == values.dtype
        np.testing.assert_array_equal(found.query_columns()[name], values)
    np.testing.assert_array_equal(found.timestamp, wanted.timestamp)


@pytest.fixture
def result():
    values = {metric: np.linspace(0.01, 1, 50) for metric in METRICS}
    times = {"cpu": [[1.0, 1.2], [3.0, 3.2]], "wall": [[2.0, 3.0], [4.0, 5.0]]}
    latency = quantized.latencies([times])[0]
    memory = {"private_mib": 200, "shared_mib": 70, "load_seconds": 1}
    return {
        "variants": {
            name: {
                "bytes": {} if name == BASELINE else {"item_vectors": _SIZE},
                "embeddings_ratio": 0.256,
                **memory,
                **latency,
                "quality": {**compare(values, values), "slate_overlap": 0.993},
            }
            for name in VARIANTS
        }
    }


def test_the_table_has_a_row_a_precision(result):
    rows = as_markdown(result).splitlines()[2:6]
    assert [row.split("|")[1].strip() for row in rows] == list(VARIANTS)
    assert "| 25.6% | 200 + 70 | 1.0 | 2.10 / 3.19 | 100% (100% to 100%) | 3.50 / 4.97 |" in rows[0]


def test_the_second_table_has_a_row_a_part_that_changed(result):
    lines = as_markdown(result).splitlines()
    assert lines[7] == "| MiB | fp32 | fp16 | int8 | int8 + int8 dense |"
    assert lines[9:] == ["| item vectors | 4.00 | 1.00 | 1.00 | 1.00 |"]


def test_the_plot_is_a_png(result):
    assert plot(json.loads(json.dumps(result))).startswith(b"\x89PNG")


def test_cpu_time_is_a_share_of_the_first_form_s_in_the_same_block():
    slow = {"cpu": [[2.0] * 3, [20.0] * 3], "wall": [[1.0] * 3] * 2}
    fast = {"cpu": [[1.0] * 3, [10.0] * 3], "wall": [[1.0] * 3] * 2}
    shares = [of["cpu_share"] for of in quantized.latencies([slow, fast])]
    assert shares == [1.0, 0.5]


def test_the_ratio_is_of_embeddings_alone():
    sizes = {"text_embeddings": Sizes(400, 101), "dense_layers": Sizes(1000, 1000)}
    assert quantized.embeddings_ratio(sizes) == 0.2525
    assert quantized.embeddings_ratio({}) == 1.0
    assert next(iter(VARIANTS)) == BASELINE
