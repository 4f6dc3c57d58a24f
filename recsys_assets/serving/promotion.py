"""Which release is live: promoted, watched, taken back.

The store says which release is live, in one record that is replaced as a whole; servers are
brought to it. So whatever is killed between the two, they are made to agree again: with the old
release if the record had not been replaced yet, with the new one otherwise. How a server, or a
fleet of them, gets to a release is its own matter: see `changing.Live`.
"""

from recsys_assets.retrieval.item_history import midnight_after
from recsys_assets.serving.changing import Live, NothingServed, PromotionError, Step
from recsys_assets.serving.guard import Guard, GuardReport, watch_promotion
from recsys_assets.serving.integrity import verify
from recsys_assets.serving.release import Releases
from recsys_assets.serving.release_events import UNRECORDED, Promoted, Reason
from recsys_assets.serving.switching import LiveServer, serve_promoted


class GuardTripped(PromotionError):
    """A release was promoted and taken back: `report` says why, `serving` what is live now."""

    def __init__(self, report: GuardReport, serving: Promoted, outcome: str) -> None:
        super().__init__(
            f"release {report.release} did not prove itself: {report.tripped}. {outcome}"
        )
        self.report = report
        self.serving = serving


def promote_approved(
    releases: Releases, server: Live, release: int | None, reason: Reason, guard: Guard
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
            else "materialize release_candidate again, which judges a new one"
        )
        raise PromotionError(f"release {wanted} has not passed its canary check: {remedy}")
    return promote_watched(releases, server, wanted, reason, guard)


def require_judged_against_live(releases: Releases, release: int) -> None:
    """Refuses a candidate whose judgement another change of the live release has overtaken.

    Raises:
        MissingRelease: the store has no such release.
        PromotionError: it was held against a release that is not live any more.
    """
    base, live = releases.manifest(release).get("base_release"), releases.promoted()
    if base is not None and live is not None and live.release not in (base, release):
        raise PromotionError(
            f"release {release} was held against release {base}, but release {live.release} is "
            "live by now: fine-tune again, or `recsys promote` it all the same"
        )


def promote_watched(
    releases: Releases, server: Live, release: int, reason: Reason, guard: Guard
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
    releases: Releases, server: Live, release: int, reason: Reason = UNRECORDED
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
        before = (*serving.before, serving.release) if serving else ()
        return server.change(releases, Step(release, before, reason, "promoted", serving))


def rollback(
    releases: Releases,
    server: Live,
    reason: Reason,
    expected_release: int | None = None,
) -> Promoted:
    """Goes back to the release that was promoted before the present one, which is rejected.

    It is rejected first: whatever fails or is killed from then on, nothing promotes it again.
    Whoever names it as expected may try again, and waits for the way back that is recorded.

    Args:
        releases: the releases.
        server: what is to go back.
        reason: why.
        expected_release: what is to be taken back; if another release is live by now, nothing is.

    Raises:
        PromotionError: there is none, it does not answer, or another release is live.
    """
    with server.exclusive():
        serving = releases.promoted()
        if serving is not None and _has_taken_back(serving, expected_release):
            server.confirm(releases, serving)
            return serving
        if serving is None or serving.previous is None:
            raise PromotionError("there is no earlier release to go back to")
        if expected_release is not None and serving.release != expected_release:
            raise PromotionError(
                f"release {expected_release} was to be taken back, but release "
                f"{serving.release} is live: nothing has been changed"
            )
        releases.reject(serving.release, f"rolled back: {reason.cause}")
        step = Step(serving.previous, serving.before[:-1], reason, "rolled back", serving)
        return server.change(releases, step)


def _has_taken_back(change: Promoted, release: int | None) -> bool:
    """Whether a change is the way back from a release."""
    return change.action == "rolled back" and release is not None and change.replaced == release


__all__ = [
    "GuardTripped",
    "LiveServer",
    "NothingServed",
    "PromotionError",
    "promote",
    "promote_approved",
    "promote_watched",
    "require_judged_against_live",
    "rollback",
    "serve_promoted",
]
