from datetime import UTC, date, datetime, time, timedelta

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from recsys_assets.defs.graph.events import assets, checks
from recsys_assets.defs.partitions import daily
from recsys_assets.defs.resources import RunDays, SourceResource, StoreResource
from recsys_assets.events.contract import INTERACTIONS, QUARANTINED_INTERACTIONS, BrokenInput
from recsys_assets.storage import Store
from recsys_assets_tests.events.deliveries import write_events, write_shop

ASSETS = [
    *(value for value in vars(assets).values() if isinstance(value, dg.AssetsDefinition)),
    *(value for value in vars(checks).values() if isinstance(value, dg.AssetChecksDefinition)),
]
# The partitions are those of the default source, whose first days these are.
FIRST = date.fromisoformat(daily.get_first_partition_key())
ONLY_CONTRACT = dg.AssetSelection.checks(checks.interactions_keep_contract)
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def moment(day, hour=9):
    return datetime.combine(FIRST, time(hour), UTC) + timedelta(days=day)


def key(day):
    return (FIRST + timedelta(days=day)).isoformat()


class Shop:
    """A source folder, a store and an instance that runs assets on them."""

    def __init__(self, folder):
        self.source = write_shop(folder / "shop")
        self.store = Store((folder / "store").as_uri())
        self.instance = dg.DagsterInstance.ephemeral()

    def deliver(self, day, *rows, name="part-0.parquet"):
        named = [
            {"timestamp": moment(day), "session_id": f"{number}", **row}
            for number, row in enumerate(rows)
        ]
        return write_events(self.source, f"day={key(day)}/{name}", *named)

    def run(self, first, last=None, *, selection=None, raise_on_error=True, skipped=()):
        """One day, or with `last` a single run over several."""
        one = {"dagster/partition": key(first)}
        tags = {RANGE_START: key(first), RANGE_END: key(last)} if last is not None else one
        return dg.materialize(
            ASSETS,
            selection=selection,
            instance=self.instance,
            resources={
                "store": StoreResource(url=self.store.url),
                "source": SourceResource(
                    name="parquet",
                    packaged_data="",
                    url=self.source.as_uri(),
                    first_day=FIRST.isoformat(),
                    skipped_days=[key(day) for day in skipped],
                ),
                "run_days": RunDays(first_day=FIRST.isoformat(), today=key(30), evaluation_days=7),
            },
            tags=tags,
            raise_on_error=raise_on_error,
        )

    def rows(self, table, day):
        return self.store.table(table).read([key(day)])


def outcome(result):
    return {check.check_name: check for check in result.get_asset_check_evaluations()}


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


def test_a_run_over_days_writes_each_of_them_and_says_what_it_found(shop):
    shop.deliver(0, {}, {"item_id": "soap"}, {"item_id": "gone"})
    shop.deliver(1, {"user_id": "bob"})
    shop.deliver(3, {})

    shop.run(0, 3)

    assert [shop.rows("interactions", day).num_rows for day in range(4)] == [2, 1, 0, 1]
    assert shop.rows("quarantined_interactions", 0).column("reason").to_pylist() == ["unknown_item"]
    assert shop.rows("interactions", 2).schema.equals(INTERACTIONS.schema)
    assert shop.rows("quarantined_interactions", 2).schema.equals(QUARANTINED_INTERACTIONS.schema)
    assert shop.store.table("items").read().num_rows == 3
    assert shop.store.table("users").read().num_rows == 2
    assert shop.store.table("promotions").read().num_rows == 0
    by_day = materialized(shop)
    assert by_day[key(0)]["dagster/partition_row_count"].value == 2
    assert by_day[key(0)]["distinct_items"].value == 2
    assert by_day[key(0)]["quarantined_rows"].value == 1


