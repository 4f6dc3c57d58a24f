"""Fine-tunes the query tower of a release on recent days. Runs in the models environment.

Started through Dagster Pipes as `python -m recsys_assets.retraining.query_tower`.

The item tower is frozen: it gives the embeddings that the queries learn to be near to, and is
copied byte for byte. So new items need no training: their content, category and activity go through
the same tower as ever. New users get rows of their own. The item tower takes part as the base's
ONNX file, so nothing can train it.
"""

import hashlib
import shutil
from collections.abc import Collection
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_assets.features.encoding import UNKNOWN
from recsys_assets.models import examples as drawing
from recsys_assets.models import two_tower
from recsys_assets.models.examples import Examples, example_weights, snapshot_moments
from recsys_assets.models.hyperparameters import QueryTowerTuning, TwoTowerParameters
from recsys_assets.models.merlin import export_onnx, largest_difference, read_weights, write_weights
from recsys_assets.models.purchase_counts import PurchaseCountHistory, PurchaseCounts, Purchases
from recsys_assets.models.towers import ITEM_TOWER, ItemTower
from recsys_assets.models.training import (
    Channel,
    EpochReport,
    be_repeatable,
    publish,
    write_metrics,
)
from recsys_assets.models.training_data import TrainingData, load_training_data
from recsys_assets.models.two_tower_training import SAMPLE_QUERIES
from recsys_assets.retraining.base import Base, ReplaySample, draw_replay_sample, grown, recent_from
from recsys_assets.storage import Store

if TYPE_CHECKING:
    from dagster_pipes import PipesContext

QUERY_TOWER = "query_tower.onnx"
_CHECKED_ROWS = 256
_SAMPLE = 512
_RAREST = 1e-9  # added to shares, so that those of items never drawn have a logarithm
_NEVER = -1e9  # logit of what is no negative


class FrozenTowerChanged(RuntimeError):
    """A fine-tune has touched what it must not."""


def tune(
    data: TrainingData, base: Base, tuning: QueryTowerTuning, folder: Path, channel: Channel
) -> dict[str, Any]:
    """Fine-tunes and writes the files of a `two_tower`; returns what `metrics.json` holds.

    Raises:
        ExportDiffers: the model does not start where the base ended, or its export differs.
        FrozenTowerChanged: the item tower is not the base's, bit for bit.
        UnusableBase: the base was built otherwise.
    """
    be_repeatable(tuning.seed)
    trainer = QueryTowerTrainer(data, base, tuning)
    known_users = base.encoding.query.cardinalities["user_id"]
    start = trainer.difference_from(base.folder / QUERY_TOWER, known_users)
    report = EpochReport(channel)
    for rows in trainer.span.passes:
        report.add({"loss": trainer.run_pass(rows)})
    difference = trainer.save(folder)
    figures = {
        "base_release": base.release,
        "trained_through": data.through,
        "recent_examples": trainer.span.recent,
        "replayed_examples": trainer.span.replayed,
        "new_users": trainer.new_users,
        "start_difference": start,
        "onnx_difference": difference,
        "item_tower_sha256": prove_frozen(base.folder, folder, trainer.positions),
        "parameters": base.parameters,
        "tuning": asdict(tuning),
    }
    return write_metrics(folder, report, trainer.tower.get_weights(), figures)


def prove_frozen(base: Path, folder: Path, trained: Collection[int]) -> str:
    """Compares what must not have changed; returns the SHA-256 of the exported item tower.

    Args:
        base: files of the base.
        folder: files of the fine-tuned model.
        trained: positions of the weights that were to be trained.

    Raises:
        FrozenTowerChanged: a bit of the exported item tower, or of another weight, differs.
    """
    digests = [hashlib.sha256((f / ITEM_TOWER).read_bytes()).hexdigest() for f in (base, folder)]
    if digests[0] != digests[1]:
        raise FrozenTowerChanged(f"{ITEM_TOWER}: SHA-256 {digests[1]}, of the base {digests[0]}")
    before, after = read_weights(base / "weights.npz"), read_weights(folder / "weights.npz")
    for position in range(len(before)):
        if position in trained:
            continue
        if before[position].tobytes() != after[position].tobytes():
            raise FrozenTowerChanged(f"weight {position} of weights.npz differs from the base's")
    return digests[0]


