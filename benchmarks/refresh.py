"""What newer data alone are worth: `python -m benchmarks.refresh`.

One release, asked the sessions of four weeks that it has not learned from, twice: frozen, as it
was rendered, and refreshed every night without training. Both are searched exactly, know the same
of each user and never show what was bought before, so that nothing differs but catalogue,
activity, promotions and purchase counts. No server runs. A day that is done is kept below
`bench/refresh`, so that a run that was stopped goes on where it was; `bench/refresh.json` sums up.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from benchmarks.machine import describe_machine
from recsys_assets.defs.runs.instance import open_instance
from recsys_assets.models.training_data import CatalogueSnapshot
from recsys_assets.releases.offline import OfflineRelease
from recsys_assets.releases.release import Releases
from recsys_assets.releases.serving_config import ServingConfig
from recsys_assets.retraining.candidate import (
    DaySnapshot,
    offline_release,
    served_release,
    weights_of,
)
from recsys_assets.retraining.comparison import quality
from recsys_assets.retraining.labelled import LabelledDay, labelled_days, sample
from recsys_assets.settings import Settings, load_settings
from recsys_assets.settings.days import day_before, days_between
from recsys_assets.storage import Store
from recsys_assets.storage.filesystem import read_bytes, write_atomically
from recsys_assets.terminal.screen import Screen
from replay.prepare import FEATURES, NotPrepared, prepare
from replay.quality import DayQuality, by_week

METHODS = ("refreshed", "frozen")
_AT_ONCE = 7  # days whose labels are read at once: history is read for them, and held by user


@dataclass(frozen=True)
class Asked:
    """What a day's figures depend on: kept with them, and figures of other terms are not used."""

    release: int
    rendered_at: str
    sessions_a_day: int
    attribution_hours: int


class Bench:
    """One release, refreshed and frozen.

    Args:
        releases: hold it.
        asked: which it is, and what it is asked.

    Raises:
        MissingArtifact: what the release was made of is gone.
    """

    def __init__(self, releases: Releases, asked: Asked) -> None:
        self._store = releases.store
        self._weights = weights_of(releases, asked.release).folders
        self._config = ServingConfig.of(releases, asked.release)
        self._frozen = served_release(releases, asked.release)

    def day(self, labelled: LabelledDay) -> DayQuality:
        """Asks both the sessions of a day.

        Raises:
            MissingPartition: a day before it has not been made.
        """
        known = CatalogueSnapshot.at(self._store, day_before(labelled.day))
        data = DaySnapshot.of(self._store, known)
        refreshed = offline_release(self._weights, data, self._config)
        return DayQuality(
            labelled.day,
            labelled.sessions.user_id,
            {
                (method, metric): values
                for method, release in zip(METHODS, (refreshed, self._frozen), strict=True)
                for metric, values in _quality(release, labelled).items()
            },
        )


def run(settings: Settings, days: int, sessions_a_day: int, screen: Screen) -> dict[str, Any]:
    """Measures the days from `today` on; returns what `bench/refresh.json` holds.

    Raises:
        NotPrepared: no release is promoted, or events and features of the days cannot be made.
    """
    store, machine = Store(settings.storage_url), describe_machine()
    releases = Releases(store)
    promoted = releases.promoted()
    if promoted is None:
        raise NotPrepared("no release is promoted: run `recsys demo` first")
    manifest = releases.manifest(promoted.release)
    last = settings.today + timedelta(days=days - 1)
    with open_instance(settings) as instance:
        # The day after the last closes its attribution windows.
        end = last + timedelta(days=1)
        prepare(settings, instance, settings.today, end, screen, (FEATURES,))
    asked = Asked(
        promoted.release, manifest["rendered_at"], sessions_a_day, settings.attribution_hours
    )
    bench, folder = Bench(releases, asked), f"{settings.home.as_uri()}/bench/refresh"
    wanted = days_between(settings.today, last)
    left = [day for day in wanted if _kept(folder, day, asked) is None]
    for start in range(0, len(left), _AT_ONCE):
        screen.doing(f"labels from {left[start]} on")
        for labelled in _labelled(store, left[start : start + _AT_ONCE], asked):
            screen.doing(labelled.day)
            of_day = bench.day(labelled)
            write_atomically(f"{folder}/{labelled.day}.json", _as_json(of_day, asked))
            screen.say(f"{labelled.day}: {len(labelled.sessions)} sessions")
    found = [_kept(folder, day, asked) for day in wanted]
    return {
        "machine": machine,
        **asdict(asked),
        "trained_through": manifest["trained_through"],
        "frozen_data_through": manifest["item_features_day"],
        "days": days,
        "quality": by_week([of_day for of_day in found if of_day and len(of_day.users)], METHODS),
    }


def _labelled(store: Store, days: Sequence[str], asked: Asked) -> list[LabelledDay]:
    """Sessions with a first-time purchase: of a day the same, whatever others it is among."""
    labelled = labelled_days(store, days, asked.attribution_hours)
    return [drawn for day in labelled for drawn in sample([day], asked.sessions_a_day)]


def _quality(release: OfflineRelease, day: LabelledDay) -> dict[str, np.ndarray]:
    return quality(release.answer(day.sessions, day.purchased).slates, day.relevant)


def _as_json(of_day: DayQuality, asked: Asked) -> bytes:
    values = {"/".join(key): array.tolist() for key, array in of_day.values.items()}
    users = of_day.users.tolist()
    record = {"asked": asdict(asked), "day": of_day.day, "users": users, "values": values}
    return json.dumps(record).encode()


def _kept(folder: str, day: str, asked: Asked) -> DayQuality | None:
    """The figures of a day that is done; None if there are none of these terms."""
    record = json.loads(read_bytes(f"{folder}/{day}.json") or "{}")
    if record.get("asked") != asdict(asked):
        return None
    values = {tuple(name.split("/")): np.array(of) for name, of in record["values"].items()}
    return DayQuality(record["day"], np.array(record["users"], dtype=object), values)


def _lines(found: Mapping[str, Any]) -> list[str]:
    machine = found["machine"]
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores; release {found['release']}, trained through "
        f"{found['trained_through']}, {found['days']} days",
    ]
    for week, of_week in found["quality"].items():
        ndcg = of_week["ndcg_at_10"]
        low, high = ndcg["interval"]
        lines.append(
            f"{week:<10}  NDCG@10 refreshed {ndcg['refreshed']:.4f}, frozen {ndcg['frozen']:.4f}, "
            f"difference {ndcg['difference']:+.4f} [{low:+.4f}, {high:+.4f}], "
            f"{of_week['households']:,} households"
        )
    return lines


def main() -> None:
    """Prints a line for each week and for all days, and writes `bench/refresh.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=28, help="from today on (default: 28)")
    parser.add_argument(
        "--sessions", type=int, default=10_000, help="most sessions a day, drawn (default: 10,000)"
    )
    given = parser.parse_args()
    settings = load_settings()
    with Screen(sys.stdout) as screen:
        try:
            found = run(settings, given.days, given.sessions, screen)
        except NotPrepared as error:
            sys.exit(str(error))
        target = settings.home / "bench" / "refresh.json"
        write_atomically(target.as_uri(), json.dumps(found, indent=2).encode())
        for line in [*_lines(found), f"written: {target}"]:
            screen.show(line)


if __name__ == "__main__":
    main()
