"""llama.cpp through llama-cpp-python's low-level batch API: parallel sequences in one KV memory,
all in f32.

The checkpoint is written as GGUF first (`gguf_file.py`). Continuous batching is done here: in every
step one token of each running sequence, then as much of the waiting prompts as the batch holds. A
request is admitted when its whole length fits into what the others leave of the KV memory. With a
prefix cache, the sequence with the longest common beginning that is still in memory is shared
(`llama_memory_seq_cp`); finished ones stay until room is needed.
"""

import ctypes
import sys
import tempfile
from pathlib import Path
from typing import Any

import llama_cpp
import numpy

sys.path.insert(0, str(Path(__file__).resolve().parent))
import gguf_file  # type: ignore[import-not-found, unused-ignore]

FORMS = {"float32": "f32", "bfloat16": "bf16", "q8_0": "q8_0"}
BATCH = 512
ERROR = 4
"""The level of llama.cpp's log at which it gives up."""


class Sequence:
    """One sequence in memory. tokens: prompt and output; done: how many have KV; end: how many it
    will have at most.

    donor: whose cells its first `shared` tokens lie in; reserved: cells that are its own.
    """

    def __init__(self, slot: int, prompt: list[int], max_new: int, index: int) -> None:
        self.slot, self.tokens, self.index = slot, list(prompt), index
        self.prompt, self.done, self.end = len(prompt), 0, len(prompt) + max_new
        self.donor: Sequence | None = None
        self.shared = 0

    @property
    def reserved(self) -> int:
        """Cells of its own."""
        return self.end - self.shared

    @property
    def finished(self) -> bool:
        """It said everything."""
        return len(self.tokens) >= self.end


