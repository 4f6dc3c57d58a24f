"""The report counts what was checked, and says what was not."""

import pytest

from tools.manifests.check import Report, show
from tools.manifests.findings import Finding


def test_the_table_shows_counts_findings_and_what_was_not_made(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = Report()
    report.add("eks", "ports", "3 objects", [Finding("k8s", "Service/a", "port", "1", "remedy")])
    report.skipped("eks", "Dagster's chart", "not at hand")
    show(report)
    said = capsys.readouterr().out
    assert "k8s: Service/a: port='1': remedy" in said
    assert "NOT MADE: not at hand" in said
    assert "1 checks made, 1 not made, 1 findings" in said
