"""The order of alerts: causes first, then by the revenue at risk."""

from recsys_assets.monitoring.alerts import Measurement, alerts_of


def measured(group, name, affected, low=1.0, threshold=0.1):
    return Measurement(name, group, "psi", low, low, threshold, 300, affected)


def causes(*measurements):
    return [alert.cause for alert in alerts_of(measurements, revenue=1000.0)]


def test_only_what_is_beyond_its_bound_alerts():
    quiet = measured("prices", "price", 0.9, low=0.1)
    assert causes(quiet) == []


def test_more_revenue_at_risk_comes_first():
    small, large = measured("context", "hour", 0.1), measured("features", "age", 0.4)
    assert causes(small, large) == ["features: age", "context: hour"]
    assert alerts_of([large], 1000.0)[0].revenue_at_risk == 400.0


def test_scores_and_labels_come_after_an_input_that_moved():
    found = causes(
        measured("concept", "auc", 0.9),
        measured("scores", "scores", 0.8),
        measured("context", "device", 0.3),
    )
    assert found == ["context: device", "concept: auc", "scores: scores"]


def test_labels_that_turned_are_not_put_down_to_a_few_unknown_items():
    found = causes(measured("concept", "auc", 0.4), measured("unknown", "unknown_items", 0.04))
    assert found == ["concept: auc", "unknown: unknown_items"]


def test_scores_alone_are_a_cause():
    assert causes(measured("scores", "scores", 0.8)) == ["scores: scores"]


def test_missing_values_explain_the_distribution_of_their_own_column_only():
    found = causes(
        measured("features", "age", 0.21),
        measured("features", "income", 0.25),
        measured("nulls", "age", 0.2),
    )
    assert found == ["features: income", "nulls: age", "features: age"]


def test_a_small_difference_does_not_explain_a_large_one():
    found = causes(measured("prices", "price_ratio", 0.9), measured("demand", "category_l1", 0.1))
    assert found == ["prices: price_ratio", "demand: category_l1"]


def test_a_new_department_explains_its_unknown_items_and_their_prices():
    found = causes(
        measured("unknown", "unknown_items", 0.11),
        measured("prices", "price_ratio", 0.12),
        measured("demand", "popularity", 0.12),
        measured("demand", "category_l1", 0.1),
    )
    assert found[0] == "demand: category_l1"
