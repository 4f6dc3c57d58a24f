import shutil

import pyarrow as pa
import pytest

from recsys_assets.monitoring import outcomes
from recsys_assets.storage import MissingPartition, Store
from recsys_assets_tests.monitoring.test_outcomes import DAY, answer, event, write
from tools.living_shop.scratch import TABLES, compare_tables, judge_answers

DAYS = ["2025-03-05", "2025-03-06"]
ROWS = [{"item_id": "tea", "value": 1.0}, {"item_id": "milk", "value": None}]


def stored(folder, **changed):
    """A storage with the same rows in each table and day, but for what the last day has changed."""
    store = Store(folder.as_uri())
    for name in TABLES:
        for day in DAYS:
            rows = pa.Table.from_pylist(ROWS if day == DAYS[0] else changed.get(name, ROWS))
            store.table(name).write(rows, day)
    return store


def test_equal_rows_in_any_order_are_not_different(tmp_path):
    lived = stored(tmp_path / "lived", user_features=ROWS[::-1])

    found = compare_tables(lived, stored(tmp_path / "scratch"), DAYS)

    assert (found.compared, found.different) == (len(TABLES) * len(DAYS) * len(ROWS), 0)


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(ROWS[:1], id="a row is lost"),
        pytest.param([*ROWS, ROWS[0]], id="a row is doubled"),
        pytest.param([ROWS[1], {"item_id": "tea", "value": 2.0}], id="a value is another"),
        pytest.param([ROWS[0], {"item_id": "milk", "value": 0.0}], id="a null is filled"),
    ],
)
def test_one_row_that_is_not_as_from_scratch_is_one_difference(tmp_path, rows):
    lived = stored(tmp_path / "lived", item_features=rows)

    found = compare_tables(lived, stored(tmp_path / "scratch"), DAYS)

    assert found.different == 1
    assert f"item_features {DAYS[1]}" in found.examples[0]


def test_outcomes_without_a_purchase_that_came_late_are_different(tmp_path):
    bought = [event("tea", hours=1), event("jam", hours=2, kind="click")]
    late = event("soap", hours=3)
    lived, scratch = (stored(tmp_path / name) for name in ("lived", "scratch"))
    shutil.rmtree(tmp_path / "lived/tables/outcomes")
    write(lived, [answer(), answer("bob", request="r2")], bought)
    lived.table("outcomes").write(outcomes.outcomes(lived, DAY, 24), DAY)
    write(scratch, [], [*bought, late])

    judge_answers(lived, scratch, 24)
    found = compare_tables(lived, scratch, [DAY])
    of_outcomes = [line for line in found.examples if line.startswith("outcomes")]
    assert len(of_outcomes) == 2  # as lived, and from scratch
    assert "soap" in of_outcomes[1]

    write(lived, [answer(), answer("bob", request="r2")], [*bought, late])
    lived.table("outcomes").write(outcomes.outcomes(lived, DAY, 24), DAY)
    assert compare_tables(lived, scratch, [DAY]).different == 0


def test_a_table_that_begins_later_is_compared_from_then_on(tmp_path):
    lived = stored(tmp_path / "lived")
    shutil.rmtree(tmp_path / "lived/tables/daily_examples" / f"day={DAYS[0]}")

    found = compare_tables(lived, stored(tmp_path / "scratch"), DAYS)

    assert (found.compared, found.different) == ((len(TABLES) * len(DAYS) - 1) * len(ROWS), 0)


def test_a_day_that_was_never_made_is_an_error(tmp_path):
    lived = stored(tmp_path / "lived")
    shutil.rmtree(tmp_path / "lived/tables/daily_examples" / f"day={DAYS[1]}")

    with pytest.raises(MissingPartition, match=DAYS[1]):
        compare_tables(lived, stored(tmp_path / "scratch"), DAYS)
