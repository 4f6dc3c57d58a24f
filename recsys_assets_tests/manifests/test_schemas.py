"""Objects against the schemas of every version of Kubernetes."""

import pytest

from recsys_assets_tests.manifests.manifests import changed, rendered
from tools.manifests.schemas import schema_findings, versions


def test_versions_go_from_the_oldest_supported_to_the_newest_shipped() -> None:
    assert versions() == [f"1.{minor}" for minor in range(29, 38)]


@pytest.mark.parametrize("version", [versions()[0], versions()[-1]])
def test_the_manifests_pass(version: str) -> None:
    assert list(schema_findings(rendered(), version)) == []


def test_an_unknown_field_is_found() -> None:
    broken = changed("Service", "triton", lambda of: of["spec"].update(slector={}))
    (finding,) = schema_findings(broken, versions()[-1])
    assert finding.object == "Service/triton"
    assert "slector" in finding.remedy


def test_a_wrong_type_is_found_with_its_field() -> None:
    broken = changed("Deployment", "triton", lambda of: of["spec"].update(replicas="two"))
    (finding,) = schema_findings(broken, versions()[0])
    assert (finding.field, finding.value) == ("spec.replicas", '"two"')


def test_a_kind_that_a_version_has_not_is_found() -> None:
    broken = changed("Namespace", "recsys", lambda of: of.update(apiVersion="v2"))
    (finding,) = schema_findings(broken, versions()[0])
    assert "no such kind" in finding.remedy
