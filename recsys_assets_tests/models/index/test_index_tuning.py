import pytest

from recsys_assets.models.index import index_kinds, index_tuning
from recsys_assets.models.index.index_kinds import IndexParameters
from recsys_assets.models.index.index_tuning import Measured, NoIndexFits, Tuning
from recsys_assets.storage import Store
from recsys_assets.storage.store import MissingArtifact
from recsys_assets_tests.models.index.test_index import unit_vectors

MIB = 2**20


def measured(kind, recall, cpu_ms, mib, effort=0):
    times = (cpu_ms,) * 4
    return Measured(
        IndexParameters(kind, effort),
        recall,
        recall - 0.001,
        *times,
        bytes=mib * MIB,
        build_seconds=1,
    )


FLAT = measured("flat", 1.0, 5.0, 23)
GRAPH = measured("hnsw", 0.99, 0.10, 37, effort=300)
SMALL_GRAPH = measured("hnswsq8", 0.985, 0.105, 19, effort=300)
QUICK = measured("ivfpq", 0.95, 0.03, 4, effort=16)
ALL = [FLAT, GRAPH, SMALL_GRAPH, QUICK]


def test_of_those_that_cost_alike_the_smallest_is_chosen():
    assert index_tuning.choose(ALL, Tuning()) == SMALL_GRAPH
    assert index_tuning.choose([FLAT, GRAPH], Tuning()) == GRAPH


def test_the_target_decides_what_may_be_chosen():
    assert index_tuning.choose(ALL, Tuning(recall_target=0.94)) == QUICK
    assert index_tuning.choose(ALL, Tuning(recall_target=0.999)) == FLAT


def test_the_target_holds_for_the_lower_limit_of_recall():
    assert index_tuning.choose(ALL, Tuning(recall_target=0.985)) == GRAPH


def test_the_memory_limit_leaves_out_what_is_larger():
    assert index_tuning.choose([FLAT, GRAPH], Tuning(memory_limit_mib=30)) == FLAT


def test_where_nothing_fits_the_nearest_is_named():
    with pytest.raises(NoIndexFits, match=r"recall_target=0\.98 .*memory_limit_mib=10.*ivfpq"):
        index_tuning.choose(ALL, Tuning(memory_limit_mib=10))


def test_every_configuration_is_measured_on_real_vectors():
    vectors, queries = unit_vectors(1200), unit_vectors(20, seed=1)

    found = index_tuning.measure(vectors, queries, Tuning(k=100, searches=3), lambda line: None)

    assert {one.parameters.kind for one in found} == set(index_kinds.KINDS)
    assert all(one.bytes > 0 and one.p50_ms > 0 for one in found)
    assert all(one.recall_low <= one.recall_at_100 <= 1 for one in found)
    exact = [one for one in found if one.parameters.kind == "flat"]
    assert [one.recall_at_100 for one in exact] == [1.0]
    assert all(one.parameters.effort >= 100 for one in found if "hnsw" in one.parameters.kind)


def test_the_same_configuration_has_the_same_recall_every_time():
    vectors, queries = unit_vectors(400), unit_vectors(10, seed=1)
    tuning = Tuning(k=100, searches=1)

    runs = [index_tuning.measure(vectors, queries, tuning, lambda line: None) for _ in range(2)]

    first, second = ([one.recall_at_100 for one in run] for run in runs)
    assert first == second


def test_a_catalogue_too_small_for_lists_is_measured_without_them():
    kinds = {parameters.kind for parameters in index_tuning.configurations(60)}

    assert kinds == {"flat", "hnsw", "hnswsq8"}


def test_the_index_is_built_as_chosen(tmp_path):
    store = Store(tmp_path.as_uri())
    with store.artifact("index_tuning").new_version() as draft:
        index_tuning.write_tuning(draft.path, Tuning(), ALL, SMALL_GRAPH)

    assert index_tuning.parameters_for(store, "auto", 2000) == SMALL_GRAPH.parameters
    assert index_tuning.parameters_for(store, "hnsw", 2000).links == 32
    assert index_tuning.read_tuning(store.artifact("index_tuning").fetch()) == (SMALL_GRAPH, ALL)


def test_without_a_tuning_auto_says_what_is_missing(tmp_path):
    with pytest.raises(MissingArtifact, match=r"index_tuning.*materialize it first"):
        index_tuning.parameters_for(Store(tmp_path.as_uri()), "auto", 2000)


def test_a_catalogue_that_has_shrunk_below_the_chosen_lists_says_what_to_do():
    with pytest.raises(ValueError, match="materialize index_tuning again"):
        index_kinds.build(unit_vectors(50), IndexParameters("ivfsq8", effort=8, lists=64))
