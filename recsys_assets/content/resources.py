"""The text encoder of a deployment, as a Dagster resource that tests replace."""

from pathlib import Path
from typing import Self

import dagster as dg

from recsys_assets.content.encoder import Encoder
from recsys_assets.settings import Settings


class TextEncoderResource(dg.ConfigurableResource):
    """Sentence-BERT with its weights under `packaged_data`; resource key `text_encoder`."""

    packaged_data: str
    threads: int = 2

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The encoder of a deployment."""
        return cls(packaged_data=str(settings.packaged_data))

    def get(self) -> Encoder:
        """Loads the encoder.

        Raises:
            MissingWeights: its files are not there.
        """
        from recsys_assets.content.sentence_bert import SentenceBert

        return SentenceBert(Path(self.packaged_data), self.threads)
