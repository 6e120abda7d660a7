"""`make serve-clients`: vLLM and SGLang bring clients that measure servers; unmodified, they ask
ours."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from course.serving_race.servers import SERVERS, Room, running, stand_ins
from course.sigterm import interruptible
from course.terminal import console
from graders.engines.catalogue import KINDS
from graders.engines.environments import python
from reference_engine.waiter import CHECKPOINT

PROMPT, ANSWER = 200, 24
SHOWN = 40
"""Lines at the end of what a client printed."""


def vllm(port: int, requests: int) -> list[str]:
    """`vllm bench serve` with random prompts."""
    program = python(KINDS["vllm"]).with_name("vllm")
    return [str(program), "bench", "serve", *_asked("openai", "random", port, requests)]


def sglang(port: int, requests: int) -> list[str]:
    """`sglang.bench_serving` with random prompts."""
    program = [str(python(KINDS["sglang"])), "-m", "sglang.bench_serving"]
    return [*program, *_asked("vllm", "random-ids", port, requests)]


def _asked(backend: str, dataset: str, port: int, requests: int) -> list[str]:
    return [
        *("--backend", backend, "--host", "127.0.0.1", "--port", str(port), "--model", "waiter"),
        *("--tokenizer", str(CHECKPOINT), "--dataset-name", dataset),
        *("--random-input-len", str(PROMPT), "--random-output-len", str(ANSWER)),
        *("--num-prompts", str(requests)),
    ]


def main() -> int:
    """0 when both ran to the end, 3 when one did not, or is not installed."""
    parser = argparse.ArgumentParser(prog="make serve-clients", description=__doc__)
    parser.add_argument("--requests", type=int, default=20)
    asked, screen, code = parser.parse_args(), console(), 0
    room = Room(seats=64, kv_tokens=32768, longest=1024, threads=len(os.sched_getaffinity(0)))
    with (
        tempfile.TemporaryDirectory() as folder,
        running(SERVERS["ours"], room) as server,
        server.awake() as port,
    ):
        lacking = stand_ins(Path(folder))
        for name, command in {"vllm": vllm, "sglang": sglang}.items():
            kind = KINDS[name]
            if not python(kind).exists():
                screen.print(
                    f"{name} is left out: course engines install {name} brings it.", style="yellow"
                )
                code = 3
                continue
            variables = os.environ | lacking | dict(kind.variables)
            order = command(port, asked.requests)
            ran = subprocess.run(
                order, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            screen.print(" ".join(order), style="bold", soft_wrap=True, markup=False)
            screen.print(
                "\n".join(ran.stdout.strip().split("\n")[-SHOWN:]), soft_wrap=True, markup=False
            )
            if ran.returncode:
                screen.print(f"{name} ended with {ran.returncode}.", style="yellow")
                code = 3
    return code


if __name__ == "__main__":
    try:
        with interruptible():  # SIGTERM ends the servers too
            sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
