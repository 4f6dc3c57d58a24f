"""Which of the releases, versions and leftovers of a store stay, and why: see `retention.py`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from recsys_assets.releases.release import Promoted, Releases
from recsys_assets.releases.retention_units import (
    CLAIMS,
    Group,
    Item,
    Judged,
    is_manifest,
    is_marker,
    judge,
    youngest,
)
from recsys_assets.storage import Store
from recsys_assets.storage.removal import Upload

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class RetentionPolicy:
    """How much is kept.

    Attributes:
        keep: promoted releases, the live one and the one before it among them.
        older_than_days: what is younger, or was in use so lately, is kept.
        partition_days: of these tables, and artifacts with a partition for each day, partitions of
            more days ago go; others are kept for ever.

    Raises:
        ValueError: fewer would be kept than is safe.
    """

    keep: int = 5
    older_than_days: int = 7
    partition_days: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.keep < 2:
            raise ValueError(f"keep={self.keep}: the live release and the one before are kept")
        few = {"older_than_days": self.older_than_days, **self.partition_days}
        for name, days in few.items():
            if days < 1:
                raise ValueError(f"{name}={days}: keep at least the last day")

    def young_since(self, now: datetime) -> datetime:
        """What has been written, or was in use, after that is kept."""
        return now - timedelta(days=self.older_than_days)

    def expired(self, partition: str, now: datetime) -> bool:
        """Whether `<table or artifact>/<day>` is older than is to be kept."""
        name, _, day = partition.rpartition("/")
        days = self.partition_days.get(name)
        return days is not None and day < (now - timedelta(days=days)).date().isoformat()


def releases(
    group: Group,
    history: list[Promoted],
    weights: Mapping[int, int],
    policy: RetentionPolicy,
    before: datetime,
) -> list[Judged]:
    """Releases by their number, with what was said of each.

    Args:
        group: what there is of each.
        history: all changes of the live release, the one in force last.
        weights: of refreshes, the release that brought their weights.
        policy: how many are kept.
        before: what is younger, or was live after that, is kept.
    """
    group = _without_last_claim(group)
    complete = {n for n, parts in group.items() if any(is_manifest(part.name) for part in parts)}
    rejected = {
        n for n, parts in group.items() if any(p.name == f"releases/rejected/{n}" for p in parts)
    }
    stays = {**_newest(complete, rejected), **_in_use(history, weights, policy.keep, before)}

    def keep(name: str) -> str:
        young = "younger than the policy removes" if youngest(group[name]) >= before else ""
        return stays.get(int(name), young)

    def why(name: str) -> str:
        if name not in complete:
            return "never finished, or removed by halves"
        return "rejected" if name in rejected else "neither live nor about to be"

    return judge("release", group, keep, why)


def versions(
    group: Group, store: Store, named: Mapping[str, str], policy: RetentionPolicy, now: datetime
) -> list[Judged]:
    """Versions of artifacts as `<artifact>/<version>`.

    Args:
        group: what there is of each.
        store: says which are current.
        named: versions that kept releases are made of, with which release that is.
        policy: says what is young, and of which artifacts days are removed.
        now: when.
    """
    before = policy.young_since(now)
    artifacts = {_artifact(name) for name in group}
    used = {_artifact(n) for n in group if n in named or youngest(group[n]) >= before}
    expired = {each for each in artifacts - used if policy.expired(each, now)}
    current = {f"{a}/{store.artifact(a).current()}" for a in artifacts - expired}
    replaced = _replaced(group)

    def keep(name: str) -> str:
        if name in current:
            return "current"
        if name in named:
            return f"part of release {named[name]}"
        if youngest(group[name]) >= before:
            return "younger than the policy removes"
        lately = name in replaced and replaced[name] >= before
        return "was current until lately" if lately and _artifact(name) not in expired else ""

    def why(name: str) -> str:
        if _artifact(name) in expired:
            return "of a day that is not kept"
        return "no kept release names it" if name in replaced else "never finished"

    return judge("artifact", group, keep, why)


def pointers(judged: list[Judged], policy: RetentionPolicy, now: datetime) -> tuple[str, ...]:
    """Pointers to current versions that go: those of days that are not kept."""
    gone = {_artifact(item.name) for item, goes in judged if goes}
    stay = {_artifact(item.name) for item, goes in judged if not goes}
    return tuple(
        f"artifacts/{artifact}/CURRENT"
        for artifact in sorted(gone - stay)
        if policy.expired(artifact, now)
    )


def named_by(present: Releases, kept: Iterable[str]) -> dict[str, str]:
    """The versions that releases are made of, as `<artifact>/<version>`, with a release's number.

    Raises:
        MissingRelease: one of them has been removed meanwhile.
    """
    return {
        f"{part['artifact']}/{part['version']}": release
        for release in kept
        for part in present.manifest(int(release)).get("artifacts", {}).values()
    }


def partitions(group: Group, policy: RetentionPolicy, now: datetime) -> list[Judged]:
    """Partitions of the policy's tables as `<table>/<day>`, by their day."""
    mine = {n: parts for n, parts in group.items() if n.split("/")[0] in policy.partition_days}

    def keep(name: str) -> str:
        return "" if policy.expired(name, now) else "young enough"

    return judge("partition", mine, keep, lambda _: "of a day that is not kept")


