from recsys_assets.features.corrections import Correction, Corrections, IngestedDay

DAYS = [f"2025-03-0{n}" for n in range(1, 8)]
DERIVED = frozenset({"user_features", "outcomes"})


class History:
    """A shop that is ingested and computed day by day."""

    def __init__(self):
        self.events = 0
        self.reports = []
        self.derived = {"user_features": {}, "outcomes": {}}

    def ingest(self, day, content="as it was", late=()):
        self.events += 1
        self.reports.append(IngestedDay(self.events, day, content, tuple(late)))
        return self.events

    def compute(self, *days, asset="user_features"):
        for day in days:
            self.events += 1
            self.derived[asset][day] = self.events

    def live(self, *days):
        for day in days:
            self.ingest(day)
            self.compute(day)

    @property
    def known(self):
        return Corrections().with_reports(self.reports)

    @property
    def due(self):
        return self.known.due(self.derived)


def test_a_day_after_another_is_no_correction():
    shop = History()
    shop.live(*DAYS)

    assert shop.due is None


def test_days_that_are_computed_all_at_once_are_up_to_date():
    shop = History()
    for day in DAYS:
        shop.ingest(day)
    shop.compute(*DAYS)

    assert shop.due is None


def test_events_that_are_not_computed_yet_are_no_correction():
    shop = History()
    shop.live(*DAYS[:3])
    shop.ingest(DAYS[3])

    assert shop.due is None


def test_late_rows_have_their_day_read_again_and_all_after_it():
    shop = History()
    shop.live(*DAYS[:4])
    found = shop.ingest(DAYS[4], late=[DAYS[2]])

    assert shop.due == Correction(DAYS[2], DAYS[4], ingest=True, cause=found, stale=DERIVED)


def test_late_rows_that_were_read_since_wait_no_more():
    shop = History()
    shop.live(*DAYS[:4])
    shop.ingest(DAYS[4], late=[DAYS[2]])
    for day in DAYS[2:5]:
        shop.ingest(day, "with what came late")
    shop.compute(*DAYS[2:5])

    assert shop.due is None


def test_late_rows_of_a_day_that_is_not_read_at_all_are_not_waited_for():
    shop = History()
    shop.live(*DAYS)
    shop.ingest(DAYS[0], late=["2025-02-28"])

    assert shop.due is None


def test_events_put_right_make_their_day_and_all_after_it_stale():
    shop = History()
    shop.live(*DAYS)
    changed = shop.ingest(DAYS[3], "put right")

    stale = frozenset({"user_features"})
    assert shop.due == Correction(DAYS[3], DAYS[-1], ingest=False, cause=changed, stale=stale)

    shop.compute(DAYS[3])
    assert shop.due.first == DAYS[4]  # what follows is not computed yet

    shop.compute(*DAYS[4:])
    assert shop.due is None


def test_every_derived_asset_is_looked_at():
    shop = History()
    shop.live(*DAYS)
    shop.compute(*DAYS, asset="outcomes")
    shop.ingest(DAYS[3], "put right")
    assert shop.due.stale == DERIVED

    shop.compute(*DAYS[3:])
    assert (shop.due.first, shop.due.stale) == (DAYS[3], {"outcomes"})


def test_the_same_events_again_change_nothing():
    shop = History()
    shop.live(*DAYS)
    shop.ingest(DAYS[3])

    assert shop.due is None


def test_what_an_earlier_version_has_ingested_without_naming_its_content_is_believed():
    shop = History()
    shop.ingest(DAYS[0], content="")
    shop.compute(*DAYS[:2])
    shop.ingest(DAYS[0])

    assert shop.due is None


def test_reports_may_come_in_any_order_and_more_than_once():
    shop = History()
    shop.live(*DAYS)
    shop.ingest(DAYS[3], "put right", late=[DAYS[1]])

    known = Corrections().with_reports(reversed(shop.reports))

    assert known.due(shop.derived) == shop.due
    assert known.with_reports(shop.reports) == known


def test_a_cursor_holds_all_that_is_known():
    shop = History()
    shop.live(*DAYS)
    shop.ingest(DAYS[3], "put right", late=[DAYS[1]])

    assert Corrections.from_json(shop.known.to_json()) == shop.known
    assert Corrections.from_json(None) == Corrections()


def test_a_report_is_read_from_metadata():
    metadata = {"content": "abc", "rows_for_earlier_days": {DAYS[0]: 2}}

    assert IngestedDay.read(7, DAYS[1], metadata) == IngestedDay(7, DAYS[1], "abc", (DAYS[0],))
    assert IngestedDay.read(7, DAYS[1], {}) == IngestedDay(7, DAYS[1], "", ())
