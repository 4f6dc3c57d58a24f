"""A lock in the online store that one process holds for as long as it lives and works.

A lease ends by itself, so that a killed holder is in nobody's way for long. A slow one renews it
while it works, however long that takes.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import redis
from redis.exceptions import LockNotOwnedError
from redis.lock import Lock

from recsys_assets.runtime.waiting import WaitedTooLong


class LeaseLost(RuntimeError):
    """This process stood still for longer than its lease: another may hold the lock by now."""


@dataclass(frozen=True)
class Lease:
    """A lock that is held, free `seconds` after it was renewed last."""

    lock: Lock
    seconds: float
    _over: threading.Event = field(default_factory=threading.Event)

    def require(self) -> None:
        """Renews it; to be called before each step that lasts.

        Raises:
            LeaseLost: it is held no more.
        """
        try:
            self.lock.reacquire()
        except LockNotOwnedError as error:
            name, seconds = self.lock.name, self.seconds
            raise LeaseLost(f"{name!r} was lost after {seconds:g} s of standing still") from error

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Renews it now and then, and gives it back in the end."""
        thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
            if self.lock.owned():
                self.lock.release()

    def _renew(self) -> None:
        while not self._over.wait(self.seconds / 4):
            try:
                self.lock.reacquire()
            except LockNotOwnedError:
                return  # its holder is told at the next step
            except (redis.ConnectionError, redis.TimeoutError):
                continue  # the store may be back before the lease is over


@contextmanager
def held(client: redis.Redis, name: str, seconds: float, wait_seconds: float) -> Iterator[Lease]:
    """Holds a lock.

    Args:
        client: of the store.
        name: key of the lock.
        seconds: after which the lock of a holder that was killed, or stands still, is free.
        wait_seconds: how long another holder is waited for.

    Raises:
        WaitedTooLong: another one holds it.
    """
    # The thread that renews it must know its token.
    lock = client.lock(name, timeout=seconds, blocking_timeout=wait_seconds, thread_local=False)
    if not lock.acquire():
        raise WaitedTooLong(f"the lock {name} of another run", wait_seconds)
    lease = Lease(lock, seconds)
    with lease.renewed():
        yield lease