def require_known(policy: RetentionPolicy, tables: Iterable[str], artifacts: Iterable[str]) -> None:
    """Refuses a policy with a name that has no partitions, such as a misspelt one.

    Args:
        policy: names tables and artifacts.
        tables: partitions that there are, as `<table>/<day>`.
        artifacts: versions that there are, as `<artifact>/<version>`.

    Raises:
        ValueError: says which names there are.
    """
    days = {*tables, *map(_artifact, artifacts)}
    known = sorted({_artifact(day) for day in days} - {""})
    for name in policy.partition_days:
        if name not in known:
            raise ValueError(
                f"the store has no table {name!r} with daily partitions, nor such an artifact; "
                f"there are {known}"
            )


def leftovers(group: Group, kind: str, before: datetime) -> list[Judged]:
    """What only a killed run leaves behind, by its age."""

    def keep(name: str) -> str:
        return "may still be written" if youngest(group[name]) >= before else ""

    return judge(kind, group, keep, lambda _: "left by a run that was killed")


def multipart_uploads(found: Iterable[Upload], before: datetime) -> list[Judged]:
    """Uploads by when they were begun."""
    judged = []
    for upload in found:
        goes = upload.begun < before
        why = "abandoned" if goes else "may still be under way"
        judged.append((Item("upload", upload.name, why, upload.size, (), upload), goes))
    return judged


def _without_last_claim(group: Group) -> Group:
    """Without the highest claim, from which numbers are counted: it stays whatever came of it."""
    claims = [p.name for parts in group.values() for p in parts if p.name.startswith(CLAIMS)]
    last = max(claims, key=lambda name: int(name.removeprefix(CLAIMS)), default="")
    left = {name: [p for p in parts if p.name != last] for name, parts in group.items()}
    return {name: parts for name, parts in left.items() if parts}


def _newest(complete: set[str], rejected: set[str]) -> dict[int, str]:
    """The newest release, from which numbers go on, and the one that canary pods serve."""
    newest = {max(map(int, complete)): "newest"} if complete else {}
    sound = complete - rejected
    return ({max(map(int, sound)): "newest that is not rejected"} if sound else {}) | newest


def _in_use(
    history: list[Promoted], weights: Mapping[int, int], keep: int, before: datetime
) -> dict[int, str]:
    """Releases that are live, were so lately, or can be gone back to."""
    if not history:
        return {}
    last = history[-1]
    lately = {
        change.replaced: f"live until {change.promoted_at}"
        for change in history
        if change.replaced is not None and datetime.fromisoformat(change.promoted_at) >= before
    }
    # From the last to the first, each once: in the order of rollbacks.
    back = [n for n in dict.fromkeys(reversed(last.before)) if n != last.release]
    live = weights.get(last.release, last.release)
    others = [n for n in back if weights.get(n, n) != live]
    kept = dict.fromkeys([*back[: keep - 1], *others[:1]], "a rollback can go back to it")
    return {**lately, **kept, last.release: "live"}


def _replaced(group: Group) -> dict[str, datetime]:
    """When each complete version was replaced: by the next one that has been published.

    Versions sort by when they were begun. The last one has not been, whenever that will be.
    """
    published = {
        name: part.modified
        for name, parts in group.items()
        for part in parts
        if is_marker(part.name)
    }
    replaced: dict[str, datetime] = {}
    later: dict[str, datetime] = {}
    for name in sorted(published, reverse=True):
        artifact = _artifact(name)
        replaced[name] = later.get(artifact, _NEVER)
        later[artifact] = min(replaced[name], published[name])
    return replaced


def _artifact(name: str) -> str:
    return name.rpartition("/")[0]
