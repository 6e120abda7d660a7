"""The forward pass on a GPU: padded steps, captured whole, over KV and block tables that stay on
the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reference_engine import kernels
from reference_engine.batch import StepBatch, Tables
from reference_engine.gpu import budget
from reference_engine.gpu.device import DTYPES, refused
from reference_engine.gpu.fill_inputs import fill
from reference_engine.gpu.graphs import CudaRecorder, Graphs, Recorder
from reference_engine.gpu.network import GpuNetwork, Results
from reference_engine.gpu.pool import DevicePool
from reference_engine.gpu.readback import Readback, StepTokens
from reference_engine.gpu.shapes import BatchKind, StepShape, decode_shapes, shape_of
from reference_engine.gpu.staging import Staging
from reference_engine.gpu.tables import ChangingTables
from reference_engine.kernels import Ops
from reference_engine.model import Model
from reference_engine.runner import Outcome
from reference_engine.slots import Copy

RECORDED_ROWS = 1024
"""Steps of more rows are bound by arithmetic, not by launches, and are not captured."""
NODES = 64
"""The largest tree of guesses, node 0 included."""


@dataclass(frozen=True, slots=True)
class DeviceOutcome(Outcome):
    """An `Outcome` on the device. said: the likeliest token of each row, on its way to the host."""

    said: StepTokens

    def likeliest(self) -> list[int]:
        return self.said.read()


class GpuRunner:
    """Runs a model whose weights are on a CUDA device. See `reference_engine.runner.Runner`.

    A token −(r + 1) in a batch stands for the likeliest token of row r of the outcome before,
    whether or not the host has read it yet. notes: what does not work as it should, in sentences.
    """

    def __init__(
        self,
        model: Model,
        *,
        num_blocks: int,
        block_size: int,
        seats: int,
        width: int,
        ops: Ops | None = None,
        recorder: Recorder[Results] | None = None,
    ) -> None:
        """`ops`, `recorder`: None takes what the device has.

        Raises ValueError, in one sentence: no such device, another dtype, a pool that does not fit.
        """
        self.model, self.device, self.block_size = model, model.device, block_size
        _check(model, num_blocks, block_size)
        self._ops = ops or kernels.ops(self.device)
        if recorder is None and self._ops.capturable:
            recorder = CudaRecorder(self.device)
        self._graphs = Graphs[Results](recorder, self._ops.why)
        self._changing = ChangingTables(seats, width)
        self.tables: Tables = self._changing
        self.pool = DevicePool(model.config, num_blocks, block_size, self.device, model.dtype)
        self._seats = seats
        self._tables = self._changing.tensor.to(self.device, copy=True)
        said = torch.zeros(seats * NODES, dtype=torch.int64, device=self.device)
        self._readback = Readback(said)
        self._network = GpuNetwork(model, self.pool, self._tables, self._ops, said)
        self._stagings: dict[StepShape, Staging] = {}
        self._masks: dict[int, tuple[Tensor, Tensor]] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """What does not work as it should; empty when all is well."""
        return tuple(note for note in (self._graphs.why,) if note)

    def copy(self, copies: Sequence[Copy]) -> None:
        """Copy whole blocks, in order."""
        if copies:
            self.pool.copy(copies)

    def move(self, source: Sequence[int], target: Sequence[int]) -> None:
        """Copy the KV of slots `source` to slots `target`, all at once."""
        if source:
            self.pool.move(source, target)

    @torch.inference_mode()
    def forward(self, batch: StepBatch) -> DeviceOutcome:
        """Store the KV of every row of the batch, let each row attend to its request's KV up to
        itself."""
        shape = shape_of(batch, self._seats)
        if shape.size.wanted > self._seats * NODES:
            raise ValueError(
                f"a tree of {shape.nodes} nodes is larger than the {NODES} that the runner has room for"
            )
        staging = self._staging(shape)
        if len(self._changing.changed) > shape.size.patches:
            self._tables.copy_(self._changing.tensor)
            self._changing.changed.clear()
        fill(staging.host, batch, shape, self._changing, self.block_size)
        staging.send()
        results = self._run(shape, staging, self._mask(batch, shape))
        return self._outcome(batch, shape, results)

    @torch.inference_mode()
    def prepare(self) -> int:
        """Capture every decode step now, rather than when it is first needed; how many are
        captured."""
        for shape in decode_shapes(self._seats):
            staging = self._staging(shape)
            for _ in range(2):
                staging.host.where[:] = -1
                staging.send()
                self._run(shape, staging, None)
        return self._graphs.count

    def _run(self, shape: StepShape, staging: Staging, mask: Tensor | None) -> Results:
        def step() -> Results:
            return self._network.run(staging.device, shape, mask)

        return self._graphs.run(shape, step, record=shape.size.rows <= RECORDED_ROWS)

    def _outcome(self, batch: StepBatch, shape: StepShape, results: Results) -> DeviceOutcome:
        """The rows that were asked for, without the padding."""
        wants = [span.wanted for span in batch.spans]
        count = sum(wants)
        if shape.kind is BatchKind.DECODE and count < len(wants):
            wanting = [row for row, wanted in enumerate(wants) if wanted]
            rows = torch.tensor(wanting, dtype=torch.int64, device=self.device)  # [wanting]
            said = self._readback.send(len(wants)).at(wanting)
            # hidden [wanting, width], logits [wanting, vocabulary]
            return DeviceOutcome(results.hidden[rows], results.logits[rows], said)
        # hidden [count, width], logits [count, vocabulary]
        return DeviceOutcome(
            results.hidden[:count], results.logits[:count], self._readback.send(count)
        )

    def _staging(self, shape: StepShape) -> Staging:
        if shape not in self._stagings:
            self._stagings[shape] = Staging(shape.size, self.device)
        return self._stagings[shape]

    def _mask(self, batch: StepBatch, shape: StepShape) -> Tensor | None:
        """The tree's mask in the buffer that steps with trees of this size read."""
        if not shape.nodes or batch.mask is None:
            return None
        if shape.nodes not in self._masks:
            # [nodes, nodes]
            self._masks[shape.nodes] = (
                batch.mask,
                batch.mask.to(self.device, copy=True).contiguous(),
            )
        source, buffer = self._masks[shape.nodes]
        if source is not batch.mask:
            buffer.copy_(batch.mask)
            self._masks[shape.nodes] = (batch.mask, buffer)
        return buffer


def _check(model: Model, num_blocks: int, block_size: int) -> None:
    if model.dtype not in DTYPES:
        raise ValueError(
            f"the GPU runner computes in fp32 or bf16, not {str(model.dtype).removeprefix('torch.')}"
        )
    refusal = refused(model.device)
    if refusal:
        raise ValueError(refusal)
    if model.device.type == "cuda":
        free = budget.free_bytes(model.device)
        budget.check_pool(free, num_blocks, model.config, block_size, model.dtype)
