"""Opens the Feast store that `feature_repo/` describes, for the settings of a deployment.

The same two files serve Feast's own command line and this module, so there is one definition of
every view. Feast takes 9 s to import, so it is imported by the functions that use it.

Where the store is on S3, DuckDB joins local copies of its tables: it reads S3 by an extension that
it downloads when it is first used, of no version that a package carries. Copies are simpler, and
each object is fetched once, however many joins read it. They take the disk that the feature tables
take in the store; where that is too much, joins belong to Athena or Spark (`RECSYS_OFFLINE_STORE`),
which read S3 themselves.
"""

import json
import runpy
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from recsys_assets.features.attributes import ATTRIBUTE_TABLES, require_own_names
from recsys_assets.features.declarations import FEATURE_SETS
from recsys_assets.settings import REPOSITORY, Settings
from recsys_assets.storage import Store, s3_objects
from recsys_assets.storage.filesystem import open_url, read_bytes, write_atomically
from recsys_assets.storage.online_store import is_cluster

if TYPE_CHECKING:
    from feast import FeatureStore

FEATURE_REPO = REPOSITORY / "feature_repo"
_DUCKDB = {"memory_limit": "4GB", "threads": "2", "preserve_insertion_order": "false"}
_TABLES = (*ATTRIBUTE_TABLES, *(features.name for features in FEATURE_SETS))
_COPIED = ".copied.json"
_AT_ONCE = 8


def local_or_url(url: str) -> str:
    """A plain path for `file://` URLs, which DuckDB and Feast's registry want; others as is."""
    return open_url(url)[1] if urlsplit(url).scheme == "file" else url


def redis_connection(url: str) -> str:
    """Feast's connection string, `host:port,db=0,…`, of the online store's URL."""
    parts = urlsplit(url)
    # A cluster has no numbered databases.
    options = {} if is_cluster(url) else {"db": parts.path.strip("/") or "0"}
    if parts.scheme.startswith("rediss"):
        options["ssl"] = "true"
    if parts.username:
        options["username"] = unquote(parts.username)
    if parts.password:
        options["password"] = unquote(parts.password)
    rendered = "".join(f",{name}={value}" for name, value in options.items())
    return f"{parts.hostname}:{parts.port or 6379}{rendered}"


def configuration_variables(settings: Settings) -> dict[str, str]:
    """Values for the variables of `feature_store.yaml`."""
    import yaml

    section = (FEATURE_REPO / "offline_stores" / f"{settings.offline_store}.yaml").read_text()
    filled = Template(section).substitute(
        STORAGE=settings.storage_url,
        REGION=settings.athena.region,
        DATABASE=settings.athena.database,
        WORKGROUP=settings.athena.workgroup,
    )
    return {
        "FEAST_REGISTRY": local_or_url(f"{settings.storage_url}/feast/registry.db"),
        "FEAST_OFFLINE_STORE": json.dumps(yaml.safe_load(filled)),
        "FEAST_ONLINE_TYPE": "redis_cluster" if is_cluster(settings.online_store_url) else "redis",
        "FEAST_ONLINE_STORE": redis_connection(settings.online_store_url),
    }


def write_configuration(settings: Settings) -> str:
    """Writes the filled-in `feature_store.yaml` below `settings.home`; returns its text."""
    template = Template((FEATURE_REPO / "feature_store.yaml").read_text())
    text = template.safe_substitute(configuration_variables(settings))
    target = settings.home / "feast" / "feature_store.yaml"
    write_atomically(target.as_uri(), text.encode())
    return text


def open_feature_store(settings: Settings) -> "FeatureStore":
    """The Feast store over this deployment's storage, registry and online store.

    Opening connects to no online store. DuckDB, where it is the offline store, is held to 4 GB of
    memory and two threads for this process, and spills to disk beyond that; of a store on S3 it
    reads copies, which are brought up to date here.
    """
    import ibis  # type: ignore[import-untyped]
    import yaml
    from feast import FeatureStore, RepoConfig

    config = RepoConfig(**yaml.safe_load(write_configuration(settings)))
    config.repo_path = FEATURE_REPO
    if settings.offline_store == "duckdb":
        for option, value in _DUCKDB.items():
            ibis.get_backend().raw_sql(f"SET {option} = '{value}'")
        refresh_copies(settings)
    return FeatureStore(config=config)


def repository_objects(settings: Settings) -> list[Any]:
    """Entities, views and services of `feature_repo/definitions.py`, for this deployment.

    Raises:
        MissingPartition: the attribute tables, whose columns the views take, are not written yet.
        BrokenInput: an attribute has the name of another column.
    """
    from feast import Entity, FeatureService, FeatureView

    names = runpy.run_path(
        str(FEATURE_REPO / "definitions.py"), init_globals={"SETTINGS": settings}
    )
    require_own_names(
        {
            entities: [field.name for field in names[view].features]
            for view, entities in ATTRIBUTE_TABLES.items()
        }
    )
    return [v for v in names.values() if isinstance(v, Entity | FeatureView | FeatureService)]


def apply_repository(settings: Settings) -> dict[str, list[str]]:
    """Registers what `feature_repo/` defines, and unregisters what it no longer does.

    Returns:
        Names registered, by kind: `entities`, `views`, `services`.
    """
    from feast import Entity, FeatureService, FeatureView

    objects = repository_objects(settings)
    store = open_feature_store(settings)
    wanted = {(type(o), o.name) for o in objects}
    registered = [*store.list_feature_services(), *store.list_feature_views()]
    stale = [o for o in registered if (type(o), o.name) not in wanted]
    store.apply(objects, objects_to_delete=stale, partial=False)
    kinds = {"entities": Entity, "views": FeatureView, "services": FeatureService}
    return {
        kind: sorted(o.name for o in objects if isinstance(o, cls)) for kind, cls in kinds.items()
    }


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
