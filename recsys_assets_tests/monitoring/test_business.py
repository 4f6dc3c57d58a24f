"""Business figures by hand, and the falls that they raise an alarm for."""

import json

import polars as pl
import pytest

from recsys_assets.monitoring.business import business_metrics, measure
from recsys_assets.monitoring.outcomes import SCHEMA
from recsys_assets.monitoring.plots import plot_business
from recsys_assets.monitoring.thresholds import FALLEN, OK, TOO_FEW, BusinessThresholds
from recsys_assets.releases.release import Releases
from recsys_assets.storage import MissingPartition, Store
from recsys_assets_tests.monitoring.market import day_of, outcomes

LIMITS = BusinessThresholds()


def day_metrics(number, history=(), **kwargs):
    rows = outcomes(number, **kwargs)
    return business_metrics(rows, list(history), day_of(number).isoformat(), LIMITS, 24)


def earlier(days, **kwargs):
    return [day_metrics(number, **kwargs) for number in range(1, days + 1)]


def test_figures_are_ratios_of_sums():
    rows = outcomes(1, sessions=4).to_pylist()
    for row, orders, revenue in zip(rows, (2, 1, 0, 0), (50.0, 10.0, 0.0, 0.0), strict=True):
        row.update(orders=orders, revenue=revenue, attributed_revenue=revenue / 10)
        row.update(clicked=["item-1"] if orders == 2 else [], impressions=10, purchased=[])
        row.update(ndcg_at_10=None, recall_at_10=None)
    table = SCHEMA.empty_table().from_pylist(rows, schema=SCHEMA)
    metrics = business_metrics(table, [], day_of(1).isoformat(), LIMITS, 24)
    assert metrics.figures == {
        "ctr": 1 / 40,
        "conversion": 0.5,
        "slate_conversion": 0.0,
        "revenue_per_session": 15.0,
        "average_order_value": 20.0,
        "revenue_per_thousand_recommendations": 150.0,
    }
    assert (metrics.state, metrics.sessions) == (TOO_FEW, 4)


def test_no_click_rate_where_clicks_are_not_recorded():
    assert "ctr" not in day_metrics(1).metadata()


def test_metadata_is_plain_and_says_which_day_it_is_about():
    metadata = day_metrics(3).metadata()
    assert json.loads(json.dumps(metadata)) == metadata
    assert (metadata["day"], metadata["about_day"]) == (
        day_of(3).isoformat(),
        day_of(2).isoformat(),
    )
    assert (metadata["live_release"], metadata["state"], metadata["alerts"]) == (1, OK, [])


def test_days_alike_raise_no_alarm():
    history = earlier(10)
    states = [day_metrics(number, history).state for number in range(11, 20)]
    assert states == [OK] * 9


def test_half_the_orders_are_a_fall_and_the_most_revenue_at_risk_is_on_top():
    metrics = day_metrics(11, earlier(10), ordered=0.2)
    assert metrics.state == FALLEN
    names = [alert.name for alert in metrics.alerts]
    assert {"conversion", "revenue_per_session", "slate_conversion"} <= set(names)
    assert metrics.alerts[0].name in {"conversion", "revenue_per_session"}
    assert metrics.alerts[0].revenue_at_risk == pytest.approx(1200, rel=0.3)
    assert "average_order_value" not in names


def test_with_too_little_history_nothing_is_compared():
    assert day_metrics(5, earlier(3), ordered=0.1).state == OK


def test_days_of_too_few_sessions_are_no_history():
    assert day_metrics(11, earlier(10, sessions=20), ordered=0.1).state == OK


def test_a_day_without_sessions_says_so():
    metrics = business_metrics(SCHEMA.empty_table(), [], day_of(1).isoformat(), LIMITS, 24)
    assert (metrics.state, metrics.figures, metrics.live_release) == (TOO_FEW, {}, 0)


def test_the_days_before_are_read_from_the_store(tmp_path):
    store = Store(tmp_path.as_uri())
    for number in range(1, 11):
        store.table("outcomes").write(outcomes(number), day_of(number).isoformat())
    last = day_of(11).isoformat()
    store.table("outcomes").write(outcomes(11, ordered=0.1), last)
    report = measure(store, last, 24)
    assert len(report.history) == 10
    assert report.metadata()["state"] == FALLEN
    assert plot_business(report.metrics, report.history).startswith(b"\x89PNG")


def test_what_refreshes_answered_counts_for_the_release_that_brought_the_weights(tmp_path):
    store, day = Store(tmp_path.as_uri()), day_of(1).isoformat()
    rows = pl.DataFrame(outcomes(1))
    mixed = rows.with_columns(release=pl.Series([n % 5 for n in range(len(rows))]) + 3)
    store.table("outcomes").write(mixed.to_arrow(), day)
    for refresh in (6, 7):
        Releases(store).note_refresh(refresh, weights=4)

    assert measure(store, day, 24).metrics.live_release == 4


def test_a_day_without_outcomes_is_named(tmp_path):
    with pytest.raises(MissingPartition, match="outcomes"):
        measure(Store(tmp_path.as_uri()), day_of(1).isoformat(), 24)


@pytest.mark.parametrize("converting", [0, 50])
@pytest.mark.parametrize(("sessions_of_one", "falls"), [(1, True), (50, False)])
def test_sessions_of_a_household_say_less_than_as_many_households(
    converting, sessions_of_one, falls
):
    rows = outcomes(11, sessions=200, ordered=1.0).to_pylist()
    for number, row in enumerate(rows):
        row["user_id"] = f"user-{number // sessions_of_one}"
        row["orders"] = int(number < converting)
    table = SCHEMA.empty_table().from_pylist(rows, schema=SCHEMA)
    metrics = business_metrics(table, earlier(10), day_of(11).isoformat(), LIMITS, 24)
    assert metrics.figures["conversion"] == converting / 200
    assert ("conversion" in {alert.name for alert in metrics.alerts}) == falls
