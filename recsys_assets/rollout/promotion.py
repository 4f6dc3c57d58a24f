"""Which release is live: promoted, watched, taken back.

The store says which release is live, in one record that is replaced as a whole; servers are
brought to it. So whatever is killed between the two, they are made to agree again: with the old
release if the record had not been replaced yet, with the new one otherwise. How a server, or a
fleet of them, gets to a release is its own matter: see `ReleaseTarget`.
"""

from collections.abc import Mapping

from recsys_assets.models.item_history import midnight_after
from recsys_assets.releases.release import Releases
from recsys_assets.releases.release_events import UNRECORDED, Promoted, Reason
from recsys_assets.releases.release_writing import verify
from recsys_assets.rollout.guard import Guard, GuardReport, watch_promotion
from recsys_assets.rollout.release_target import (
    NothingServed,
    PromotionError,
    ReleaseChange,
    ReleaseTarget,
)
from recsys_assets.rollout.single_server import serve_promoted


class GuardTripped(PromotionError):
    """A release was promoted and taken back: `report` says why, `serving` what is live now."""

    def __init__(self, report: GuardReport, serving: Promoted, outcome: str) -> None:
        super().__init__(
            f"release {report.release} did not prove itself: {report.tripped}. {outcome}"
        )
        self.report = report
        self.serving = serving


def promote_approved(
    releases: Releases, server: ReleaseTarget, release: int | None, reason: Reason, guard: Guard
) -> Promoted:
    """Promotes `release`, or the newest one if None, provided that it has passed its checks.

    Raises:
        CorruptRelease, PromotionError: as `promote_watched`, and if the release has not passed.
    """
    wanted = releases.latest() if release is None else release
    base = releases.manifest(wanted).get("base_release")
    rejection = releases.rejection(wanted)
    if rejection is not None:
        raise PromotionError(
            f"release {wanted} has been rejected: {rejection}; `recsys promote {wanted} --force "
            "--reason …` makes it live all the same"
        )
    if not releases.is_approved(wanted):
        remedy = (
            "run the check canary_answers of triton_model_repository"
            if base is None
            else "materialize release_candidate, or refreshed_release, again: that judges a new one"
        )
        raise PromotionError(f"release {wanted} has not passed its canary check: {remedy}")
    return promote_watched(releases, server, wanted, reason, guard)


def require_judged_against_live(releases: Releases, release: int) -> None:
    """Refuses a candidate whose judgement another change of the live release has overtaken.

    That the live data were refreshed meanwhile overtakes no judgement of weights; but a refresh
    never takes live data back to an earlier day.

    Raises:
        MissingRelease: the store has no such release.
        PromotionError: it was held against weights that are not live any more, or is a refresh
            that a later one has overtaken.
    """
    manifest, live = releases.manifest(release), releases.promoted()
    base = manifest.get("base_release")
    if base is None or live is None or live.release in (base, release):
        return
    weights = releases.refreshes()
    if weights.get(base, base) != weights.get(live.release, live.release):
        raise PromotionError(
            f"release {release} was held against release {base}, but release {live.release} is "
            "live by now: fine-tune again, or `recsys promote` it all the same"
        )
    if release not in weights:
        return
    mine, newer = (releases.manifest(n)["item_features_day"] for n in (release, live.release))
    if mine < newer:
        raise PromotionError(
            f"release {release} holds the data of {mine}, but release {live.release} with those "
            f"of {newer} is live by now"
        )


def promote_watched(
    releases: Releases, server: ReleaseTarget, release: int, reason: Reason, guard: Guard
) -> Promoted:
    """Promotes a release, watches it, and goes back by itself if the guard trips.

    Raises:
        CorruptRelease, PromotionError: as `promote`.
        GuardTripped: the release was live for a moment; it has been rejected.
    """
    promoted = promote(releases, server, release, reason)
    timestamp = midnight_after(releases.manifest(release)["item_features_day"])
    report = watch_promotion(server.answering(release), release, guard, timestamp)
    if not report.tripped:
        return promoted
    if promoted.previous is None:
        releases.reject(release, f"guard: {report.tripped}")
        raise GuardTripped(report, promoted, "There is no earlier release to go back to.")
    cause = f"release {release} did not prove itself: {report.tripped}"
    restored = rollback(releases, server, Reason(cause, "promotion guard"), release)
    raise GuardTripped(report, restored, f"Release {restored.release} is live again.")