class LlamaCpp:
    """One model and one context."""

    def __init__(self, job: dict[str, Any]) -> None:
        if job["dtype"] not in FORMS:
            raise ValueError(f"this driver serves {', '.join(FORMS)}, not {job['dtype']}")
        self._job, self._form = job, FORMS[job["dtype"]]
        self._kv = "f32" if self._form == "f32" else "f16"
        self._complaints: list[str] = []
        self._quiet = llama_cpp.llama_log_callback(self._hear)  # kept alive: C calls it
        llama_cpp.llama_log_set(self._quiet, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.gguf"
            self._size = gguf_file.write(Path(job["model"]), path, form=self._form)
            self._model = self._load(path, job)
        self._context = self._open(job)
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))
        self._batch = llama_cpp.llama_batch_init(self._width, 0, 1)
        self._running: list[Sequence] = []
        self._kept: list[Sequence] = []
        self.version = llama_cpp.__version__
        self.flags = {
            "dtype": f"{self._form}, KV {self._kv}",
            "threads": job["threads"],
            "n_batch": self._width,
            "n_ctx": job["kv_tokens"],
            "flash_attn": True,
            "prefix_sharing": job["prefix_cache"],
        }

    def _hear(self, level: int, text: bytes, data: Any) -> None:
        """Remember what llama.cpp says is an error; everything else is silenced."""
        if level == ERROR:
            self._complaints.append(text.decode(errors="replace").strip())

    def _why(self) -> str:
        """The first thing that it complained about since it was started: the others follow from it."""
        return f": {self._complaints[0]}" if self._complaints else ""

    def _load(self, path: Path, job: dict[str, Any]) -> Any:
        settings = llama_cpp.llama_model_default_params()
        settings.n_gpu_layers = 0 if job["device"] == "cpu" else 999
        settings.use_mmap = False
        model = llama_cpp.llama_model_load_from_file(str(path).encode(), settings)
        if not model:
            raise ValueError(
                f"llama.cpp could not load the GGUF file that was written for it{self._why()}"
            )
        return model

    def _open(self, job: dict[str, Any]) -> Any:
        self._width = max(BATCH, job["max_seqs"])
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx, settings.n_seq_max = job["kv_tokens"], job["max_seqs"]
        settings.n_batch = settings.n_ubatch = self._width
        settings.n_threads = settings.n_threads_batch = job["threads"]
        settings.type_k = settings.type_v = getattr(llama_cpp, f"GGML_TYPE_{self._kv.upper()}")
        settings.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED
        settings.kv_unified = True
        settings.no_perf = True
        context = llama_cpp.llama_init_from_model(self._model, settings)
        if not context:
            raise ValueError(f"llama.cpp could not make a context of this size{self._why()}")
        return context

    def loaded(self) -> dict[str, Any]:
        """Parameters as llama.cpp counts them; their dtype is what was written if they take so many
        bytes."""
        count, size = (
            llama_cpp.llama_model_n_params(self._model),
            llama_cpp.llama_model_size(self._model),
        )
        return {"parameters": count, "dtype": self._job["dtype"] if size == self._size else "mixed"}

    def serve(
        self, requests: list[tuple[list[int], int, float]], clock: Any
    ) -> tuple[list[Any], list[Any]]:
        """The tokens of every request, and when each was said."""
        times: list[list[float]] = [[] for _ in requests]
        outputs: list[list[int]] = [[] for _ in requests]
        order = sorted(range(len(requests)), key=lambda index: requests[index][2])
        while order or self._running:
            if not self._running:
                clock.wait(requests[order[0]][2])
            while (
                order
                and requests[order[0]][2] <= clock()
                and self._admit(requests[order[0]], order[0])
            ):
                del order[0]
            said = self._step()
            now = clock()
            for sequence in said:
                times[sequence.index].append(now)
                if sequence.finished:
                    outputs[sequence.index] = sequence.tokens[sequence.prompt :]
                    self._leave(sequence)
        return outputs, times

    def _admit(self, request: tuple[list[int], int, float], index: int) -> bool:
        """Give the request its memory, sharing what can be shared; False while it does not fit or
        the batch is full."""
        prompt, max_new, _ = request
        if sum(len(each.tokens) - each.done for each in self._running) >= self._width:
            return False
        donor, length = self._donor(prompt)
        while len(self._held) >= self._job["max_seqs"] or not self._fits(
            len(prompt) + max_new - length
        ):
            idle = [each for each in self._kept if each is not donor] or self._kept
            if not idle:
                return False
            self._drop(idle[0])
            donor, length = self._donor(prompt)
        taken = {each.slot for each in self._held}
        slot = next(number for number in range(self._job["max_seqs"]) if number not in taken)
        sequence = Sequence(slot, prompt, max_new, index)
        if donor is not None:
            llama_cpp.llama_memory_seq_cp(self._memory, donor.slot, slot, 0, length)
            sequence.done = sequence.shared = length
            sequence.donor = donor
        self._running.append(sequence)
        return True

    @property
    def _held(self) -> list[Sequence]:
        return [*self._running, *self._kept]

    def _fits(self, cells: int) -> bool:
        return bool(sum(each.reserved for each in self._held) + cells <= self._job["kv_tokens"])

    def _donor(self, prompt: list[int]) -> tuple[Sequence | None, int]:
        """Who is in memory with the longest common beginning, and its length; one token at least is
        computed anew."""
        best, length = None, 0
        if self._job["prefix_cache"]:
            for other in self._held:
                common = min(_common(prompt, other.tokens[: other.done]), len(prompt) - 1)
                if common > length:
                    best, length = other, common
        return best, length

    def _step(self) -> list[Sequence]:
        """Run the model once; those that said a token."""
        work: list[tuple[Sequence, int]] = []
        room = self._width
        for sequence in sorted(self._running, key=lambda each: each.done < each.prompt):
            count = min(len(sequence.tokens) - sequence.done, room)
            if count:
                work.append((sequence, count))
                room -= count
        self._fill(work)
        status = llama_cpp.llama_decode(self._context, self._batch)
        if status:
            raise RuntimeError(f"llama_decode gave {status}")
        said = []
        for sequence, count in work:
            sequence.done += count
            if sequence.done == len(sequence.tokens):
                said.append(sequence)
        for sequence, token in zip(said, self._choose(len(said)), strict=True):
            sequence.tokens.append(token)
        return said

    def _fill(self, work: list[tuple[Sequence, int]]) -> None:
        batch, row = self._batch, 0
        for sequence, count in work:
            for place in range(sequence.done, sequence.done + count):
                batch.token[row], batch.pos[row] = sequence.tokens[place], place
                batch.n_seq_id[row], batch.logits[row] = 1, place + 1 == len(sequence.tokens)
                batch.seq_id[row][0] = sequence.slot
                row += 1
        batch.n_tokens = row

    def _choose(self, rows: int) -> list[int]:
        """The likeliest token of each row of logits, in the order of the batch."""
        if not rows:
            return []
        pointer = llama_cpp.llama_get_logits(self._context)
        logits = numpy.ctypeslib.as_array(pointer, shape=(rows, self._vocab))
        chosen: list[int] = logits.argmax(-1).tolist()
        return chosen

    def _leave(self, sequence: Sequence) -> None:
        self._running.remove(sequence)
        self._kept.append(sequence)
        sequence.end = sequence.done
        if not self._job["prefix_cache"]:
            self._drop(sequence)

    def _drop(self, sequence: Sequence) -> None:
        """Free its cells; those that others share become the cells of one of them."""
        self._kept.remove(sequence)
        llama_cpp.llama_memory_seq_rm(self._memory, sequence.slot, -1, -1)
        heirs = sorted(
            (each for each in self._held if each.donor is sequence), key=lambda each: -each.shared
        )
        for heir in heirs[1:]:
            heir.donor = heirs[0]
        if heirs:
            heirs[0].donor, heirs[0].shared = sequence.donor, min(heirs[0].shared, sequence.shared)

    def flush(self) -> None:
        """Forget every sequence."""
        for sequence in list(self._kept):
            self._drop(sequence)
        llama_cpp.llama_memory_clear(self._memory, False)


def _common(one: list[int], other: list[int]) -> int:
    """Tokens with which both begin."""
    length = min(len(one), len(other))
    return next((place for place in range(length) if one[place] != other[place]), length)


def start(job: dict[str, Any]) -> LlamaCpp:
    """Write the GGUF file, load it."""
    return LlamaCpp(job)
