import pytest

from benchmarks.serving.triton_settings import VARIANTS
from recsys_assets.releases.rendering import TEMPLATES
from recsys_assets.triton.repository import CONFIG, PIPELINE

SERVED = (TEMPLATES / PIPELINE / CONFIG).read_text()


def test_the_first_variant_is_what_is_served():
    assert VARIANTS[0].apply(SERVED) == SERVED


@pytest.mark.parametrize("variant", VARIANTS[1:8], ids=lambda variant: variant.name)
def test_every_other_variant_changes_something_and_keeps_the_tensors(variant):
    changed = variant.apply(SERVED)
    assert changed != SERVED
    assert f"count: {variant.instances} kind" in changed
    assert changed.count("data_type") == SERVED.count("data_type")
    assert changed.count("{") == changed.count("}")


def test_only_what_is_served_has_priorities_and_limits():
    plain = next(one for one in VARIANTS if one.name == "no priorities or limits")
    assert "priority_levels" in SERVED
    assert "priority_levels" not in plain.apply(SERVED)
    assert "max_queue_size" not in plain.apply(SERVED)
