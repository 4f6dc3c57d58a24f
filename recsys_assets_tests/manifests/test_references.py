"""Everything that manifests name exists; each check finds what is wrong."""

from collections.abc import Callable
from typing import Any

import pytest

from recsys_assets_tests.manifests.manifests import changed, container, rendered, without
from tools.manifests import references
from tools.manifests.findings import Object

Change = Callable[[Object], Any]
OVERLAYS = ["dev", "eks", "eks-gpu"]


def volume(secret: str) -> Change:
    """Makes the last volume another secret."""
    return lambda of: of["spec"]["template"]["spec"]["volumes"][-1]["secret"].update(
        secretName=secret
    )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_references_settings_and_images_are_in_order(overlay: str) -> None:
    for check in (
        references.reference_findings,
        references.setting_findings,
        references.image_findings,
    ):
        assert [str(each) for each in check(rendered(overlay))] == []
    assert list(references.dagster_findings(rendered(overlay), overlay)) == []


def test_a_config_map_that_nobody_makes_is_found() -> None:
    found = list(references.reference_findings(without("ConfigMap", "recsys-settings")))
    assert {each.value for each in found} == {"recsys-settings"}
    assert "Deployment/exporter" in {each.object for each in found}


def test_a_service_account_that_nobody_makes_is_found() -> None:
    (finding, *_) = references.reference_findings(without("ServiceAccount", "recsys-events"))
    assert (finding.field, finding.value) == ("serviceAccountName", "recsys-events")


def test_a_secret_that_is_not_listed_is_found() -> None:
    found = list(references.reference_findings(changed("Deployment", "events", volume("token"))))
    assert ("Secret", "token") in {(each.field, each.value) for each in found}


def test_a_setting_in_a_file_that_no_secret_has_is_found() -> None:
    broken = changed("Deployment", "events", volume("grafana-admin"))
    (finding,) = references.reference_findings(broken)
    assert finding.field == "RECSYS_API_TOKEN_FILE"


def test_a_key_that_a_config_map_has_not_is_found() -> None:
    def other_key(of: Object) -> None:
        container(of)["volumeMounts"][0]["subPath"] = "prometheus.yaml"

    (finding,) = references.reference_findings(changed("StatefulSet", "prometheus", other_key))
    assert finding.value == "prometheus.yaml"


def test_a_variable_that_no_setting_reads_is_found() -> None:
    def misspell(of: Object) -> None:
        of["data"]["RECSYS_TRITON_AGENT"] = "triton-agents:8080"

    found = list(references.setting_findings(changed("ConfigMap", "recsys-settings", misspell)))
    assert {each.field for each in found} == {"RECSYS_TRITON_AGENT"}


def test_a_value_that_the_settings_refuse_is_found() -> None:
    def no_storage(of: Object) -> None:
        del of["data"]["RECSYS_STORAGE"]

    (finding, *_) = references.setting_findings(changed("ConfigMap", "recsys-settings", no_storage))
    assert "RECSYS_STORAGE" in finding.remedy


@pytest.mark.parametrize(
    ("command", "wrong"),
    [(["recsys", "land-event"], "land-event"), (["recsys", "status"], "--host")],
)
def test_a_command_or_an_option_that_does_not_exist_is_found(
    command: list[str], wrong: str
) -> None:
    broken = changed(
        "Deployment", "events-landing", lambda of: container(of).update(command=command)
    )
    assert wrong in {
        each.value
        for each in references.command_findings(broken)
        if each.object == "Deployment/events-landing"
    }


@pytest.mark.parametrize("image", ["grafana/grafana", "grafana/grafana:latest", "nginx:1.29"])
def test_an_image_that_is_unknown_or_may_move_is_found(image: str) -> None:
    broken = changed("Deployment", "grafana", lambda of: container(of).update(image=image))
    (finding,) = references.image_findings(broken)
    assert finding.value == image


def test_an_account_that_dagster_names_and_nobody_makes_is_found() -> None:
    broken = without("ServiceAccount", "recsys-run")
    (finding,) = references.dagster_findings(broken, "eks")
    assert (finding.file, finding.value) == ("k8s/dagster/values-eks.yaml", "recsys-run")
