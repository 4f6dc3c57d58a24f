"""The point-in-time join against Feast's own, which is its definition."""

import json
import random
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

START = datetime(2017, 1, 1, tzinfo=UTC)
OURS = "recsys_assets.features.asof_store.AsOfOfflineStore"
KEYS = pa.schema([("user_id", pa.string()), ("item_id", pa.string())])
FEATURES = [
    *("user_features:spend", "user_features:top", "user_attributes:age"),
    *("item_features:price", "item_features:sold"),
]
TIME = pa.timestamp("us", tz="UTC")


def snapshots(draw, key, ids, days, **columns):
    """Snapshots at midnights, of an entity only where something changed; gaps and nulls too."""
    rows = [
        {key: entity, "event_timestamp": START + timedelta(days=day)}
        | {name: None if draw.random() < 0.2 else make() for name, (_, make) in columns.items()}
        for day in range(days)
        for entity in ids
        if days == 1 or draw.random() < 0.3
    ]
    draw.shuffle(rows)
    kinds = [(name, kind) for name, (kind, _) in columns.items()]
    return pa.Table.from_pylist(
        rows, pa.schema([(key, pa.string()), ("event_timestamp", TIME), *kinds])
    )


def write_history(folder, days=40, examples=600, seed=5):
    draw = random.Random(seed)
    users, items = [f"u{n}" for n in range(8)], [f"i{n} ü" for n in range(20)]
    texts = (pa.string(), lambda: draw.choice(["", "a", "ü"]))
    tables = {
        "user_features": snapshots(
            draw, "user_id", users, days, spend=(pa.float64(), draw.random), top=texts
        ),
        "user_attributes": snapshots(draw, "user_id", users[::2], 1, age=texts),
        "item_features": snapshots(
            draw,
            "item_id",
            items,
            days,
            price=(pa.float64(), draw.random),
            sold=(pa.int64(), lambda: draw.randrange(2**60)),
        ),
    }
    for name, rows in tables.items():
        pq.write_table(rows, folder / f"{name}.parquet")
    moments = (0, 0, 1, -1, 86_399_999_999)  # at a snapshot, a microsecond beside it, in between
    entities = [
        {
            "user_id": draw.choice([*users, "unknown", None]),
            "item_id": draw.choice([*items, "unknown"]),
            "event_timestamp": START
            + timedelta(days=draw.randrange(-1, days + 1), microseconds=draw.choice(moments)),
            "row": row,
        }
        for row in range(examples)
    ]
    entities.append({**entities[0], "row": examples})  # the same moment of the same keys, twice
    schema = pa.schema([*KEYS, ("event_timestamp", TIME), ("row", pa.int64())])
    return pa.Table.from_pylist(entities, schema)


def views(folder, ttl=timedelta(0)):
    from feast import Entity, FeatureView, Field, FileSource, ValueType
    from feast.types import Float64, Int64, String

    types = {"double": Float64, "int64": Int64, "string": String}
    entities = [
        Entity(name=kind, join_keys=[f"{kind}_id"], value_type=ValueType.STRING)
        for kind in ("user", "item")
    ]
    made = []
    for path in sorted(folder.glob("*.parquet")):
        schema = pq.read_schema(path)
        entity = entities[0] if "user_id" in schema.names else entities[1]
        fields = [
            Field(name=f.name, dtype=types[str(f.type)])
            for f in schema
            if f.name != "event_timestamp"
        ]
        source = FileSource(name=path.stem, path=str(path), timestamp_field="event_timestamp")
        made.append(
            FeatureView(name=path.stem, entities=[entity], ttl=ttl, schema=fields, source=source)
        )
    return [*entities, *made]


def join(folder, kind, entities, objects):
    """The joined rows in the order of the entities."""
    from feast import FeatureStore, RepoConfig

    config = RepoConfig(
        project="test",
        provider="local",
        registry=str(folder / f"{kind}.db"),
        offline_store={"type": kind},
        entity_key_serialization_version=3,
    )
    config.repo_path = folder
    store = FeatureStore(config=config)
    store.apply(objects)
    return store.get_historical_features(entities.to_pandas(), FEATURES).to_arrow().sort_by("row")


@pytest.mark.parametrize("ttl", [timedelta(0), timedelta(days=3), timedelta(hours=5)])
@pytest.mark.parametrize("seed", [5, 6])
def test_the_join_is_feasts_value_by_value(tmp_path, ttl, seed):
    entities = write_history(tmp_path, seed=seed)

    ours = join(tmp_path, OURS, entities, views(tmp_path, ttl))

    assert ours.num_rows == entities.num_rows
    assert ours.equals(join(tmp_path, "duckdb", entities, views(tmp_path, ttl)))
    assert all(0 < ours[name].null_count < ours.num_rows for name in ("spend", "price", "age"))


def test_what_the_join_does_not_know_is_refused(tmp_path):
    from recsys_assets.features.asof_store import UnsupportedView

    entities, declared = write_history(tmp_path), views(tmp_path)
    declared[2].batch_source.created_timestamp_column = "sold"
    with pytest.raises(UnsupportedView, match=r"item_features.*knows no created timestamp"):
        join(tmp_path, OURS, entities, declared)


def rows_handled(folder, kind, days):
    """Rows that all operators of a join of `days` days, an example an hour, hand on."""
    import ibis

    folder = folder / f"{kind}-{days}"
    folder.mkdir()
    entities = write_history(folder, days, examples=24 * days)
    connection, profile = ibis.get_backend().con, folder / "profile.json"
    connection.execute("SET enable_profiling = 'json'")
    connection.execute(f"SET profiling_output = '{profile}'")
    try:
        join(folder, kind, entities, views(folder))
    finally:
        connection.execute("RESET enable_profiling")
        connection.execute("RESET profiling_output")
    return sum(row_counts(json.loads(profile.read_text())["operator"][0]))


def row_counts(node):
    yield node.get("intermediate_rows", 0)
    for child in node.get("children", ()):
        yield from row_counts(child)


@pytest.mark.parametrize(("kind", "least", "most"), [(OURS, 3, 5), ("duckdb", 8, 20)])
def test_four_times_the_history_is_four_times_the_rows(tmp_path, kind, least, most):
    """Of Feast's own join it is more, or this test would see nothing."""
    once, more = (rows_handled(tmp_path, kind, days) for days in (30, 120))

    assert least < more / once < most