def _train(pipes: "PipesContext", store: Store, folder: Path) -> None:
    through = pipes.get_extra("through")
    base = Base.load(store, pipes.get_extra("base_release"), "two_tower", through)
    tuning = QueryTowerTuning(**pipes.get_extra("parameters"))
    tune(load_training_data(store, through), base, tuning, folder, pipes)


def main() -> None:
    """Entry point; extras: `through`, `base_release`, `parameters`."""
    publish(_train)


class QueryTowerTrainer:
    """The base's query tower with room for new users, and the examples it learns from."""

    def __init__(self, data: TrainingData, base: Base, tuning: QueryTowerTuning) -> None:
        self.data, self.base, self.tuning = data, base, tuning
        self.parameters = TwoTowerParameters(**base.parameters)
        self.random = np.random.default_rng(tuning.seed)
        users = data.examples.user["user_id"]
        query = base.encoding.query.extended({"user_id": users})
        self.encoding = replace(base.encoding, query=query)
        weights = example_weights(
            data.examples, self.parameters.half_life_days, self.parameters.household_power
        )
        since = recent_from(base.trained_through, data.through, tuning.recent_days)
        self.span: ReplaySample = draw_replay_sample(
            data.examples, weights, since, tuning, self.random
        )
        self.item_tower = ItemTower(base.folder)
        self.catalogue = drawing.encode_catalogue(self.encoding, data.history, data.text)
        self.purchases = Purchases.from_table(data.purchases, self.encoding, data.history)
        self.purchase_counts = PurchaseCountHistory(self.purchases)
        self.queries = drawing.encode_queries(self.encoding, self.span.examples)
        self.log_drawn = self._log_drawn()
        self._build()

    @property
    def new_users(self) -> int:
        """Users that the base has no row for."""
        sizes = (e.query.cardinalities["user_id"] for e in (self.encoding, self.base.encoding))
        after, before = sizes
        return after - before

    def _log_drawn(self) -> np.ndarray:
        """Log of the share of the examples that each item is expected to have, float32 [items]."""
        items = self.data.examples.item
        share = np.bincount(items, self.span.share, minlength=len(self.catalogue.ids))
        return np.log(share + _RAREST).astype(np.float32)

    def _build(self) -> None:
        """Builds the query tower with the base's weights, and the function of one step."""
        import tensorflow as tf

        model = two_tower.build(
            self.encoding, np.ones(len(self.catalogue.ids) + 1), self.parameters
        )
        some = self.requests(self.span.examples.take(np.arange(1)))
        model.query_encoder(some)
        model.candidate_encoder(self._one_item())
        self.tower = model.query_encoder
        position = {id(weight): n for n, weight in enumerate(model.weights)}
        self.positions = [position[id(weight)] for weight in self.tower.weights]
        shapes = [tuple(weight.shape) for weight in self.tower.weights]
        stored = [self.base.weights[n] for n in self.positions]
        self.tower.set_weights(grown(stored, shapes))
        steps = sum(len(rows) // self.parameters.batch_size or 1 for rows in self.span.passes)
        rate = tf.keras.optimizers.schedules.CosineDecay(self.tuning.learning_rate, steps)
        self.optimizer = tf.keras.optimizers.Adam(rate)
        self.step = tf.function(self._step, autograph=False)

    def _one_item(self) -> dict[str, np.ndarray]:
        width = self.encoding.item.dense_width
        return two_tower.item_features(
            self.encoding,
            self.catalogue.ids[:1],
            np.zeros((1, width), np.float32),
            self.catalogue.text[:1],
        )

    def _step(self, features: dict[str, Any], vectors: Any, items: Any, log_drawn: Any) -> Any:
        """In-batch sampled softmax with popularity correction, as the towers were trained by.

        Args:
            features: of the query tower.
            vectors: float32 [n, d], embeddings of the items bought.
            items: int32 [n], their rows.
            log_drawn: float32 [n], how often each is drawn.
        """
        import tensorflow as tf

        with tf.GradientTape() as tape:
            queries = self.tower(features, training=True)
            similar = tf.matmul(queries, vectors, transpose_b=True)
            logits = similar / self.parameters.temperature - log_drawn[None, :]
            same = tf.equal(items[:, None], items[None, :])
            same = tf.linalg.set_diag(same, tf.zeros_like(items, tf.bool))
            logits = tf.where(same, _NEVER, logits)
            each = tf.nn.sparse_softmax_cross_entropy_with_logits(
                labels=tf.range(tf.shape(items)[0]), logits=logits
            )
            loss = tf.reduce_mean(each) + tf.add_n([*self.tower.losses, 0.0])
        weights = self.tower.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return loss

    def run_pass(self, rows: np.ndarray) -> float:
        """One pass over examples by their numbers; returns the mean loss."""
        masks = drawing.Masks(
            self.parameters.mask_id, self.parameters.mask_attribute, self.parameters.mask_user
        )
        losses = []
        for part in drawing.batches(rows, self.parameters.batch_size):
            asked = drawing.mask_queries(self.queries, part, self.encoding, masks, self.random)
            items = self.span.examples.item[part]
            moments = snapshot_moments(
                self.span.examples.timestamp[part],
                self.random,
                self.parameters.max_snapshot_age_days,
            )
            features = two_tower.query_features(
                self.encoding,
                asked.ids,
                asked.dense,
                self.purchase_counts.profiles(asked.user, moments),
            )
            vectors = self._embed_items(items, moments, self.span.examples.timestamp[part])
            losses.append(
                self.step(features, vectors, items.astype(np.int32), self.log_drawn[items])
            )
        return float(np.mean([loss.numpy() for loss in losses]))

    def _embed_items(
        self, items: np.ndarray, moments: np.ndarray, timestamps: np.ndarray
    ) -> np.ndarray:
        """Embeddings by the frozen tower, of what was known at the moments: float32 [n, d]."""
        numbers = drawing.encode_items(
            self.encoding, self.data.history, items, moments, moments, timestamps
        )
        ids, text = self.catalogue.ids[items], self.catalogue.text[items]
        return self.item_tower.embed_encoded(ids, numbers, text)

    def requests(self, examples: Examples) -> dict[str, np.ndarray]:
        """Inputs of the tower for the request side of examples, nothing hidden."""
        asked = drawing.encode_queries(self.encoding, examples)
        user = asked.ids[:, 0].astype(np.int64)
        profiles = self.purchase_counts.profiles(user, examples.timestamp)
        return two_tower.query_features(self.encoding, asked.ids, asked.dense, profiles)

    def difference_from(self, file: Path, known_users: int) -> float:
        """Largest difference of an exported tower from the model as it is now.

        Args:
            file: the exported tower.
            known_users: rows of its table of users; later ones are the unknown row to it.
        """
        newest = self.span.examples.take(np.arange(len(self.span.examples))[-_CHECKED_ROWS:])
        asked = self.requests(newest)
        names = self.encoding.query.vocabularies
        ids = np.hstack([asked[name] for name in names])
        ids[:, 0] = np.where(ids[:, 0] < known_users, ids[:, 0], UNKNOWN)
        vectors = (asked[name] for name in two_tower.QUERY_VECTORS)
        feeds = dict(zip(("numbers", "profile"), vectors, strict=True))
        return largest_difference(file, self.tower(asked).numpy(), {"ids": ids, **feeds})

    def save(self, folder: Path) -> float:
        """Writes the files of the artifact `two_tower`; returns ONNX's largest difference."""
        self.encoding.save(folder / "encoding.json")
        PurchaseCounts.of(self.purchases).save(folder)
        shutil.copyfile(self.base.folder / ITEM_TOWER, folder / ITEM_TOWER)
        weights = list(self.base.weights)
        for position, trained in zip(self.positions, self.tower.get_weights(), strict=True):
            weights[position] = trained
        write_weights(weights, folder / "weights.npz")
        query = self.encoding.query
        export_onnx(
            lambda i, d, p: self.tower(two_tower.query_features(self.encoding, i, d, p)),
            [
                ("ids", np.int32, len(query.vocabularies)),
                ("numbers", np.float32, query.dense_width),
                ("profile", np.float32, self.purchase_counts.profile_width),
            ],
            folder / QUERY_TOWER,
        )
        newest = self.span.examples.take(np.arange(len(self.span.examples))[-_SAMPLE:])
        np.save(folder / SAMPLE_QUERIES, self.tower(self.requests(newest)).numpy())
        return self.difference_from(folder / QUERY_TOWER, query.cardinalities["user_id"])


if __name__ == "__main__":
    main()
