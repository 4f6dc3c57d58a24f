"""Traffic, answers and clients that are made up."""

import threading

import numpy as np
from tritonclient.utils import InferenceServerException

from recsys_assets.releases.offline import Sessions
from recsys_assets.triton.client import Recommendation
from replay.load import Answer
from replay.traffic import DayTraffic, Request

MIDNIGHT = 1_506_816_000  # 2017-10-01
DAY = 86_400


def traffic(count: int, day: str = "2017-10-01", start: int = MIDNIGHT) -> DayTraffic:
    """So many sessions, of user 0, 1 and so on, a second apart."""
    users = np.array([f"user-{n}" for n in range(count)], dtype=object)
    devices = np.array(["web"] * count, dtype=object)
    return DayTraffic(day, Sessions(users, start + np.arange(count), devices, {}))


def answer(session: int = 0, *, sent: float = 0.0, received: float = 0.0, **values) -> Answer:
    request = Request(f"id-{session}", f"user-{session}", MIDNIGHT + session, "web", session)
    return Answer(request, sent, sent, received, **values)


class Shop:
    """A server, seen through its clients: it answers, refuses, or lets everybody wait."""

    def __init__(self, refuses: bool = False) -> None:
        self.asked: list[str] = []
        self.open = threading.Event()
        self.open.set()
        self._refuses = refuses

    def client(self, address: str) -> "Client":
        return Client(self)

    def ask(self, request_id: str) -> Recommendation:
        self.asked.append(request_id)
        self.open.wait()
        if self._refuses:
            raise InferenceServerException("the ranker is dead")
        return Recommendation(["milk"], [0.5], 7, False, request_id)


class Client:
    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    def recommend(self, user_id, timestamp, device="", k=10, request_id=None):
        return self._shop.ask(request_id)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None
