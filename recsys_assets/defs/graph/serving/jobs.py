"""The job that keeps the store from growing for ever, once a week."""

from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from recsys_assets.defs.resources import StoreResource


class Retention(dg.Config):
    """What is kept; see `RetentionPolicy`. With `dry_run` what would go is only shown."""

    keep: int = 5
    older_than_days: int = 7
    partition_days: dict[str, int] = Field(default_factory=dict)
    dry_run: bool = False


@dg.op(
    description="Deletes old releases, versions that no kept release names, and leftovers.",
    # A promotion between plan and deletion; what failed half-way is gone on with.
    retry_policy=dg.RetryPolicy(max_retries=2, delay=60),
)
def clean_store(context: dg.OpExecutionContext, config: Retention, store: StoreResource) -> None:
    """Plans, shows the plan, and carries it out."""
    from recsys_assets.releases.retention import RetentionPolicy, carry_out, plan

    policy = RetentionPolicy(config.keep, config.older_than_days, config.partition_days)
    planned = plan(store.get(), policy, datetime.now(UTC))
    kept = [item.name for item in planned.kept if item.kind == "release"]
    shown = [
        dg.TableRecord({"kind": i.kind, "name": i.name, "bytes": i.size, "why": i.why})
        for i in planned.removed
    ]
    if not config.dry_run:
        carry_out(store.get(), planned)
    context.add_output_metadata(
        {
            "removed": dg.MetadataValue.table(shown, schema=_COLUMNS),
            "removed_count": len(planned.removed),
            "removed_bytes": planned.size,
            "kept_releases": ", ".join(kept),
            "dry_run": config.dry_run,
        }
    )


_COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn("kind"),
        dg.TableColumn("name"),
        dg.TableColumn("bytes", "int"),
        dg.TableColumn("why"),
    ]
)


@dg.job(description="Deletes from the store what it need not keep.")
def retention() -> None:
    """One step."""
    clean_store()


retention_schedule = dg.ScheduleDefinition(
    job=retention,
    cron_schedule="0 3 * * 0",
    execution_timezone="UTC",
    description="On Sundays, when little else runs.",
)
