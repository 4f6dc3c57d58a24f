"""`make k8s-check`: everything that can be said of the manifests without a cluster, as a table.

    python -m tools.manifests.check [--chart PATH]

Ends with 1 if anything is wrong. Each check is named where it was not made.
"""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import click

from tools.manifests import images, policy, references, schemas, wiring
from tools.manifests.apply import apply_findings
from tools.manifests.findings import Finding, Rendered
from tools.manifests.render import K8S, Unrenderable, overlays, render_chart, render_overlay

Check = Callable[[Rendered], Iterable[Finding]]
CROSS_CHECKS: dict[str, Check] = {
    "references exist": references.reference_findings,
    "settings": references.setting_findings,
    "commands": references.command_findings,
    "images": references.image_findings,
    "selectors": wiring.selector_findings,
    "ports": wiring.port_findings,
    "scaling, budgets": wiring.scaling_findings,
    "graceful end": wiring.ending_findings,
    "GPUs": wiring.gpu_findings,
    "size of pods": wiring.size_findings,
    "monitoring": policy.monitoring_findings,
}


@dataclass
class Report:
    """What was checked, in order, and what was found."""

    rows: list[tuple[str, str, str, int]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def add(self, of: str, check: str, extent: str, found: Iterable[Finding]) -> None:
        """Notes a check that was made."""
        listed = list(found)
        self.rows.append((of, check, extent, len(listed)))
        self.findings += listed

    def skipped(self, of: str, check: str, why: str) -> None:
        """Notes one that was not made."""
        self.rows.append((of, check, f"NOT MADE: {why}", 0))


def check_all(chart: Path | None) -> Report:
    """Checks every overlay, Dagster's values, and the Dockerfiles.

    Raises:
        ToolFailed: a linter is not installed or does not run.
    """
    report = Report()
    broken: list[policy.Violation] = []
    for folder in overlays():
        try:
            rendered = render_overlay(folder)
        except Unrenderable as error:
            report.add(folder.name, "render", "", [_unrendered(folder, error)])
            continue
        broken += _check_overlay(report, folder.name, rendered)
        _check_dagster(report, folder.name, rendered, chart)
    excused = policy.exceptions()
    report.add("all", "policy exceptions", f"{len(excused)} named", policy.unused(broken, excused))
    dockerfiles = sorted((K8S / "images").glob("*/Dockerfile"))
    found = policy.dockerfile_findings(dockerfiles)
    report.add("images", "hadolint", f"{len(dockerfiles)} Dockerfiles", found)
    fit = images.findings()
    report.add("images", "fit the repository", f"{len(dockerfiles)} Dockerfiles", fit)
    return report


def _check_overlay(report: Report, of: str, rendered: Rendered) -> list[policy.Violation]:
    count = f"{len(rendered.objects)} objects"
    report.add(of, "render", count, [])
    for version in schemas.versions():
        found = schemas.schema_findings(rendered, version)
        report.add(of, f"schemas {version}", f"{count}, strict", found)
    violations, passed = policy.violations(rendered)
    unexcused = policy.policy_findings(rendered.file, violations, policy.exceptions())
    extent = f"{passed} passed, {len(violations)} excepted by name"
    report.add(of, "policy (checkov)", extent, unexcused)
    report.add(of, "apply, read back", count, apply_findings(rendered))
    for name, check in CROSS_CHECKS.items():
        report.add(of, name, count, check(rendered))
    return violations


def _check_dagster(report: Report, of: str, rendered: Rendered, chart: Path | None) -> None:
    found = references.dagster_findings(rendered, of)
    report.add(of, "Dagster's values", "accounts, ConfigMaps, secrets", found)
    if chart is None:
        report.skipped(of, "Dagster's chart", "give it by CHART=path")
        return
    try:
        installed = render_chart(chart, of)
    except Unrenderable as error:
        report.add(of, "Dagster's chart", str(chart), [_unrendered(chart, error)])
        return
    for version in schemas.versions():
        extent = f"{len(installed.objects)} objects of the chart, strict"
        report.add(of, f"schemas {version}", extent, schemas.schema_findings(installed, version))


def _unrendered(path: Path, error: Unrenderable) -> Finding:
    return Finding(str(path), "(all)", "render", "refused", str(error))


def show(report: Report) -> None:
    """Prints the table, then each finding."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=110, highlight=False)
    table = Table("overlay", "check", "extent", "findings")
    for of, check, extent, count in report.rows:
        table.add_row(of, check, extent, str(count), style="red" if count else None)
    console.print(table)
    for each in report.findings:
        console.print(f"- {each}", style="red", markup=False, soft_wrap=True)
    made = sum(not extent.startswith("NOT MADE") for _, _, extent, _ in report.rows)
    console.print(f"{made} checks made, {len(report.rows) - made} not made, ", end="")
    console.print(f"{len(report.findings)} findings")


@click.command()
@click.option(
    "--chart",
    type=click.Path(exists=True, path_type=Path),
    help="Dagster's Helm chart, a folder or an archive, with what it depends on.",
)
def main(chart: Path | None) -> None:
    """Check the manifests without a cluster."""
    try:
        report = check_all(chart)
    except policy.ToolFailed as error:
        raise click.ClickException(str(error)) from None
    show(report)
    sys.exit(bool(report.findings))


if __name__ == "__main__":
    main()
