"""`python -m replay`: recorded days as live traffic, with the real daemon doing all the rest.

For each day: its sessions are sent to the running Triton as they came. The day is closed, and the
daemon measures it, and fine-tunes, judges, promotes or rolls back what its sensors ask for; for as
long as that takes, repeats of the sessions are sent at the same rate. The next day begins when it
is done. A replay that was stopped goes on where it was.
"""

import fcntl
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial

import dagster as dg
import numpy as np

from recsys_assets.defs.graph.jobs import daily_loop
from recsys_assets.defs.runs.instance import open_instance
from recsys_assets.monitoring.closed_days import close_day, closed_days
from recsys_assets.monitoring.sessions import purchased_before
from recsys_assets.releases.offline import OfflineRelease
from recsys_assets.releases.release import Releases
from recsys_assets.services import deployment
from recsys_assets.settings import Settings
from recsys_assets.settings.days import days_between
from recsys_assets.storage import Store
from recsys_assets.storage.filesystem import read_bytes, write_atomically
from recsys_assets.terminal.interrupt import stopping_what_was_started
from recsys_assets.terminal.screen import Screen
from replay.daemon import DagsterDaemon, ReplayStuck, running_daemon
from replay.experiments import run_experiments
from replay.load import Answer, Load, ReleaseWatch
from replay.prepare import NotPrepared, prepare
from replay.record import DayRecord, read_days, write_day, write_slates
from replay.summary import write_summary
from replay.traffic import DayTraffic

_GOES_ON = "`python -m replay` goes on with the day at which it was"


def run_replay(settings: Settings, days: int, rate: float, screen: Screen) -> None:
    """Replays `days` days from `today` on at `rate` requests a second, and writes the summary.

    Raises:
        NotPrepared: there is no release to begin with, the days were not recorded or could not be
            made, or another replay is in progress.
        ReplayStuck: the daemon did not do its part, or no request was answered.
    """
    last = _last_day(settings, days)
    store = Store(settings.storage_url)
    screen.doing("looking what was replayed and made before")
    with (
        stopping_what_was_started(screen, partial(deployment.stop_those, settings), [_GOES_ON]),
        _alone(settings),
        open_instance(settings) as instance,
    ):
        first = _first_release(settings, store)
        # Fine-tunes learn from all days that the release does not know. The day after the last
        # closes the attribution windows of the last.
        unknown = _known_through(store, first) + timedelta(days=1)
        end = min(last + timedelta(days=1), settings.last_day or last)
        prepare(settings, instance, min(unknown, settings.today), end, screen)
        screen.doing("starting Valkey, Triton and Dagster's daemon")
        deployment.up(settings)
        with (
            running_daemon(settings, instance) as daemon,
            Load(settings.triton_grpc, rate) as load,
        ):
            replay = _Replay(settings, store, daemon, load, first, screen)
            for day in _days_left(store, settings.today, last):
                replay.day(day)
                write_summary(settings, instance, first)
        screen.doing("measuring what the replay's experiments came to")
        run_experiments(settings, first)
        path = write_summary(settings, instance, first)
    screen.show(f"\nwritten: {path}")


def _known_through(store: Store, release: int) -> date:
    """The last day that a release was trained on."""
    return date.fromisoformat(Releases(store).manifest(release)["trained_through"])


