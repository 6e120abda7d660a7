"""Ollama through its HTTP API: a server of its own, the checkpoint written as GGUF, one connection
a request.

Its API takes text, not tokens: prompts are decoded, and answers encoded again, with the
checkpoint's tokenizer. What does not come back as the same number of tokens is reported as it is,
and then does not count. It cannot be told to ignore the end of a text, so the GGUF file names
another token as the end.
"""

import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import tokenizers

sys.path.insert(0, str(Path(__file__).resolve().parent))
import gguf_file  # type: ignore[import-not-found, unused-ignore]

NAME = "course"
PATIENCE = 60.0


class Ollama:
    """One server with one model."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job = job
        self._scratch = tempfile.TemporaryDirectory()
        folder = Path(self._scratch.name)
        words = Path(job["model"]) / "tokenizer.json"
        if not words.exists():
            raise ValueError("Ollama takes text, and this model has no tokenizer")
        self._words = tokenizers.Tokenizer.from_file(str(words))
        gguf_file.write(Path(job["model"]), folder / "model.gguf", endless=True)
        self._host = os.environ.get("OLLAMA_HOST", "127.0.0.1:11500")
        self._server = subprocess.Popen(["ollama", "serve"], env=self._variables(folder))
        self.version = self._await_server()
        (folder / "Modelfile").write_text(
            f"FROM {folder / 'model.gguf'}\nTEMPLATE {{{{ .Prompt }}}}\n"
        )
        subprocess.run(
            ["ollama", "create", NAME, "-f", str(folder / "Modelfile")],
            env=self._variables(folder),
            check=True,
        )
        self._options = {
            "temperature": 0.0,
            "num_ctx": job["max_len"],
            "num_thread": job["threads"],
            "repeat_penalty": 1.0,
            "top_k": 1,
        }
        self.flags = {
            "parallel": job["max_seqs"],
            "num_ctx": job["max_len"],
            "threads": job["threads"],
        }

    def _variables(self, folder: Path) -> dict[str, str]:
        own = {
            "OLLAMA_HOST": self._host,
            "OLLAMA_MODELS": str(folder / "models"),
            "OLLAMA_NUM_PARALLEL": str(self._job["max_seqs"]),
            "OLLAMA_KEEP_ALIVE": "-1",
        }
        return {**os.environ, **own}

    def _await_server(self) -> str:
        """The server's version, as soon as it answers."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                return str(json.loads(self._request("GET", "/api/version"))["version"])
            except OSError:
                if self._server.poll() is not None:
                    break
                time.sleep(0.2)
        raise RuntimeError("the Ollama server did not come up")

    def loaded(self) -> dict[str, Any]:
        """Parameters and dtype, as the server tells them of the model that it serves."""
        told = json.loads(self._request("POST", "/api/show", json.dumps({"model": NAME})))
        count, kind = (
            told["model_info"]["general.parameter_count"],
            told["details"]["quantization_level"],
        )
        return {
            "parameters": count,
            "dtype": {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}.get(kind, kind),
        }

    def _request(self, method: str, path: str, body: str | None = None) -> bytes:
        connection = http.client.HTTPConnection(self._host, timeout=PATIENCE)
        try:
            connection.request(method, path, body)
            return connection.getresponse().read()
        finally:
            connection.close()

    def serve(
        self, requests: list[tuple[list[int], int, float]], clock: Any
    ) -> tuple[list[Any], list[Any]]:
        """The tokens of every request, and when each piece of text came."""
        answers: list[tuple[list[int], list[float]]] = [([], []) for _ in requests]

        def ask(index: int) -> None:
            answers[index] = self._ask(*requests[index], clock)

        threads = [threading.Thread(target=ask, args=(index,)) for index in range(len(requests))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [tokens for tokens, _ in answers], [times for _, times in answers]

    def _ask(
        self, prompt: list[int], max_new: int, arrival: float, clock: Any
    ) -> tuple[list[int], list[float]]:
        clock.wait(arrival)
        question = {
            "model": NAME,
            "prompt": self._words.decode(prompt, skip_special_tokens=False),
            "raw": True,
            "stream": True,
            "options": {**self._options, "num_predict": max_new},
        }
        connection = http.client.HTTPConnection(self._host)
        connection.request(
            "POST", "/api/generate", json.dumps(question), {"Content-Type": "application/json"}
        )
        text, moments = "", []
        for line in connection.getresponse():
            piece = json.loads(line)
            if "error" in piece:
                raise RuntimeError(piece["error"])
            if piece.get("response"):
                text += piece["response"]
                moments.append(clock())
        connection.close()
        tokens: list[int] = self._words.encode(text, add_special_tokens=False).ids
        return tokens, _stretched(moments, len(tokens))

    def flush(self) -> None:
        """Its cache is one prefix a seat; another prompt in every seat would be needed to forget
        them."""

    def stop(self) -> None:
        """End the server."""
        self._server.terminate()
        self._server.wait()
        self._scratch.cleanup()


def _stretched(moments: list[float], count: int) -> list[float]:
    """One time a token where text came in other pieces: the time of the piece in the same place."""
    return [moments[place * len(moments) // count] for place in range(count)] if moments else []


def start(job: dict[str, Any]) -> Ollama:
    """Start the server and give it the model."""
    return Ollama(job)
