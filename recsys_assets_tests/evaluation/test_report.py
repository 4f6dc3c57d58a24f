import numpy as np
import pyarrow as pa
import pytest

from recsys_assets.defs import plots
from recsys_assets.evaluation import report, slate_table
from recsys_assets.evaluation.report import DESCRIPTIONS, departments, segments
from recsys_assets.slates import DEPTH, PADDING, rank
from recsys_assets.terminal.figures import as_markdown
from recsys_assets_tests.evaluation.tiny import random_split


def oracle(split):
    """Shows exactly what was relevant."""
    wanted = split.requests.relevant.toarray()
    return rank(
        lambda start, stop: np.where(wanted[start:stop] > 0, 1.0, -np.inf),
        split.requests.seen,
        split.purchases,
    )


def popular(split):
    scores = split.purchases.astype(float)
    return rank(
        lambda start, stop: np.tile(scores, (stop - start, 1)), split.requests.seen, split.purchases
    )


@pytest.fixture
def split():
    return random_split(8, users=60)


@pytest.fixture
def table(split):
    return report.evaluate({"popularity": popular(split), "two_stage": oracle(split)}, split)


def row(table, method, segment="all"):
    [found] = [r for r in table.to_pylist() if (r["method"], r["segment"]) == (method, segment)]
    return found


def test_an_oracle_is_perfect(table):
    found = row(table, "two_stage")

    assert found["recall_at_100"] == found["recall_at_100_low"] == 1
    assert found["ndcg_at_10"] == pytest.approx(1)
    assert found["pooled_recall_at_100"] == 1


def test_popularity_is_worse_and_covers_less(table):
    ours, theirs = row(table, "two_stage"), row(table, "popularity")

    assert theirs["ndcg_at_10"] < ours["ndcg_at_10"]
    assert theirs["recall_at_10_low"] <= theirs["recall_at_10"] <= theirs["recall_at_10_high"]


def test_in_a_department_its_items_alone_count_for_those_who_bought_any(split):
    department = np.array(["a", "b", ""] + ["c"] * 17, dtype=object)
    relevant = split.requests.relevant.toarray() > 0

    found = departments(split, department)

    assert [one.name for one in found] == ["a", "b", "c"]
    for one in found:
        wanted = relevant & (department == one.name)
        assert one.rows.tolist() == np.flatnonzero(wanted.any(axis=1)).tolist()
        np.testing.assert_array_equal(one.relevant.toarray() > 0, wanted[one.rows])
        assert (one.relevant_counts > 0).all()


def test_items_of_no_department_make_none(split):
    assert departments(split, np.full(20, "", dtype=object)) == []


def test_segments_divide_the_requests(split):
    found = {segment.name: segment for segment in segments(split)}

    known, little, unseen = (
        found[name].rows.tolist() if name in found else []
        for name in ("known_users", "little_history", "unseen_users")
    )
    assert sorted([*known, *little, *unseen]) == found["all"].rows.tolist()
    assert len(unseen) == 2
    assert set(found) <= set(DESCRIPTIONS)


def test_new_items_alone_count_in_their_segment():
    split = random_split(0)
    new = split.purchases == 0
    assert new.any()

    [segment] = [one for one in segments(split) if one.name == "new_items"]

    assert set(segment.relevant.indices) <= set(np.flatnonzero(new))
    assert segment.relevant.nnz == split.requests.relevant[:, np.flatnonzero(new)].nnz
    assert (segment.relevant_counts > 0).all()


def test_sound_figures_are_plausible(table):
    assert report.implausible(table) == []


@pytest.mark.parametrize("value", [-0.1, 1.2, float("nan")])
def test_impossible_figures_are_named(table, value):
    rows = table.to_pylist()
    rows[0]["ndcg_at_10"] = value

    found = report.implausible(pa.Table.from_pylist(rows, schema=report.SCHEMA))

    assert "popularity all ndcg_at_10" in found


def test_comparison_is_paired(split):
    slates = {"popularity": popular(split), "two_stage": oracle(split)}

    [found] = report.compare("two_stage", slates, split)
    [same] = report.compare("a", {"a": popular(split), "b": popular(split)}, split)

    assert found.baseline == "popularity"
    assert found.better
    assert found.ndcg_at_10.low > 0
    assert (same.ndcg_at_10.low, same.ndcg_at_10.high) == (0, 0)


def test_markdown_has_a_line_for_each_method(table):
    lines = report.as_markdown(table).splitlines()

    assert lines[0] == "| method | recall@10 | recall@100 | NDCG@10 | coverage@10 |"
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| popularity", "| two_stage"]
    assert "**unseen_users**: nothing in history; 2 households" in report.segments_as_markdown(
        table
    )


def test_the_plot_is_a_png(table):
    png = plots.plot_evaluation(table, {"two_stage"})

    assert png.startswith(b"\x89PNG")
    assert as_markdown(png, "x").startswith("![x](data:image/png;base64,iVBOR")


def test_slates_survive_the_table(split):
    slates = {"a": popular(split), "b": oracle(split)}

    restored = slate_table.from_arrow(slate_table.to_arrow(slates, split), split)

    assert list(restored) == ["a", "b"]
    for name, shown in slates.items():
        np.testing.assert_array_equal(restored[name], shown)
        assert restored[name].shape == (len(split.requests), DEPTH)
        assert (restored[name][:, 50:] == PADDING).all()


def test_slates_of_other_households_are_refused(split):
    table = slate_table.to_arrow({"a": popular(split)}, split)

    with pytest.raises(slate_table.StaleSlates, match="'a' are of other households"):
        slate_table.from_arrow(table.slice(1), split)


def test_slates_of_another_catalogue_are_refused(split):
    table = slate_table.to_arrow({"a": popular(split)}, split)
    split.item_ids[0] = "renamed"

    with pytest.raises(slate_table.StaleSlates, match="items that `items` lacks"):
        slate_table.from_arrow(table, split)
