from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from recsys_assets.models.examples import DAY_SECONDS, UnusableExamples
from recsys_assets.models.item_history import midnight_after
from recsys_assets.models.training_data import (
    CatalogueSnapshot,
    load_training_data,
    text_embeddings,
)
from recsys_assets.settings.days import VALIDATION_DAYS
from recsys_assets.storage import MissingPartition
from recsys_assets_tests.models_environment import DAYS, FIRST_DAY, THROUGH, write_store


def day(number):
    return (FIRST_DAY + timedelta(days=number)).date().isoformat()


NEXT = day(DAYS)


@pytest.fixture
def store(tmp_path):
    return write_store(tmp_path)


def add_events(store, of_day, rows=3):
    events = store.table("interactions").read([THROUGH]).slice(0, rows)
    moment = pa.array([FIRST_DAY + timedelta(days=DAYS, hours=9)] * rows, pa.timestamp("us", "UTC"))
    column = events.column_names.index("timestamp")
    store.table("interactions").write(events.set_column(column, "timestamp", moment), of_day)


def add_examples(store, of_day, rows=3):
    found = store.table("training_examples").read().slice(0, rows)
    moment = pa.array([FIRST_DAY + timedelta(days=DAYS, hours=9)] * rows, pa.timestamp("us", "UTC"))
    column = found.column_names.index("timestamp")
    store.table("daily_examples").write(found.set_column(column, "timestamp", moment), of_day)


def test_daily_examples_follow_those_of_the_initial_span(store):
    add_events(store, NEXT)
    add_examples(store, NEXT)

    before, after = (load_training_data(store, through) for through in (THROUGH, NEXT))

    assert len(after.examples) == len(before.examples) + 3
    assert len(after.purchases) == len(before.purchases) + 3
    assert after.through == NEXT


def test_a_day_without_its_examples_is_named(store):
    add_events(store, NEXT)

    with pytest.raises(MissingPartition, match=f"partition {NEXT} of table 'daily_examples'"):
        load_training_data(store, NEXT)


def test_a_day_without_events_needs_no_examples(store):
    add_events(store, NEXT, rows=0)

    assert load_training_data(store, NEXT).examples.timestamp.max() < midnight_after(THROUGH)


@pytest.mark.parametrize("through", [THROUGH, day(DAYS - 4)])
def test_nothing_after_the_last_day_is_known(store, through):
    end = midnight_after(through)
    data = load_training_data(store, through)

    assert data.examples.timestamp.max() < end
    assert pc.max(data.purchases.column("timestamp")).as_py().timestamp() < end
    assert (data.history.activity.keys % (1 << 34)).max() <= end


@pytest.mark.parametrize("through", [THROUGH, day(DAYS - 4)])
def test_the_last_days_up_to_that_one_validate(store, through):
    examples = load_training_data(store, through).examples
    start = midnight_after(through) - VALIDATION_DAYS * DAY_SECONDS

    assert np.array_equal(examples.validation, examples.timestamp >= start)


def test_a_day_whose_examples_were_made_anew_is_taken_from_there(store):
    examples = store.table("training_examples").read()
    of_day = pc.strftime(examples["timestamp"], "%Y-%m-%d")
    late = examples.filter(pc.equal(of_day, day(3)))
    late = late.set_column(0, "user_id", pa.array(["late"] * len(late)))
    store.table("daily_examples").write(late, day(3))

    data = load_training_data(store, THROUGH)

    that_day = data.examples.timestamp // DAY_SECONDS == midnight_after(day(3)) // DAY_SECONDS - 1
    assert set(data.examples.user["user_id"][that_day]) == {"late"}
    assert len(data.examples) == len(examples)


def test_an_attribute_that_users_gain_is_missing_before(store):
    add_events(store, NEXT)
    add_examples(store, NEXT)
    users, added = store.table("users").read(), store.table("daily_examples").read([NEXT])
    store.table("users").write(users.append_column("income", pa.array(["high", None])))

    assert set(load_training_data(store, THROUGH).examples.user["income"]) == {""}

    added = added.append_column("income", pa.array(["high"] * len(added)))
    store.table("daily_examples").write(added, NEXT)
    examples = load_training_data(store, NEXT).examples
    assert set(examples.user["income"][examples.timestamp >= midnight_after(THROUGH)]) == {"high"}


class TestCatalogueSnapshot:
    """`as_of`: an earlier day out of what was read for a later one."""

    def test_it_is_what_is_read_of_that_day(self, store):
        earlier = day(DAYS - 4)
        table = store.table("item_features")
        busier = table.read([THROUGH])
        column = busier.schema.get_field_index("popularity_28d")
        values = pa.array([99] * len(busier), busier.schema.field(column).type)
        table.write(busier.set_column(column, "popularity_28d", values), THROUGH)
        read, later = (CatalogueSnapshot.at(store, of_day) for of_day in (earlier, THROUGH))
        cut = later.as_of(earlier)

        assert cut.day == earlier
        assert set(cut.columns) == set(read.columns)
        for name, values in read.columns.items():
            np.testing.assert_array_equal(cut.columns[name], values)
        assert set(later.columns["popularity_28d"]) == {99}

    def test_nothing_of_it_is_read_again(self, store):
        known = CatalogueSnapshot.at(store, THROUGH)
        cut = known.as_of(day(DAYS - 4))

        assert cut.history is known.history
        assert cut.text is known.text

    def test_a_later_day_is_not_known(self, store):
        known = CatalogueSnapshot.at(store, THROUGH)

        with pytest.raises(ValueError, match=f"by {THROUGH} does not tell what {NEXT} brings"):
            known.as_of(NEXT)

    def test_a_day_before_all_activity_is_named(self, store):
        before = day(-1)

        with pytest.raises(ValueError, match=f"'item_features' has no day up to {before}"):
            CatalogueSnapshot.at(store, THROUGH).as_of(before)


class TestTextEmbeddings:
    def test_they_are_in_the_order_asked_for(self, store):
        every = text_embeddings(store, np.array(["item-0", "item-1"], dtype=object))
        other = text_embeddings(store, np.array(["item-1", "item-0"], dtype=object))

        assert every.dtype == np.float32
        assert np.array_equal(every, other[::-1])

    def test_a_new_item_has_the_mean_until_its_text_is_embedded(self, store):
        known = store.table("item_text_embeddings").read()
        every = text_embeddings(store, known["item_id"].to_numpy(zero_copy_only=False))

        (new,) = text_embeddings(store, np.array(["item-new"], dtype=object))

        assert np.allclose(new, every.mean(axis=0))

    def test_a_table_without_a_row_has_no_mean(self, store):
        table = store.table("item_text_embeddings")
        table.write(table.read().slice(0, 0))

        with pytest.raises(UnusableExamples, match="materialize it again"):
            text_embeddings(store, np.array(["item-0"], dtype=object))
