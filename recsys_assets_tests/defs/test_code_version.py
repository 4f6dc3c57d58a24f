import pytest

from recsys_assets.defs import code_version as module
from recsys_assets.defs.code_version import code_version

ASSET = "features.asset"
BEHAVIOUR = "def f():\n    return 1\n"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of that name whose modules a test writes."""
    monkeypatch.setattr(module, "_ROOT", tmp_path)

    def write(sources):
        for name, source in sources.items():
            file = (tmp_path / "recsys_assets").joinpath(*name.split(".")).with_suffix(".py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source)
        for cached in (module._read, module._file):
            cached.cache_clear()

    yield write
    write({})


def version():
    return code_version(f"recsys_assets.{ASSET}")


@pytest.mark.parametrize(
    "source",
    [
        f"# why\n{BEHAVIOUR}",
        f'"""What it is."""\n\n\n{BEHAVIOUR}',
        'def f():\n    """What it does."""\n\n    return 1  # one\n',
    ],
    ids=["comment", "docstring", "layout"],
)
def test_what_computes_nothing_changes_nothing(package, source):
    package({ASSET: BEHAVIOUR})
    before = version()
    package({ASSET: source})

    assert version() == before


@pytest.mark.parametrize("changed", ["return 2", "return '1'", "return 1 + 0"])
def test_behaviour_is_the_version(package, changed):
    package({ASSET: BEHAVIOUR})
    before = version()
    package({ASSET: BEHAVIOUR.replace("return 1", changed)})

    assert version() != before


@pytest.mark.parametrize(
    "statement",
    [
        "from recsys_assets.features.rules import RULE",
        "from recsys_assets.features import rules",
        "import recsys_assets.features.rules",
        "def f():\n    from recsys_assets.features.rules import RULE",
    ],
)
def test_what_a_module_imports_counts_too(package, statement):
    package({ASSET: statement, "features.rules": "from recsys_assets.deep import DEPTH"})
    package({"deep": "DEPTH = 1", "features.__init__": ""})
    before = version()
    package({"deep": "DEPTH = 2"})

    assert version() != before


def test_what_only_carries_values_does_not_count(package):
    package({ASSET: "from recsys_assets.storage import Store", "storage": "A = 1"})
    before = version()
    package({"storage": "A = 2"})

    assert version() == before


def test_the_rule_of_days_counts(package):
    package({ASSET: "from recsys_assets.settings.days import VALIDATION_DAYS"})
    package({"settings.days": "VALIDATION_DAYS = 7"})
    before = version()
    package({"settings.days": "VALIDATION_DAYS = 14"})

    assert version() != before


def test_a_module_that_is_not_there_is_named(package):
    with pytest.raises(FileNotFoundError, match=r"recsys_assets\.features\.asset"):
        version()
