"""What linters find counts, unless an exception names it with a reason."""

from pathlib import Path

import pytest

from recsys_assets_tests.manifests.manifests import changed, container, rendered
from tools.manifests import policy
from tools.manifests.findings import Object
from tools.manifests.policy import Excuse, Violation

FOUND = Violation("CKV_K8S_1", "Deployment.recsys.triton", "Some policy")


def test_a_violation_without_an_exception_is_a_finding() -> None:
    (finding,) = policy.policy_findings("eks", [FOUND], [Excuse("CKV_K8S_1", "Job.*", "why")])
    assert (finding.object, finding.field) == ("Deployment.recsys.triton", "CKV_K8S_1")


def test_an_exception_covers_its_check_and_objects_only() -> None:
    excuse = Excuse("CKV_K8S_1", r"Deployment\.recsys\.triton", "why")
    assert list(policy.policy_findings("eks", [FOUND], [excuse])) == []
    other = Violation("CKV_K8S_1", "Deployment.recsys.triton-canary", "Some policy")
    assert len(list(policy.policy_findings("eks", [other], [excuse]))) == 1


def test_an_exception_that_excuses_nothing_is_a_finding() -> None:
    (finding,) = policy.unused([FOUND], [Excuse("CKV_K8S_2", ".*", "why")])
    assert finding.object == "CKV_K8S_2"


def test_every_exception_has_a_reason() -> None:
    assert all(len(each.reason) > 20 for each in policy.exceptions())


def test_a_rule_that_promtool_refuses_is_found() -> None:
    maps = (each["metadata"]["name"] for each in rendered().of_kind("ConfigMap"))
    name = next(each for each in maps if each.startswith("prometheus-rules"))

    def break_rule(of: Object) -> None:
        of["data"]["recorded.yml"] = of["data"]["recorded.yml"].replace("rate(", "rte(")

    assert list(policy.monitoring_findings(rendered())) == []
    (finding,) = policy.monitoring_findings(changed("ConfigMap", name, break_rule))
    assert "rte" in finding.remedy


def test_a_linter_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "TOOLS", tmp_path)
    with pytest.raises(policy.ToolFailed, match="make setup-manifests"):
        list(policy.dockerfile_findings([]))


@pytest.mark.integration
@pytest.mark.slow
def test_checkov_finds_a_container_that_may_be_root() -> None:
    def as_root(of: Object) -> None:
        container(of)["securityContext"] = {"privileged": True}

    found, passed = policy.violations(changed("Deployment", "exporter", as_root))
    assert passed > 100
    unexcused = list(policy.policy_findings("eks", found, policy.exceptions()))
    assert "CKV_K8S_16" in {each.field for each in unexcused}


@pytest.mark.integration
def test_hadolint_finds_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text("FROM python\nRUN cd /tmp && sudo true\n")
    monkeypatch.setattr(policy, "REPOSITORY", tmp_path)
    assert {"DL3006", "DL3004"} <= {each.field for each in policy.dockerfile_findings([file])}
