"""PUT /v1/items: what is sold out, is back or is withdrawn, between two releases.

`PUT /v1/items/{item_id}` takes an object of what changes, and answers how the item is:

    {"available": false}
    {"item_id": "tea", "available": false, "withdrawn": false, "since": "2026-12-01T09:30:00+00:00"}

`GET /v1/items/{item_id}` answers the same. `since` is null of an item that is as released.
`PUT /v1/items` takes an array of such objects with their `item_id`, and says of each what became of
it:

    {"accepted": 1, "refused": 1, "items": [
        {"item_id": "tea", "accepted": true},
        {"item_id": "soap", "accepted": false, "reason": "unusable_available",
         "detail": "available is 'no': give true or false"}]}

| field | meaning |
|---|---|
| `available` | false: sold out, shown in no slate until it is true again |
| `withdrawn` | true: taken off the shelves, shown in no slate whether or not it is available |

Fields that are not given stay as they are; the last change to be acknowledged holds. An item
that no release knows yet is remembered for the one that will.

| status | when |
|---|---|
| 200 | all is accepted: durable in the online store, in effect on every server within a second |
| 207 | some items are |
| 422 | none is; or the body is no change, as `detail` says |
| 401, 408, 413 | no token, or a wrong one; the body comes too slowly; it is too large |
| 503 | none is known to be: the store is away, full or busy; again after `Retry-After` seconds |
"""

from collections import Counter
from collections.abc import Sequence

import prometheus_client
from fastapi import FastAPI, HTTPException, Request, Response

from recsys_assets.pipeline.item_changes import ItemChanges
from recsys_assets.storage.online_store import STORE_ERRORS
from recsys_assets.storefront.bodies import Bodies, verdicts
from recsys_assets.storefront.item_intake import ItemIntake, ItemVerdict
from recsys_assets.storefront.web import as_json

ITEMS_PATH = "/v1/items"
ITEM_PATH = f"{ITEMS_PATH}/{{item_id:path}}"  # an id may hold slashes


class ItemMetrics:
    """What is told of changes beside the figures of HTTP."""

    def __init__(self, registry: prometheus_client.CollectorRegistry, changes: ItemChanges) -> None:
        self._accepted = prometheus_client.Counter(
            "recsys_item_changes_accepted", "Changes accepted", ["field"], registry=registry
        )
        self._refused = prometheus_client.Counter(
            "recsys_item_changes_refused", "Changes refused", ["reason"], registry=registry
        )

        def told() -> float:
            try:
                return changes.count()
            except STORE_ERRORS:
                return float("nan")

        prometheus_client.Gauge(
            "recsys_items_departing", "Items that are not as released", registry=registry
        ).set_function(told)

    def count(self, judged: Sequence[ItemVerdict]) -> None:
        """Counts what has been answered, by what is changed or by why it is not."""
        for field, count in Counter(field for one in judged for field in one.change).items():
            self._accepted.labels(field).inc(count)
        for reason, count in Counter(one.reason for one in judged if one.reason).items():
            self._refused.labels(reason).inc(count)


def add_item_routes(
    app: FastAPI, bodies: Bodies, intake: ItemIntake, registry: prometheus_client.CollectorRegistry
) -> None:
    """Adds the routes to an application.

    Args:
        app: of `web.Service.app`.
        bodies: bounds that hold for all routes of the application together.
        intake: of the application's store.
        registry: of the service.
    """
    metrics = ItemMetrics(registry, intake.changes)

    async def put_one(request: Request) -> Response:
        item_id = request.path_params["item_id"]
        judged, state = await bodies.taken(
            request, intake.limits.most_bytes, lambda body: intake.take_one(item_id, body)
        )
        metrics.count([judged])
        if judged.reason:
            raise HTTPException(422, judged.detail)
        return as_json(state)

    async def get_one(request: Request) -> Response:
        item_id = request.path_params["item_id"]
        return as_json(await bodies.worked_on(lambda: intake.state_of(item_id)))

    async def put_many(request: Request) -> Response:
        judged = await bodies.taken(request, intake.limits.most_bytes, intake.take_many)
        metrics.count(judged)
        return verdicts("items", [one.as_answer() for one in judged], whole=200)

    app.add_api_route(ITEMS_PATH, put_many, methods=["PUT"])
    app.add_api_route(ITEM_PATH, put_one, methods=["PUT"])
    app.add_api_route(ITEM_PATH, get_one, methods=["GET"])
