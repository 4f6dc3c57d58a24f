"""A living shop from its first release on, day by day, with nobody touching it."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path
from typing import Any

from recsys_assets.definitions import defs
from recsys_assets.defs.graph.jobs import daily_loop
from recsys_assets.defs.runs.instance import open_instance
from recsys_assets.services import deployment
from recsys_assets.storage.filesystem import write_atomically
from replay.daemon import DagsterDaemon, running_daemon
from replay.load import Answer, Load
from tools.living_shop.clock import Clock
from tools.living_shop.deliveries import Deliveries
from tools.living_shop.shop import RECSYS, Shop
from tools.living_shop.summary import write_summary

_SOON_SECONDS = 10
_SENSORS = tuple(
    sensor.name
    for sensor in defs.sensors or ()
    if (sensor.minimum_interval_seconds or 0) <= _SOON_SECONDS
)
_RATE = 50.0  # requests a second

_RELEASE_BEGINS = time_of_day(23, 58)  # so that midnight comes while it is made
_CATALOGUE_COMES = time_of_day(23, 30)
_SALES_COME = time_of_day(0, 20)
_DAY_CLOSES = time_of_day(1)
_DAY = timedelta(days=1)

Say = Callable[[str], object]


@dataclass(frozen=True)
class LivedDay:
    """What came of a day: of its visits, and of the run that followed."""

    day: str
    sessions: int
    refused: int
    run: str
    succeeded: bool


def live(shop: Shop, deliveries: Deliveries, clock: Clock, say: Say) -> dict[str, int]:
    """Begins the shop, or goes on with it, lives all days of its plan, and sums up.

    The environment of this process becomes that of the shop, for all that it starts.

    Raises:
        FailedCommand: the first release cannot be made.
        ReplayStuck: the daemon has ended, or does nothing.
    """
    plan, settings = shop.plan, shop.settings()
    clock.begin(_at(plan.release_evening, _RELEASE_BEGINS))
    with clock.environment() as faked:
        variables = shop.variables(faked)
        os.environ.clear()
        os.environ.update(variables)
        try:
            if not shop.has_begun():
                say(f"{plan.release_evening}: the shop begins with {plan.history} days of history")
                deliveries.deliver_history()
                shop.run(variables, "first-release", *RECSYS, "demo")
                shop.note_begin()
            _deliver_what_is_due(shop, deliveries, clock)
            shop.run(variables, "up", *RECSYS, "up")
            with (
                shop.code_server(variables) as workspace,
                open_instance(settings) as instance,
                running_daemon(settings, instance, workspace) as daemon,
                Load(settings.triton_grpc, _RATE) as load,
            ):
                life = _Life(shop, deliveries, clock, daemon, load)
                for day in (plan.release_evening, *plan.lived):
                    if day.isoformat() not in _lived(shop):
                        lived = life.day(day)
                        _keep(shop, lived)
                        say(_line(lived))
                say("the same days are computed from scratch")
                comparison = _compare_with_scratch(shop, deliveries, variables)
                for difference in comparison["examples"]:
                    say(f"different: {difference}")
                return write_summary(
                    shop.summary, instance, deliveries, len(plan.lived), comparison
                )
        finally:
            deployment.down(settings)


def _deliver_what_is_due(shop: Shop, deliveries: Deliveries, clock: Clock) -> None:
    """What would have come while the first release was made, or the shop was stopped."""
    lived = _lived(shop)
    for day in (shop.plan.release_evening, *shop.plan.lived):
        if day.isoformat() not in lived and clock.now >= _at(day + _DAY, _SALES_COME):
            deliveries.deliver_night(day)


def _compare_with_scratch(
    shop: Shop, deliveries: Deliveries, variables: Mapping[str, str]
) -> dict[str, Any]:
    """Computes everything anew from all deliveries as they are by now; what that comes to."""
    shutil.rmtree(shop.scratch, ignore_errors=True)
    delivered = shop.scratch / "deliveries"
    shutil.copytree(shop.deliveries, delivered)
    deliveries.final_catalogue().write_parquet(delivered / "items.parquet")
    anew = {"RECSYS_HOME": str(shop.scratch / "home"), "RECSYS_SOURCE_URL": str(delivered)}
    found = shop.scratch / "comparison.json"
    lived = shop.settings().storage_url
    arguments = ("-m", "tools.living_shop.scratch", lived, str(found))
    shop.run({**variables, **anew}, "from-scratch", *arguments)
    comparison: dict[str, Any] = json.loads(found.read_text())
    return comparison


class _Life:
    def __init__(
        self,
        shop: Shop,
        deliveries: Deliveries,
        clock: Clock,
        daemon: DagsterDaemon,
        load: Load,
    ) -> None:
        self._plan, self._deliveries, self._clock = shop.plan, deliveries, clock
        self._daemon, self._load = daemon, load

    def day(self, day: date) -> LivedDay:
        """Sends a day's visits, delivers its files when due, and waits for all that follows."""
        answers: dict[int, Answer] = {}
        if day != self._plan.release_evening:
            self._clock.advance_to(_at(day, _CATALOGUE_COMES))
            self._deliveries.deliver_evening(day)
            traffic = self._deliveries.traffic(day)
            self._load.send(traffic.requests())
            answers = self._load.wait_for_sessions(traffic)
        tomorrow = day + _DAY
        self._clock.advance_to(_at(tomorrow, _SALES_COME))
        self._deliveries.deliver_night(day)
        self._clock.advance_to(_at(tomorrow, _DAY_CLOSES))
        run = self._daemon.wait_for_end(daily_loop.name, day.isoformat())
        self._settle()
        refused = sum(bool(answer.error) for answer in answers.values())
        return LivedDay(day.isoformat(), len(answers), refused, run.run_id, run.is_success)

    def _settle(self) -> None:
        """Waits until all quick sensors have looked at all that ended, and nothing more follows."""
        ended = -1.0
        while (newest := self._last_end()) > ended:
            ended = newest
            self._daemon.wait_for_decisions(ended, _SENSORS)
            self._daemon.wait_until_idle()

    def _last_end(self) -> float:
        records = self._daemon.instance.get_run_records(limit=50)
        return max((record.end_time or 0.0 for record in records), default=0.0)


def _at(day: date, moment: time_of_day) -> datetime:
    return datetime.combine(day, moment, UTC)


def _folder(shop: Shop) -> Path:
    return shop.folder / "days"


def _keep(shop: Shop, lived: LivedDay) -> None:
    write_atomically((_folder(shop) / lived.day).as_uri(), json.dumps(asdict(lived)).encode())


def _lived(shop: Shop) -> set[str]:
    """Days that are over."""
    return {file.name for file in _folder(shop).glob("[0-9]*")}


def _line(lived: LivedDay) -> str:
    outcome = "" if lived.succeeded else f"  its run {lived.run} FAILED"
    return f"{lived.day}: {lived.sessions} visits, {lived.refused} refused{outcome}"
