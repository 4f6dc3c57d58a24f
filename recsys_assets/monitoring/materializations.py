"""What runs have reported of an asset, as sensors read it: each report once, and none left out."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

_PAGE = 500
# Databases with several writers show an event later than one that has a higher id. Reading the
# last ids again finds it, and a report that is known already changes nothing.
_READ_AGAIN = 200


def materializations_since(
    instance: dg.DagsterInstance, asset: dg.AssetKey, seen: int
) -> Iterator[dg.EventLogRecord]:
    """Materializations after a storage id, in the order of theirs, and some from before it."""
    wanted = dg.AssetRecordsFilter(asset, after_storage_id=max(0, seen - _READ_AGAIN))
    cursor, has_more = None, True
    while has_more:
        page = instance.fetch_materializations(wanted, _PAGE, cursor=cursor, ascending=True)
        yield from page.records
        cursor, has_more = page.cursor, page.has_more


def metadata_of(record: dg.EventLogRecord) -> Mapping[str, Any]:
    """Metadata values of a materialization by name."""
    materialization = record.asset_materialization
    values = materialization.metadata if materialization is not None else {}
    return {name: value.value for name, value in values.items()}
