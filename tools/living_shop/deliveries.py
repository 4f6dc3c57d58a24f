"""The files that a living shop delivers, and when each arrives.

The folder `interactions/day=D` is delivered in the night after D: `sales.parquet` holds what was
sold on D, and `late.parquet` what one in ten tills had kept back, up to three days long.
"""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from recsys_assets.events.contract import INTERACTIONS, LATE_DAYS, PROMOTIONS
from recsys_assets.releases.offline import Sessions
from recsys_assets.storage.filesystem import replacing
from replay.traffic import DayTraffic
from tools.living_shop.catalogue import Catalogue
from tools.living_shop.plan import Plan
from tools.living_shop.recording import Recording

_LATE_SHARE = 0.1
_WRONG_SHARE, _LOST_SHARE, _WRONG_FACTOR = 0.3, 0.1, 100.0
_PLANNED_AHEAD = timedelta(days=14)


class Deliveries:
    """What arrives in `folder`. Everything follows from the day, so delivering again is harmless.

    A killed delivery leaves no half-written file.
    """

    def __init__(self, recording: Recording, plan: Plan, folder: Path) -> None:
        self._recording, self._plan, self.folder = recording, plan, folder
        self._catalogue = Catalogue(recording, plan)

    def deliver_history(self) -> None:
        """All that a shop has when it begins: every day before the evening of the first release."""
        for number in range(self._plan.history - 1):
            self._deliver_sales(self._plan.history_from + timedelta(days=number))
        self._deliver_entities(self._plan.release_evening)

    def deliver_evening(self, day: date) -> None:
        """The catalogue, with what is sold from tomorrow on; attributes of today's households."""
        self._deliver_entities(day)

    def deliver_night(self, day: date) -> None:
        """The sales of a day that is over, with what came late, and corrections."""
        self._deliver_sales(day)
        if day == self._plan.correction_day:
            corrected = self._plan.corrected_day
            self._write(_file(corrected, "sales"), self._on_time(corrected))

    def traffic(self, day: date) -> DayTraffic:
        """The visits of a day, each at its first event."""
        visits = (
            self._happened(day)
            .group_by("user_id", "session_id", maintain_order=True)
            .first()
            .with_columns(pl.col("device").fill_null(""))
        )
        sessions = Sessions(
            visits["user_id"].to_numpy().astype(object),
            visits["timestamp"].dt.epoch("s").to_numpy(),
            visits["device"].to_numpy().astype(object),
            {},
        )
        return DayTraffic(day.isoformat(), sessions)

    def new_items(self) -> set[str]:
        """Items that were announced after the first release had begun."""
        return self._announced(self._plan.lived[-1]) - self._listed(self._plan.release_evening)

    def withdrawn_items(self) -> set[str]:
        """Items that were in some catalogue, and are not in the last."""
        last = self._plan.lived[-1]
        return self._announced(last) - self._listed(last)

    def late_rows(self) -> int:
        """Rows that were delivered after the night of their day, since the first release."""
        nights = [self._plan.release_evening, *self._plan.lived]
        return sum(self._late(night).height for night in nights)

    def final_catalogue(self) -> pl.DataFrame:
        """Every item that was ever listed, as it was listed last: what the events refer to."""
        return self._catalogue.through([self._plan.release_evening, *self._plan.lived])

    def _announced(self, last: date) -> set[str]:
        days = [day for day in (self._plan.release_evening, *self._plan.lived) if day <= last]
        return set(self._catalogue.through(days)["item_id"])

    def _listed(self, day: date) -> set[str]:
        return set(self._catalogue.of(day)["item_id"])

    def _happened(self, day: date) -> pl.DataFrame:
        """What is sold on a day of the living shop."""
        events = self._recording.on(day)
        sells = self._plan.is_open(day) and day != self._plan.empty_day
        return events if sells and day >= self._plan.history_from else events.clear()

    def _with_lateness(self, day: date) -> pl.DataFrame:
        """The events of a day with the days that each visit is late, `late`."""
        events = self._happened(day)
        visits = events.select("user_id", "session_id").unique(maintain_order=True)
        draw = np.random.default_rng(day.toordinal())
        late = draw.integers(1, LATE_DAYS + 1, visits.height)
        late[draw.random(visits.height) >= _LATE_SHARE] = 0
        lateness = visits.with_columns(late=pl.Series(late))
        return events.join(lateness, on=["user_id", "session_id"], nulls_equal=True, how="left")

    def _on_time(self, day: date) -> pl.DataFrame:
        return self._with_lateness(day).filter(pl.col("late") == 0).drop("late")

    def _late(self, night: date) -> pl.DataFrame:
        """Rows of earlier days that arrive in the night after `night`."""
        parts = [
            self._with_lateness(night - timedelta(days=late)).filter(pl.col("late") == late)
            for late in range(1, LATE_DAYS + 1)
        ]
        return pl.concat(parts).drop("late")

    def _deliver_sales(self, day: date) -> None:
        if self._plan.is_open(day):
            sales = self._on_time(day)
            wrong = day == self._plan.corrected_day
            self._write(_file(day, "sales"), _spoilt(sales, day) if wrong else sales)
        late = self._late(day)
        if late.height:
            self._write(_file(day, "late"), late)

    def _deliver_entities(self, day: date) -> None:
        self._write("items.parquet", self._catalogue.of(day))
        seen = self._recording.events.filter(pl.col("timestamp").dt.date() <= day)["user_id"]
        users = self._recording.users.filter(pl.col("user_id").is_in(seen.unique().implode()))
        self._write("users.parquet", users)
        planned = self._recording.promotions.filter(
            (pl.col("valid_from").dt.date() <= day + _PLANNED_AHEAD)
            & pl.col("item_id").is_in(list(self._listed(day)))
        )
        self._write("promotions.parquet", planned, PROMOTIONS.schema)

    def _write(self, name: str, rows: pl.DataFrame, schema: pa.Schema | None = None) -> None:
        table = rows.to_arrow()
        if name.startswith("interactions/"):
            schema = INTERACTIONS.schema
        with replacing((self.folder / name).as_uri()) as file:
            pq.write_table(table.cast(schema) if schema else table, file)


def _file(day: date, name: str) -> str:
    return f"interactions/day={day}/{name}.parquet"


def _spoilt(sales: pl.DataFrame, day: date) -> pl.DataFrame:
    """The same sales from a till that booked cents as whole units, and lost some rows."""
    draw = np.random.default_rng([day.toordinal(), 1])
    wrong = pl.Series(draw.random(sales.height) < _WRONG_SHARE)
    kept = pl.Series(draw.random(sales.height) >= _LOST_SHARE)
    scaled = pl.when(wrong).then(pl.col("price") * _WRONG_FACTOR).otherwise("price")
    return sales.with_columns(price=scaled).filter(kept)