def test_events_of_a_product_that_was_withdrawn_before_the_first_catalogue_are_kept(shop):
    rows = pa.table({"item_id": ["gone", None], "category_l2": ["tea", "tea"]})
    pq.write_table(rows, shop.source / "withdrawn_items.parquet")
    shop.deliver(0, {}, {"item_id": "gone"})

    shop.run(0)

    assert shop.rows("interactions", 0)["item_id"].to_pylist().count("gone") == 1
    assert "gone" not in shop.store.table("items").read()["item_id"].to_pylist()
    quarantined = shop.store.table("quarantined_items").read()
    assert quarantined["reason"].to_pylist() == ["missing_item_id"]


def materialized(shop):
    records = shop.instance.fetch_materializations(dg.AssetKey("interactions"), limit=100).records
    return {
        record.partition_key: record.asset_materialization.metadata for record in reversed(records)
    }


def test_an_empty_day_is_written_and_warned_of(shop):
    shop.deliver(1, {})

    result = shop.run(0, 1)

    check = outcome(result)["days_have_events"]
    assert result.success
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.metadata["empty_days"].value == [key(0)]


def test_a_day_delivered_twice_gives_the_same_partition(shop):
    rows = [{}, {"item_id": "soap"}, {"user_id": None}]
    shop.deliver(0, *rows)
    shop.run(0)
    tables = ("interactions", "quarantined_interactions")
    before = [shop.rows(table, 0) for table in tables]

    shop.deliver(0, *rows, name="part-1.parquet")
    shop.run(0)

    assert [shop.rows(table, 0) for table in tables] == before
    assert materialized(shop)[key(0)]["repeated_rows_removed"].value == 2


def test_a_late_row_joins_its_day_when_that_day_is_materialized_again(shop):
    shop.deliver(0, {})
    shop.run(0)
    shop.deliver(1, {}, {"timestamp": moment(0, 20)})

    result = shop.run(1)

    check = outcome(result)["no_late_deliveries"]
    assert not check.passed
    assert check.metadata["rows_for_earlier_days"].value == {key(0): 1}
    assert shop.rows("interactions", 0).num_rows == 1

    shop.run(0)

    assert shop.rows("interactions", 0).num_rows == 2
    assert shop.rows("interactions", 1).num_rows == 1


def test_a_late_row_that_its_day_holds_already_is_not_told_of_again(shop):
    shop.deliver(0, {})
    shop.run(0)
    shop.deliver(1, {}, {"timestamp": moment(0, 20)}, {"timestamp": moment(0, 21), "device": "web"})
    shop.run(1)
    assert materialized(shop)[key(1)]["rows_for_earlier_days"].value == {key(0): 2}

    shop.run(0)

    assert outcome(shop.run(1))["no_late_deliveries"].passed
    assert materialized(shop)[key(1)]["rows_for_earlier_days"].value == {}


def test_a_file_that_was_replaced_is_told_of_as_one_that_came_late(shop):
    shop.deliver(0, {}, {"price": 2.0})
    shop.run(0)
    shop.deliver(0, {}, {"price": 1.5})

    shop.run(1)

    assert materialized(shop)[key(1)]["rows_for_earlier_days"].value == {key(0): 2}


def test_a_row_whose_item_is_catalogued_late_is_told_of(shop):
    shop.deliver(0, {}, {"item_id": "gone"})
    shop.run(0)
    items = pq.read_table(shop.source / "items.parquet")
    new = items.slice(0, 1).set_column(
        items.column_names.index("item_id"), "item_id", pa.array(["gone"])
    )
    pq.write_table(pa.concat_tables([items, new]), shop.source / "items.parquet")

    shop.run(1)

    assert materialized(shop)[key(1)]["rows_for_earlier_days"].value == {key(0): 1}


def test_days_whose_files_were_cleared_away_stay_as_they_are(shop):
    path = shop.deliver(0, {})
    shop.run(0)
    path.unlink()
    shop.deliver(1, {})

    assert outcome(shop.run(1))["no_late_deliveries"].passed
    assert shop.rows("interactions", 0).num_rows == 1


