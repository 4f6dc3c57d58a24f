"""Releases by hand: which there are, what became of each, and changing the live one.

What a person does is guarded like what the graph does: files are verified, real inferences follow
the switch, and who did it and why is recorded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click

from recsys_assets.releases.release import Promoted, Reason, Releases
from recsys_assets.rollout.guard import Guard, known_users
from recsys_assets.rollout.promotion import promote_approved, promote_watched, rollback
from recsys_assets.services.deployment import live_server, releases
from recsys_assets.settings import Settings
from recsys_assets.storage import Store

_HEADER = ("", "release", "rendered", "base", "trained through", "verdict")


@dataclass(frozen=True)
class ReleaseSummary:
    """One release and what became of it.

    Attributes:
        release: its number.
        live: whether it is the one that is served.
        manifest: what it is made of.
        verdict: `approved`, `rejected` or `not checked`.
        rejection: why it was rejected, or None.
        changes: promotions of it, and rollbacks to it, from the first to the last.
    """

    release: int
    live: bool
    manifest: dict[str, Any]
    verdict: str
    rejection: str | None
    changes: tuple[Promoted, ...]


def summarize(present: Releases) -> list[ReleaseSummary]:
    """Every release of the store, from the first to the newest."""
    promoted, history = present.promoted(), present.history()
    live = promoted.release if promoted else None
    return [
        ReleaseSummary(
            release=number,
            live=number == live,
            manifest=present.manifest(number),
            verdict=_verdict(present, number),
            rejection=present.rejection(number),
            changes=tuple(change for change in history if change.release == number),
        )
        for number in present.numbers()
    ]


def as_lines(summaries: list[ReleaseSummary]) -> list[str]:
    """A table of the releases, `*` at the live one, and below each what became of it."""
    rows = [_cells(summary) for summary in summaries]
    widths = [max(map(len, column)) for column in zip(_HEADER, *rows, strict=True)]
    lines = [_aligned(_HEADER, widths)]
    for summary, row in zip(summaries, rows, strict=True):
        lines.append(_aligned(row, widths))
        lines += [f"      {line}" for line in _story(summary)]
    return lines


def promote_by_hand(settings: Settings, release: int, reason: Reason, force: bool) -> Promoted:
    """Promotes a release for a person.

    Args:
        settings: of the deployment.
        release: its number.
        reason: why, and who.
        force: also if it has not passed its checks, or has been rejected.

    Raises:
        MissingRelease: there is no such release.
        ServiceError: it cannot be promoted, or was taken back; the message says why.
    """
    present, server = releases(settings), live_server(settings, click.echo)
    guard = Guard(
        users=known_users(Store(settings.storage_url)), online_store_url=settings.online_store_url
    )
    do = promote_watched if force else promote_approved
    return do(present, server, release, reason, guard)


def rollback_by_hand(settings: Settings, reason: Reason) -> Promoted:
    """Goes back to the release before, for a person.

    Raises:
        ServiceError: there is none, or it cannot be served.
    """
    return rollback(releases(settings), live_server(settings, click.echo), reason)


def _verdict(present: Releases, release: int) -> str:
    if present.rejection(release) is not None:
        return "rejected"
    return "approved" if present.is_approved(release) else "not checked"


def _cells(summary: ReleaseSummary) -> tuple[str, ...]:
    manifest = summary.manifest
    base = manifest.get("base_release")
    return (
        "*" if summary.live else "",
        str(summary.release),
        manifest.get("rendered_at", ""),
        "" if base is None else str(base),
        manifest.get("trained_through", ""),
        summary.verdict,
    )


def _story(summary: ReleaseSummary) -> Iterator[str]:
    if summary.manifest.get("cause"):
        yield f"made: {summary.manifest['cause']}"
    for change in summary.changes:
        what = "promoted" if change.action == "promoted" else "live again"
        yield f"{what} {change.promoted_at} by {change.by}: {change.cause}"
    if summary.rejection is not None:
        yield f"rejected: {summary.rejection}"


def _aligned(cells: tuple[str, ...], widths: list[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()
