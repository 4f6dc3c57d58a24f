"""Whatever a caller sends, each event is judged by itself."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_assets.storefront.event_intake import judge
from recsys_assets.storefront.event_rows import EVENT_ID, as_table
from recsys_assets_tests.storefront.events import GOOD, NOW

TIMES = (
    *(1_795_435_140 * 10**digits for digits in (0, 3, 6, 9)),
    *(-(2**63), 253_402_300_800, -62_135_596_801),
    *("9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "2026-11-23T11:59:60Z"),
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters()),
    st.sampled_from(TIMES),
    st.lists(st.integers(), max_size=1),
)
CHANGES = st.dictionaries(st.sampled_from([*GOOD, EVENT_ID]), VALUES)


@settings(max_examples=50)
@given(st.lists(CHANGES, min_size=1, max_size=5))
def test_no_value_keeps_the_other_events_out(changes):
    body = json.loads(json.dumps([*({**GOOD, **change} for change in changes), GOOD]))
    verdicts = judge(body, NOW)
    assert verdicts[-1].accepted
    assert all(one.accepted or one.reason for one in verdicts)
    as_table([one.accepted for one in verdicts if one.accepted])
    json.dumps([one.as_answer() for one in verdicts]).encode()
