"""Which release is live: promoted, watched, taken back, and served again after a restart.

The store says which release is live, in one record that is replaced as a whole; the server is
brought to it. So whatever is killed between the two, `serve_promoted` makes them agree again: with
the old release if the record had not been replaced yet, with the new one otherwise.
"""

from dataclasses import dataclass

from recsys_assets.retrieval.item_history import midnight_after
from recsys_assets.serving.guard import Guard, GuardReport, watch_promotion
from recsys_assets.serving.integrity import verify
from recsys_assets.serving.release import Releases
from recsys_assets.serving.release_events import UNRECORDED, Action, Promoted, Reason
from recsys_assets.serving.switching import (
    LiveServer,
    PromotionError,
    exclusive,
    load_beside,
    prove,
    require_live,
    switch,
    unload,
)


class NothingServed(PromotionError):
    """Neither the wanted release nor the one before it could be loaded."""


class GuardTripped(PromotionError):
    """A release was promoted and taken back: `report` says why, `serving` what is live now."""

    def __init__(self, report: GuardReport, serving: Promoted, outcome: str) -> None:
        super().__init__(
            f"release {report.release} did not prove itself: {report.tripped}. {outcome}"
        )
        self.report = report
        self.serving = serving


def promote_approved(
    releases: Releases, server: LiveServer, release: int | None, reason: Reason, guard: Guard
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
    releases: Releases, server: LiveServer, release: int, reason: Reason, guard: Guard
) -> Promoted:
    """Promotes a release, watches it, and goes back by itself if the guard trips.

    Raises:
        CorruptRelease, PromotionError: as `promote`.
        GuardTripped: the release was live for a moment; it has been rejected.
    """
    promoted = promote(releases, server, release, reason)
    timestamp = midnight_after(releases.manifest(release)["item_features_day"])
    report = watch_promotion(server.grpc, release, guard, timestamp)
    if not report.tripped:
        return promoted
    if promoted.previous is None:
        releases.reject(release, f"guard: {report.tripped}")
        raise GuardTripped(report, promoted, "There is no earlier release to go back to.")
    cause = f"release {release} did not prove itself: {report.tripped}"
    restored = rollback(releases, server, Reason(cause, "promotion guard"), release)
    raise GuardTripped(report, restored, f"Release {restored.release} is live again.")


def promote(
    releases: Releases, server: LiveServer, release: int, reason: Reason = UNRECORDED
) -> Promoted:
    """Makes `release` the one that is served, and records it.

    Raises:
        MissingRelease: the store has no such release.
        CorruptRelease: its files are not what was rendered; names the first such file.
        PromotionError: the server does not load it, or does not answer with it.
    """
    require_live(server)
    verify(releases.fetch(release), releases.manifest(release))
    with exclusive(server.repository):
        serving = releases.promoted()
        if serving is not None and serving.release == release:
            switch(releases, server, release, _loaded(serving))
            return serving
        before = (*serving.before, serving.release) if serving else ()
        return _change(releases, server, _Step(release, before, reason, "promoted", serving))


def rollback(
    releases: Releases,
    server: LiveServer,
    reason: Reason,
    expected_release: int | None = None,
) -> Promoted:
    """Goes back to the release that was promoted before the present one, which is rejected.

    Args:
        releases: the releases.
        server: the server that is to go back.
        reason: why.
        expected_release: what is to be taken back; if another release is live by now, nothing is.

    Raises:
        PromotionError: there is none, it does not answer, or another release is live.
    """
    require_live(server)
    with exclusive(server.repository):
        serving = releases.promoted()
        if serving is None or serving.previous is None:
            raise PromotionError("there is no earlier release to go back to")
        if expected_release is not None and serving.release != expected_release:
            raise PromotionError(
                f"release {expected_release} was to be taken back, but release "
                f"{serving.release} is live: nothing has been changed"
            )
        before = serving.before[:-1]
        step = _Step(serving.previous, before, reason, "rolled back", serving)
        try:
            changed = _change(releases, server, step)
        except NothingServed:  # so nobody is disturbed by beginning anew with the earlier one alone
            unload(server)
            switch(releases, server, step.release, {step.release})
            changed = releases.record(step.release, before, reason, "rolled back")
        releases.reject(serving.release, f"rolled back: {reason.cause}")
        return changed


def serve_promoted(releases: Releases, server: LiveServer) -> Promoted | None:
    """Makes a server serve what the store records as promoted; None if nothing is yet.

    For a server that has just started, and for one whose model process has died: Triton never
    starts such a process again, except when the model is unloaded and loaded.

    Raises:
        MissingRelease: the promoted release is gone from the store.
        PromotionError: it cannot be loaded any more, or the server has died.
    """
    with exclusive(server.repository):
        serving = releases.promoted()
        if serving is not None:
            try:
                switch(releases, server, serving.release, _loaded(serving))
            except PromotionError:
                unload(server)
                _load_anew(releases, server, serving)
        return serving


def _load_anew(releases: Releases, server: LiveServer, serving: Promoted) -> None:
    try:
        switch(releases, server, serving.release, _loaded(serving))
    except PromotionError as error:
        if serving.previous is None:
            raise
        raise PromotionError(
            f"{error}. `recsys rollback --reason <why>` goes back to release {serving.previous}"
        ) from error


def _loaded(serving: Promoted) -> set[int]:
    """The promoted release and the one before it."""
    return {serving.release} | ({serving.previous} if serving.previous is not None else set())


@dataclass(frozen=True)
class _Step:
    """A change of the live release to be made: what to, the record of it, and what is live."""

    release: int
    before: tuple[int, ...]
    reason: Reason
    action: Action
    serving: Promoted | None

    @property
    def loaded(self) -> set[int]:
        """What stays loaded: the new release and the one that it takes the place of."""
        return {self.release} | ({self.serving.release} if self.serving else set())


def _change(releases: Releases, server: LiveServer, step: _Step) -> Promoted:
    """Switches and records; whatever fails, what was live is served again."""
    try:
        _bring(releases, server, step)
        return releases.record(step.release, step.before, step.reason, step.action)
    except (PromotionError, OSError) as error:
        _restore(releases, server, step.serving, error)
        if isinstance(error, PromotionError):
            raise
        raise PromotionError(f"release {step.release} cannot be served: {error}") from error


def _bring(releases: Releases, server: LiveServer, step: _Step) -> None:
    """Loads the release and switches to it; the live one answers until it is sound."""
    if step.serving is not None and not _is_ready(server, step.release, step.serving):
        load_beside(releases, server, step.release, step.serving.release)
    switch(releases, server, step.release, step.loaded)


def _is_ready(server: LiveServer, release: int, serving: Promoted) -> bool:
    """Whether a release that was kept loaded still answers."""
    if release not in _loaded(serving):
        return False
    try:
        prove(server.grpc, release)
    except PromotionError:
        return False
    return True


def _restore(
    releases: Releases, server: LiveServer, serving: Promoted | None, cause: Exception
) -> None:
    try:
        if serving is None:
            unload(server)
        else:
            switch(releases, server, serving.release, _loaded(serving))
    except (PromotionError, OSError) as error:
        live = serving.release if serving else "none"
        raise NothingServed(
            f"{cause}; nor could what was live before (release {live}) be loaded again: {error}. "
            "It is still the promoted one: `recsys up` brings it back"
        ) from cause


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
