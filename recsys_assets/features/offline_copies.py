"""Local copies of the tables that DuckDB joins, where the store is on S3.

DuckDB reads S3 by an extension that it downloads when it is first used, of no version that a
package carries. Copies are simpler, and each object is fetched once, however many joins read it.
They take the disk that the feature tables take in the store; where that is too much, joins
belong to Athena or Spark (`RECSYS_OFFLINE_STORE`), which read S3 themselves.
"""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from recsys_assets.features.attributes import ATTRIBUTE_TABLES
from recsys_assets.features.declarations import FEATURE_SETS
from recsys_assets.settings import Settings
from recsys_assets.storage import Store, s3_objects
from recsys_assets.storage.filesystem import open_url, read_bytes, write_atomically

_TABLES = (*ATTRIBUTE_TABLES, *(features.name for features in FEATURE_SETS))
_COPIED = ".copied.json"
_AT_ONCE = 8


def offline_store(settings: Settings) -> Store:
    """The tables as the offline store reads them: those of the store, or their copies."""
    store = Store(settings.storage_url)
    if settings.offline_store == "duckdb" and store.url.startswith("s3://"):
        return Store((settings.home / "feast" / "copies").as_uri())
    return store


def refresh_copies(settings: Settings) -> None:
    """Brings the copies, if there are any, to what the store holds.

    Raises:
        OSError: the store does not answer; every copy is as it was, or new, as a whole.
    """
    copies = offline_store(settings)
    store = Store(settings.storage_url)
    if copies.url == store.url:
        return
    for name in _TABLES:
        folder = Path(open_url(copies.table(name).url)[1])
        _refresh(store.table(name).url, folder)


def _refresh(url: str, folder: Path) -> None:
    """Copies what is new or has changed, then removes what is gone."""
    index = folder / _COPIED
    copied: dict[str, str] = json.loads(index.read_text()) if index.exists() else {}
    present = dict(s3_objects.versions(url))
    stale = [key for key, etag in present.items() if copied.get(key) != etag]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        copies = dict(zip(stale, pool.map(lambda key: _copy(url, folder, key), stale), strict=True))
    for key in copied.keys() - present.keys():
        (folder / key).unlink(missing_ok=True)
    kept: Mapping[str, str] = {key: present[key] for key in present if copies.get(key, True)}
    write_atomically(index.as_uri(), json.dumps(kept).encode())


def _copy(url: str, folder: Path, key: str) -> bool:
    """Copies one object; False if it has gone since it was listed."""
    content = read_bytes(f"{url}/{key}")
    if content is not None:
        write_atomically((folder / key).as_uri(), content)
    return content is not None
