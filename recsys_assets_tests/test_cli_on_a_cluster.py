"""What starts its own services does not do so beside those of a cluster."""

import pytest

from recsys_assets.cli import INSTEAD, main, require_possible
from recsys_assets.settings import InvalidSetting, load_settings
from recsys_assets_tests.defs.deployment.eks import SETTINGS


@pytest.mark.parametrize("command", INSTEAD)
def test_a_command_for_one_machine_names_what_to_do_in_a_cluster(command):
    assert command in main.commands
    require_possible(load_settings({}), command)
    with pytest.raises(InvalidSetting, match=f"RECSYS_DEPLOYMENT='eks'.*`recsys {command}`"):
        require_possible(SETTINGS, command)


@pytest.mark.parametrize("command", ["promote", "rollback", "releases", "recommend", None])
def test_all_else_works_everywhere(command):
    require_possible(SETTINGS, command)
