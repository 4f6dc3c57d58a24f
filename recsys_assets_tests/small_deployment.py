"""A deployment of its own over a small shop of its own, run by the command line as a user does."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from recsys_assets_tests.shop import write_shop

RECSYS = [sys.executable, "-W", "ignore", "-c", "from recsys_assets.cli import main; main()"]

REPLAY = [sys.executable, "-W", "ignore", "-m", "replay"]

# The shop changes on the first day that the initial release does not know. A fine-tune leaves the
# three newest labelled days to the gate, so the replay begins some days later.
TODAY = "2025-03-08"
REPLAYED = ("2025-03-12", "2025-03-13")
_DAYS = 73
_SHIFT = 66
USERS = 720  # a third of them comes every day


class SmallDeployment:
    """Environment, folder, and commands."""

    def __init__(self, folder: Path, free_port: Callable[[], int]) -> None:
        write_shop(folder / "shop", users=USERS, items=800, days=_DAYS, shift_day=_SHIFT)
        self.home = folder / "home"
        online, http, grpc, metrics = (free_port() for _ in range(4))
        self.online_store_url = f"redis://127.0.0.1:{online}/0"
        self.environment = os.environ | {
            "RECSYS_HOME": str(self.home),
            "RECSYS_SOURCE": "parquet",
            "RECSYS_SOURCE_URL": str(folder / "shop"),
            "RECSYS_FIRST_DAY": "2025-01-01",
            "RECSYS_LAST_DAY": "2025-03-14",
            "RECSYS_TODAY": TODAY,
            "RECSYS_ONLINE_STORE_URL": self.online_store_url,
            "RECSYS_TRITON_HTTP": f"127.0.0.1:{http}",
            "RECSYS_TRITON_GRPC": f"127.0.0.1:{grpc}",
            "RECSYS_TRITON_METRICS": f"127.0.0.1:{metrics}",
        }

    def recsys(self, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Runs a command of `recsys` to its end."""
        return self.run([*RECSYS, *arguments], **variables)

    def run(self, command: list[str], **variables: str) -> "subprocess.CompletedProcess[str]":
        """Runs any command to its end."""
        return subprocess.run(
            command,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    def begin(self, log: Path, command: list[str], **variables: str) -> "subprocess.Popen[bytes]":
        """Starts a command whose output goes to a file."""
        with log.open("w") as output:
            return subprocess.Popen(
                command,
                env=self.environment | variables,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
