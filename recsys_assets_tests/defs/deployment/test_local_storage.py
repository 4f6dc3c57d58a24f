"""The storage of a local instance does what Dagster's own does, in the same files, with less."""

import shutil

import dagster as dg
import pytest
from sqlalchemy import Engine

from recsys_assets.defs.runs.instance import open_instance
from recsys_assets.settings import load_settings

DAYS = ("2025-03-01", "2025-03-02")
TEA = dg.AssetKey("tea")


@dg.asset(
    partitions_def=dg.StaticPartitionsDefinition(DAYS),
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def tea() -> None: ...


def brew(instance):
    ends = zip(("start", "end"), DAYS, strict=True)
    tags = {f"dagster/asset_partition_range_{end}": day for end, day in ends}
    return dg.materialize([tea], instance=instance, tags=tags).run_id


@pytest.fixture
def settings(tmp_path):
    return load_settings({"RECSYS_HOME": str(tmp_path)})


@pytest.fixture
def engines(monkeypatch):
    """Databases of the engines that are made."""
    made = []
    monkeypatch.setattr(Engine, "__init__", told(Engine.__init__, made))
    return made


def told(init, made):
    def initialise(self, pool, dialect, url, *args, **options):
        made.append(url.database)
        init(self, pool, dialect, url, *args, **options)

    return initialise


def test_what_is_recorded_is_there_for_whoever_opens_the_instance_next(settings):
    with open_instance(settings) as instance:
        run_id = brew(instance)
    with open_instance(settings) as instance:
        assert instance.get_run_by_id(run_id).is_success
        assert instance.get_materialized_partitions(TEA) == set(DAYS)
        assert instance.all_logs(run_id)


def test_dagsters_own_storage_reads_and_goes_on_with_the_files(settings, tmp_path):
    with open_instance(settings) as instance:
        first = brew(instance)
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as dagsters:
        assert dagsters.get_run_by_id(first).is_success
        second = brew(dagsters)
    with open_instance(settings) as instance:
        assert instance.get_run_by_id(second).is_success
        assert instance.fetch_materializations(TEA, limit=10).records


def test_an_engine_is_made_once_for_each_file(settings, engines):
    with open_instance(settings) as instance:
        brew(instance)
    engines.clear()
    with open_instance(settings) as instance:
        run_id = brew(instance)
        instance.get_latest_materialization_event(TEA)

    (of_the_run,) = engines
    assert of_the_run.endswith(f"{run_id}.db")


def test_migrations_are_read_once_a_process(settings, monkeypatch):
    with open_instance(settings) as instance:
        run_id = brew(instance)

    def read_again(*_):
        raise AssertionError("migrations are read again")

    monkeypatch.setattr("alembic.script.ScriptDirectory.from_config", read_again)
    with open_instance(settings) as instance:
        assert instance.all_logs(run_id)
        assert instance.all_instigator_state() == []


def test_a_home_that_was_emptied_is_made_anew(settings, tmp_path):
    with open_instance(settings) as instance:
        brew(instance)
    shutil.rmtree(tmp_path / "dagster")
    with open_instance(settings) as instance:
        assert instance.get_runs() == []
        brew(instance)
        assert instance.get_materialized_partitions(TEA)
