"""What a store need not keep: old releases, artifact versions nobody names, and leftovers.

Kept, whatever the policy:

- the live release, the one before it, and as many before them as are to be kept; the last one of
  other weights among them;
- a release that was live until lately: answers that it gave are still to be logged;
- the newest release, and the newest that is not rejected, which canary pods serve;
- the current version of an artifact, and one that was current until lately: a rendering that began
  with it may not have ended;
- a version that the manifest of a kept release names;
- whatever has been written lately, so also what is being written;
- every change of the live release, and every day of tables and artifacts that the policy does not
  name.

Lately is within `Policy.older_than_days`. Manifests are deleted first, then pointers and markers of
artifact versions, then the rest: at any point of it a release or a version is there or is not, and
no release names a version that is gone. What a kill has left is found by the next run.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from recsys_assets.releases import retention_rules as rules
from recsys_assets.releases.release import Promoted, Releases
from recsys_assets.releases.retention_rules import RetentionPolicy
from recsys_assets.releases.retention_units import Item, folder_of, grouped, is_manifest, is_marker
from recsys_assets.runtime.processes import ServiceError
from recsys_assets.storage import Store
from recsys_assets.storage import removal as objects

FOLDERS = ("releases", "artifacts", "tables", "answers", "staging", "pipes")
STAGED_FOR = timedelta(days=1)


class StoreChanged(ServiceError):
    """The live release has changed since the plan was made; nothing has been removed."""


@dataclass(frozen=True)
class Removal:
    """What a policy removes from a store, and what it keeps.

    Attributes:
        live: the change in force when it was made.
        removed: what goes.
        kept: what stays.
        pointers: to current versions, of artifacts that go with all their versions.
    """

    live: Promoted | None
    removed: tuple[Item, ...]
    kept: tuple[Item, ...]
    pointers: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes that become free."""
        return sum(item.size for item in self.removed)


def plan(store: Store, policy: RetentionPolicy, now: datetime) -> Removal:
    """What would go, what would stay, and why; changes nothing.

    Raises:
        ValueError: the policy names a table or artifact that the store has not.
        StorageUnavailable: the store cannot be read.
    """
    url = store.url.rstrip("/")
    # Listed before anything is read: what is written from now on is not in the plan.
    found = [each for folder in FOLDERS for each in objects.stored(url, folder)]
    uploads = [each for folder in FOLDERS for each in objects.uploads(url, folder)]
    present, groups = Releases(store), grouped(found)
    rules.require_known(policy, groups["partition"], groups["artifact"])
    live, before = present.promoted(), policy.young_since(now)
    releases = rules.releases(
        groups["release"], present.history(), present.refreshes(), policy, before
    )
    kept = [item.name for item, goes in releases if not goes and any(map(is_manifest, item.names))]
    named = rules.named_by(present, kept)
    versions = rules.versions(groups["artifact"], store, named, policy, now)
    judged = [
        *releases,
        *versions,
        *rules.partitions(groups["partition"], policy, now),
        *rules.leftovers(groups["staging"], "staging", now - STAGED_FOR),
        *rules.leftovers(groups["messages"], "messages", before),
        *rules.leftovers(groups["leftover"], "leftover", before),
        *rules.multipart_uploads(uploads, before),
    ]
    return Removal(
        live,
        tuple(item for item, goes in judged if goes),
        tuple(item for item, goes in judged if not goes),
        rules.pointers(versions, policy, now),
    )


def carry_out(store: Store, removal: Removal) -> None:
    """Removes what was planned. After a kill, or an error, plan again and carry that out.

    Raises:
        StoreChanged: another release has become live since the plan was made.
        StorageUnavailable: something could not be deleted.
    """
    if Releases(store).promoted() != removal.live:
        raise StoreChanged(
            f"the live release of {store.url} has changed since it was planned what to remove: "
            "nothing has been removed; plan it again"
        )
    url = store.url.rstrip("/")
    names = [name for item in removal.removed for name in item.names]
    manifests = [name for name in names if is_manifest(name)]
    markers = [name for name in names if is_marker(name)]
    hidden = {*manifests, *markers}
    rest = [name for name in names if name not in hidden]
    for first in (manifests, removal.pointers, markers, rest):
        objects.delete(url, first)
    objects.remove_empty(url, sorted({folder_of(name) for name in names} - {""}))
    for item in removal.removed:
        if item.upload is not None:
            objects.abort(url, item.upload)


__all__ = ["Item", "Removal", "RetentionPolicy", "StoreChanged", "carry_out", "plan"]