def test_a_late_file_that_cannot_be_used_is_named_and_stops_no_later_day(shop):
    shop.deliver(0, {})
    shop.run(0)
    shop.deliver(0, {}, name="late.parquet").write_bytes(b"no Parquet")
    shop.deliver(1, {})

    check = outcome(shop.run(1))["no_late_deliveries"]

    assert not check.passed
    assert "late.parquet" in check.description
    assert shop.rows("interactions", 1).num_rows == 1


def test_a_withdrawn_product_is_not_unknown_when_its_days_are_read_again(shop):
    shop.deliver(0, {}, {"item_id": "soap"})
    shop.run(0)
    items = pq.read_table(shop.source / "items.parquet")
    kept = items.filter(pc.not_equal(items["item_id"], "soap"))
    pq.write_table(kept, shop.source / "items.parquet")

    shop.run(0)

    assert shop.rows("interactions", 0).num_rows == 2
    assert shop.store.table("items").read().num_rows == 2
    record = shop.instance.get_latest_materialization_event(dg.AssetKey("catalogue_history"))
    assert record.asset_materialization.metadata["withdrawn_items"].value == 1


def test_a_report_names_the_content_of_its_day(shop):
    shop.deliver(0, {})
    shop.run(0)
    first = materialized(shop)[key(0)]["content"].value
    shop.run(0)
    assert materialized(shop)[key(0)]["content"].value == first

    shop.deliver(0, {"item_id": "soap"}, name="part-1.parquet")
    shop.run(0)

    assert materialized(shop)[key(0)]["content"].value != first


@pytest.mark.parametrize("fault", ["truncated", "no column", "wrong type"])
def test_a_file_that_cannot_be_used_stops_the_day_and_leaves_what_was_stored(shop, fault):
    path = shop.deliver(0, {})
    shop.run(0)
    good = shop.rows("interactions", 0)
    spoil(path, fault)

    with pytest.raises(BrokenInput, match=f"day={key(0)}/part-0.parquet.*Remedy"):
        shop.run(0)

    assert shop.rows("interactions", 0) == good


def spoil(path, fault):
    if fault == "truncated":
        path.write_bytes(path.read_bytes()[:200])
        return
    table = pq.read_table(path)
    column = table.column("user_id")
    kept = table.drop_columns(["user_id"])
    if fault == "wrong type":
        kept = kept.append_column("user_id", pa.array([1] * len(column)))
    pq.write_table(kept, path)


def test_too_much_quarantine_blocks(shop):
    shop.deliver(0, *[{}] * 100, *[{"event": "buy"}] * 10)

    result = shop.run(0, raise_on_error=False)

    check = outcome(result)["quarantine_ratio"]
    assert (check.passed, check.blocking) == (False, True)
    what, why, remedy = check.description.splitlines()
    path = shop.store.table("quarantined_interactions").path(key(0))
    file = f"interactions/day={key(0)}/part-0.parquet"
    assert what == f"too much in quarantine on {key(0)} (9.1%)"
    assert why == f"{key(0)}: unknown_event 10; most from {file}, see {path}"
    assert remedy == (
        f"correct the delivery and materialize again, or go on without: RECSYS_SKIP_DAYS={key(0)}"
    )


def test_too_much_quarantine_over_many_small_days_is_explained_without_days_to_skip(shop):
    for day in range(3):
        shop.deliver(day, *[{}] * 50, *[{"event": "buy"}] * (5 + day))

    check = outcome(shop.run(0, 2, raise_on_error=False))["quarantine_ratio"]

    what, *why, remedy = check.description.splitlines()
    assert what == "too much in quarantine: 10.7% of all rows, no day stands out"
    assert [line.partition(":")[0] for line in why] == [key(0), key(1), key(2)]
    assert "SKIP" not in remedy


def test_what_was_delivered_for_a_day_that_is_skipped_did_not_come_late(shop):
    for day in range(3):
        shop.deliver(day, {}, {"item_id": "soap"})
    shop.run(0, 1, skipped=[1])

    assert outcome(shop.run(2, skipped=[1]))["no_late_deliveries"].passed
    assert not outcome(shop.run(2))["no_late_deliveries"].passed


