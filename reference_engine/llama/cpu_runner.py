"""The engine's runner on a CPU, in fp32; its KV in bf16 where that is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from reference_engine.batch import StepBatch, Tables
from reference_engine.kv_dtype import KVDtype
from reference_engine.llama.kv_pool import KVPool
from reference_engine.llama.thread_shard import PackedWeights
from reference_engine.llama.thread_shards import ThreadShards
from reference_engine.model import Model
from reference_engine.runner import Outcome
from reference_engine.slots import Copy


class CpuRunner:
    """Runs a model whose weights are on the CPU. See `reference_engine.runner.Runner`."""

    def __init__(
        self,
        model: Model,
        *,
        num_blocks: int,
        block_size: int,
        seats: int,
        width: int,
        kv_dtype: KVDtype = KVDtype.FP32,
    ) -> None:
        self.tables = Tables(seats, width)
        self.pool = KVPool(model.config, num_blocks, block_size, kv_dtype)
        self._shards = ThreadShards(PackedWeights.of(model), self.pool, self.tables)

    def copy(self, copies: Sequence[Copy]) -> None:
        """Copy whole blocks, in order."""
        self.pool.copy(copies)

    def move(self, source: Sequence[int], target: Sequence[int]) -> None:
        """Copy the KV of slots `source` to slots `target`, all at once."""
        self.pool.move(source, target)

    def forward(self, batch: StepBatch) -> Outcome:
        """Store the KV of every row of the batch, let each row attend to its request's KV up to
        itself."""
        return self._shards.forward(batch)
