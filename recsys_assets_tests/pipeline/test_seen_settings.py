import pytest

from recsys_assets.pipeline.seen_settings import FilterSettings, WhenDown, without_filters


def test_a_filter_has_room_for_as_many_purchases_again():
    settings = FilterSettings(min_capacity=100)

    assert [settings.capacity(items) for items in (1, 50, 51, 700)] == [100, 100, 102, 1400]


def test_filters_stay_for_ever_unless_days_are_given():
    assert FilterSettings().expire_seconds is None
    assert FilterSettings(expire_days=2).expire_seconds == 2 * 86_400


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("error_rate", 0.0),
        ("error_rate", 1.0),
        ("min_capacity", 0),
        ("growth", 0),
        ("expire_days", 0),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(field, value):
    with pytest.raises(ValueError, match=rf"FilterSettings\.{field}={value}.*give"):
        FilterSettings(**{field: value})


def test_shown_all_the_same_and_marked():
    outcome = without_filters(["ann", "", "bob"], WhenDown.SHOW)

    assert outcome.degraded.tolist() == [True, False, True]
    assert not outcome.refused.any()


def test_refused_but_for_anonymous_users_who_have_bought_nothing():
    outcome = without_filters(["ann", "", "bob"], WhenDown("refuse"))

    assert outcome.refused.tolist() == [True, False, True]
    assert not outcome.degraded.any()