def test_a_day_that_is_skipped_is_empty_says_so_and_can_be_loaded_after_all(shop):
    shop.deliver(0, {}, {"item_id": "soap"})
    shop.deliver(1, *[{}] * 100, *[{"event": "buy"}] * 20)
    assert not shop.run(0, 1, raise_on_error=False).success

    without = shop.run(0, 1, skipped=[1])

    ratio = outcome(without)["quarantine_ratio"]
    assert (ratio.passed, ratio.metadata["skipped_days"].value) == (True, [key(1)])
    assert [shop.rows("interactions", day).num_rows for day in (0, 1)] == [2, 0]
    assert shop.rows("quarantined_interactions", 1).num_rows == 20
    assert materialized(shop)[key(1)]["rows_left_out_with_the_day"].value == 100
    assert "rows_left_out_with_the_day" not in materialized(shop)[key(0)]

    shop.deliver(1, *[{}] * 100)
    shop.run(1)

    assert shop.rows("interactions", 1).num_rows == 100
    assert "rows_left_out_with_the_day" not in materialized(shop)[key(1)]


def test_a_few_bad_rows_of_few_do_not_block(shop):
    shop.deliver(0, {}, {"event": "buy"})

    assert outcome(shop.run(0))["quarantine_ratio"].passed


def test_volume_is_compared_with_the_weeks_before(shop):
    for day in (0, 7, 14):
        shop.deliver(day, *[{}] * 20)
    shop.deliver(21, *[{}] * 2)

    check = outcome(shop.run(0, 21))["volume_is_usual"]

    assert not check.passed
    assert check.metadata["unusual_days"].value == {key(21): 0.1}


def test_a_table_that_others_wrote_wrongly_is_noticed(shop):
    shop.deliver(0, {})
    shop.run(0)
    wrong = shop.rows("interactions", 0).drop_columns(["device"])
    shop.store.table("interactions").write(wrong, key(0))

    result = shop.run(0, selection=ONLY_CONTRACT, raise_on_error=False)

    assert not outcome(result)["interactions_keep_contract"].passed


def test_items_and_users_are_checked_for_unique_ids(shop):
    shop.deliver(0, {})
    items = pq.read_table(shop.source / "items.parquet")
    pq.write_table(pa.concat_tables([items, items]), shop.source / "items.parquet")

    result = outcome(shop.run(0))

    assert result["items_have_unique_ids"].passed
    assert result["users_have_unique_ids"].passed
    assert shop.store.table("items").read().num_rows == 3


def test_a_shop_may_know_nothing_of_its_users_but_has_items(shop):
    shop.deliver(0, {})
    for table in ("users", "items"):
        path = shop.source / f"{table}.parquet"
        pq.write_table(pq.read_table(path).slice(0, 0), path)

    result = outcome(shop.run(0, raise_on_error=False))

    assert result["users_have_unique_ids"].passed
    assert not result["items_have_unique_ids"].passed


def test_a_single_day_check_is_filed_under_its_partition(shop):
    shop.deliver(0, {})
    shop.run(0)

    result = shop.run(0, selection=ONLY_CONTRACT)

    assert outcome(result)["interactions_keep_contract"].partition == key(0)


def test_every_asset_is_described():
    specs = [
        spec for asset in ASSETS if isinstance(asset, dg.AssetsDefinition) for spec in asset.specs
    ]

    assert {spec.key.to_user_string() for spec in specs} == {
        "interactions",
        "quarantined_interactions",
        "items",
        "quarantined_items",
        "catalogue_history",
        "users",
        "quarantined_users",
        "promotions",
        "quarantined_promotions",
    }
    for spec in specs:
        assert spec.group_name == "events"
        assert spec.description
        assert spec.owners
        assert spec.code_version
        assert spec.metadata["dagster/column_schema"].columns
