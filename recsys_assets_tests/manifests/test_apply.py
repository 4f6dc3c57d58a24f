"""kubectl applies what is rendered to an API server in this process."""

import pytest

from recsys_assets_tests.manifests.manifests import changed, rendered
from tools.manifests.apply import apply_findings, differences


@pytest.mark.slow
@pytest.mark.parametrize("overlay", ["dev", "eks"])
def test_every_object_is_applied_and_comes_back(overlay: str) -> None:
    assert list(apply_findings(rendered(overlay))) == []


def test_a_kind_that_no_server_has_is_found() -> None:
    broken = changed("Service", "triton", lambda of: of.update(kind="Servce"))
    (finding,) = apply_findings(broken)
    assert "Servce" in finding.value + finding.remedy


def test_an_object_that_is_missing_or_another_is_found() -> None:
    whole = rendered()
    stored = [each for each in whole.objects if each["metadata"]["name"] != "default-deny"]
    (finding,) = differences(whole, stored)
    assert finding.object == "NetworkPolicy/default-deny"
    other = changed("ConfigMap", "recsys-settings", lambda of: of["data"].clear())
    (finding,) = differences(whole, other.objects)
    assert finding.field == "data"