def promote(
    releases: Releases, server: ReleaseTarget, release: int, reason: Reason = UNRECORDED
) -> Promoted:
    """Makes `release` the one that is served, and records it.

    Raises:
        MissingRelease: the store has no such release.
        CorruptRelease: its files are not what was rendered; names the first such file.
        PromotionError: the server does not load it, or does not answer with it.
    """
    verify(releases.fetch(release), releases.manifest(release))
    with server.exclusive():
        serving = releases.promoted()
        if serving is not None and serving.release == release:
            server.confirm(releases, serving)
            return serving
        before = _before(releases, release, serving)
        return server.change(releases, ReleaseChange(release, before, reason, "promoted", serving))


def rollback(
    releases: Releases,
    server: ReleaseTarget,
    reason: Reason,
    expected_release: int | None = None,
    *,
    weights: bool = False,
) -> Promoted:
    """Goes back to the release that was promoted before the present one, which is rejected.

    It is rejected first: whatever fails or is killed from then on, nothing promotes it again. With
    `weights`, so is every release that has them.
    Whoever names it as expected may try again, and waits for the way back that is recorded.

    Args:
        releases: the releases.
        server: what is to go back.
        reason: why.
        expected_release: what is to be taken back; if another release is live by now, nothing is.
        weights: take the weights back, whatever data they were refreshed with since: to the last
            release of others. `expected_release` then is the release that brought them.

    Raises:
        PromotionError: there is none, it does not answer, or another release is live.
    """
    with server.exclusive():
        serving = releases.promoted()
        if serving is None:
            raise PromotionError("there is no earlier release to go back to")
        live, before, taken = serving.release, serving.before, {serving.release}
        brought = releases.refreshes() if weights else {}
        if weights:
            live = brought.get(serving.release, serving.release)
            before = _of_other_weights(brought, serving.before, live)
            taken |= {one for one in releases.numbers() if brought.get(one, one) == live}
        if expected_release not in (None, live):
            if _has_taken_back(serving, expected_release, brought):
                server.confirm(releases, serving)
                return serving
            raise PromotionError(
                f"release {expected_release} was to be taken back, but release "
                f"{serving.release} is live: nothing has been changed"
            )
        if not before:
            raise PromotionError("there is no earlier release to go back to")
        for release in sorted(taken, reverse=True):
            releases.reject(release, f"rolled back: {reason.cause}")
        step = ReleaseChange(before[-1], before[:-1], reason, "rolled back", serving)
        return server.change(releases, step)


def _has_taken_back(
    change: Promoted, expected_release: int | None, brought: Mapping[int, int]
) -> bool:
    """Whether a change is the way back from the release, or the weights, that are expected."""
    if change.action != "rolled back" or change.replaced is None:
        return False
    return brought.get(change.replaced, change.replaced) == expected_release


def _before(releases: Releases, release: int, serving: Promoted | None) -> tuple[int, ...]:
    """What rollbacks from `release` go back to, oldest first.

    Of releases that differ in their data alone the one that is replaced is enough: weeks of
    refreshes would push all other weights out of what is remembered.
    """
    if serving is None:
        return ()
    brought, before = releases.refreshes(), serving.before
    weights = brought.get(release, release)
    if brought.get(serving.release, serving.release) == weights:
        before = _of_other_weights(brought, before, weights)
    return (*before, serving.release)


def _of_other_weights(
    brought: Mapping[int, int], before: tuple[int, ...], weights: int
) -> tuple[int, ...]:
    """The releases up to the last that has other weights than those of a release.

    Args:
        brought: of each refresh, the release that brought its weights.
        before: releases, oldest first.
        weights: the release that brought them.
    """
    while before and brought.get(before[-1], before[-1]) == weights:
        before = before[:-1]
    return before


__all__ = [
    "GuardTripped",
    "NothingServed",
    "PromotionError",
    "promote",
    "promote_approved",
    "promote_watched",
    "require_judged_against_live",
    "rollback",
    "serve_promoted",
]
