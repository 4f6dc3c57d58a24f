"""`python -m tools.living_shop`: a recorded shop lives, with nobody touching its recommender.

Its first release is made as README says for own live data; then Dagster's daemon does all that
follows. Stopped by whatever, it goes on with the day at which it was when it is started again with
the same arguments. Writes `living-shop/summary.json` below `var/`.
"""

import argparse
import fcntl
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from recsys_assets.events.sources import open_source
from recsys_assets.runtime.processes import ServiceError
from recsys_assets.settings import REPOSITORY
from replay.daemon import ReplayStuck
from replay.load import BrokenLoad
from tools.living_shop.clock import LIBRARY, Clock
from tools.living_shop.deliveries import Deliveries
from tools.living_shop.life import live
from tools.living_shop.plan import ImpossiblePlan, Plan
from tools.living_shop.recording import Recording
from tools.living_shop.shop import FailedCommand, Shop

_START, _DAYS, _HISTORY = date(2017, 10, 16), 31, 56  # daylight saving ended on 2017-11-05


def main(arguments: Sequence[str] | None = None) -> int:
    """Lives the days that were asked for; 0 if nothing failed or differed that should not."""
    options = _parser().parse_args(arguments)
    if not LIBRARY.exists():
        sys.exit(f"{LIBRARY} is missing: `scripts/setup test` unpacks it")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        plan = Plan(options.start, options.days, options.history, options.through)
    except ImpossiblePlan as error:
        sys.exit(str(error))
    shop = Shop(options.folder.absolute(), plan)
    source = open_source(
        options.source,
        packaged_data=REPOSITORY / ".venvs/packaged-data",
        url=options.source_url,
        first_day=plan.history_from,
        last_day=options.source_ends,
    )
    try:
        with _alone(shop.folder):
            recording = Recording.of(source, options.households)
            deliveries = Deliveries(recording, plan, shop.deliveries)
            summary = live(shop, deliveries, Clock(shop.folder), _say)
    except (FailedCommand, ReplayStuck, BrokenLoad, ServiceError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("stopped: started again with the same arguments, it goes on with this day")
    _say(f"{shop.summary}: {summary}")
    return (
        0 if not any(summary[name] for name in ("manual_steps", "failed_runs", "different")) else 1
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.living_shop", description=__doc__)
    add = parser.add_argument
    add("--days", type=int, default=_DAYS, help=f"days to live (default: {_DAYS})")
    add("--through", type=date.fromisoformat, help="sum up after this one of them, and go on later")
    add("--households", type=int, help="of the recording, drawn at random (default: all)")
    add("--start", type=date.fromisoformat, default=_START, help=f"first day (default: {_START})")
    add("--history", type=int, default=_HISTORY, help=f"days before it (default: {_HISTORY})")
    add("--source", default="complete_journey", help="of the recording; see RECSYS_SOURCE")
    add("--source-url", help="of a recording in Parquet")
    add("--source-ends", type=date.fromisoformat, help="last day of a recording in Parquet")
    add("--folder", type=Path, default=REPOSITORY / "var/living-shop", help="where all of it lies")
    return parser


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps a second one away; the lock ends with the process."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"another living shop is at work in {folder}")
        yield


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