def _last_day(settings: Settings, days: int) -> date:
    """The last day to replay; all of it must have been recorded."""
    last = settings.today + timedelta(days=days - 1)
    recorded = settings.last_day or datetime.now(UTC).date() - timedelta(days=1)
    if last > recorded:
        raise NotPrepared(
            f"{days} days from {settings.today} on end on {last}, but the last recorded day is "
            f"{recorded}: replay at most {max(0, (recorded - settings.today).days + 1)} days"
        )
    return last


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Keeps a second replay away; the lock ends with the process, however that ends."""
    path = settings.home / "replay" / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotPrepared(f"another replay of {settings.home} is in progress") from None
        yield


def _days_left(store: Store, first: date, last: date) -> list[str]:
    done = {record.day for record in read_days(store)}
    return [day for day in days_between(first, last) if day not in done]


def _first_release(settings: Settings, store: Store) -> int:
    """The release that the replay began with, kept for when it goes on."""
    url = f"{settings.home.as_uri()}/replay/first_release.json"
    kept = read_bytes(url)
    if kept is not None:
        return int(json.loads(kept))
    promoted = Releases(store).promoted()
    if promoted is None:
        raise NotPrepared("no release is promoted: run `recsys demo` first")
    write_atomically(url, json.dumps(promoted.release).encode())
    return promoted.release


# Load goes on for a while, so that a new release that fails is met.
_AFTER_A_CHANGE_SECONDS = 5.0


class _Replay:
    """A replay in progress."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        daemon: DagsterDaemon,
        load: Load,
        first_release: int,
        screen: Screen,
    ) -> None:
        self._settings, self._store, self._daemon = settings, store, daemon
        self._screen = screen
        self._load, self._first = load, first_release
        self._releases = Releases(store)
        self._changes_before = len(self._releases.history())
        self._watch = ReleaseWatch(self._live())
        self._frozen = OfflineRelease.load(self._releases.fetch(first_release), first_release)

    def day(self, day: str) -> None:
        """Sends a day's traffic, closes it, and waits for all that follows."""
        started = time.monotonic()
        self._screen.doing(f"the replay of {day}")
        traffic = DayTraffic.of(self._store, day)
        live = self._live()
        # Of a replay that was killed after this, sessions are not sent again: the release that
        # answers by now may have been trained on what they led to.
        if day not in closed_days(self._store):
            self._send(traffic)
            close_day(self._store, day)
        run = self._daemon.wait_for_day(daily_loop.name, day)
        self._daemon.wait_for_decisions(_ended_at(self._daemon.instance, run))
        if self._daemon.is_changing():
            self._screen.show(f"{day}  the daemon trains; load goes on")
            self._load.send(traffic.repeats(seed=date.fromisoformat(day).toordinal()))
            self._daemon.wait_for_changes()
            time.sleep(_AFTER_A_CHANGE_SECONDS)
            self._load.send(iter(()))
        record = self._record(day, live, traffic, time.monotonic() - started)
        write_day(self._store, record)
        self._screen.show(_line(record, self._live()))

    def _send(self, traffic: DayTraffic) -> None:
        """Sends each session once, and keeps what it was shown, and would have been at first."""
        self._load.send(traffic.requests())
        answers = self._load.wait_for_sessions(traffic)
        refused = [answer.error for answer in answers.values() if answer.error]
        if refused and len(refused) == len(answers):
            raise ReplayStuck(
                f"none of the {len(refused)} requests of {traffic.day} was answered "
                f"({refused[0]}): `recsys status` says more; then run `python -m replay` again"
            )
        purchased = purchased_before(self._store, traffic.day)
        frozen = self._frozen.answer(traffic.sessions, purchased)
        write_slates(self._store, traffic, answers, frozen.slates, self._first)

    def _record(self, day: str, live: int, traffic: DayTraffic, seconds: float) -> DayRecord:
        collected = self._load.collect()
        answered = [answer for answer in collected if not answer.error]
        changes = [change.release for change in self._releases.history()][self._changes_before :]
        wrong = self._watch.wrong(answered, changes)
        for release, moment in self._watch.first_answers.items():
            _keep_first_answer(self._settings, release, moment)
        milliseconds = [1000 * (answer.received - answer.due) for answer in answered] or [0.0]
        return DayRecord(
            day=day,
            live_release=live,
            sessions=len(traffic.sessions),
            requests=len(collected),
            failed=_failed(collected),
            degraded=sum(answer.degraded for answer in answered),
            wrong_release=len(wrong),
            p50_ms=float(np.percentile(milliseconds, 50)),
            p99_ms=float(np.percentile(milliseconds, 99)),
            seconds=round(seconds, 1),
        )

    def _live(self) -> int:
        promoted = self._releases.promoted()
        if promoted is None:
            raise NotPrepared("no release is promoted: run `recsys demo` first")
        return promoted.release


def _failed(answers: Sequence[Answer]) -> int:
    """Refused requests, and answers without a single item."""
    return sum(bool(answer.error) or not answer.item_ids for answer in answers)


def _ended_at(instance: dg.DagsterInstance, run: dg.DagsterRun) -> float:
    record = instance.get_run_record_by_id(run.run_id)
    return float(record.end_time or 0.0) if record else 0.0


def _keep_first_answer(settings: Settings, release: int, moment: float) -> None:
    """When a release answered for the first time; the first note of it stands."""
    url = f"{settings.home.as_uri()}/replay/first_answers/{release}"
    if read_bytes(url) is None:
        write_atomically(url, datetime.fromtimestamp(moment, UTC).isoformat().encode())


def _line(record: DayRecord, live: int) -> str:
    changed = f" -> release {live}" if live != record.live_release else ""
    return (
        f"{record.day}  {record.sessions:4d} sessions  {record.requests:5d} requests  "
        f"{record.failed} failed  p99 {record.p99_ms:5.1f} ms  release {record.live_release}"
        f"{changed}  {record.seconds:.0f} s"
    )
