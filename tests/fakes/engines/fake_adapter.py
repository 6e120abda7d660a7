"""An engine for tests: it says what the job's model folder tells it to say, and misbehaves where
told to."""

import os
import sys
import time
from pathlib import Path

import loaded_weights  # beside the host


class Fake:
    """Token t of a request is (sum of its prompt + t) modulo the vocabulary."""

    def __init__(self, job):
        self.ills = set(os.environ.get("FAKE_ILLS", "").split(","))
        if "elsewhere" in self.ills:
            job["model"] = os.environ["FAKE_FOLDER"]
        self.folder = job["model"]
        self.dtype = job["dtype"]
        self.pace = float(
            os.environ.get(f"FAKE_PACE_{self.dtype}", os.environ.get("FAKE_PACE", "0"))
        )
        self.version, self.flags = "1.0", {"threads": job["threads"]}

    def loaded(self):
        shapes = [
            header["shape"] for _, _, header in loaded_weights.tensors(Path(self.folder)).values()
        ]
        count = sum(shape[0] * (shape[1] if len(shape) > 1 else 1) for shape in shapes)
        told = {
            "parameters": count - ("smaller" in self.ills),
            "dtype": "bfloat16" if "narrow" in self.ills else self.dtype,
        }
        return {} if "silent" in self.ills else told

    def serve(self, requests, clock):
        if "dies" in self.ills:
            print("the last word of a dying engine", flush=True)
            os._exit(7)
        while "hangs" in self.ills:
            time.sleep(1)
        if "raises" in self.ills:
            raise MemoryError("no room for 3 guests")
        print("engines print whatever they like")
        outputs, times = [], []
        for prompt, max_new, arrival in requests:
            clock.wait(arrival)
            clock.wait(clock() + self.pace)
            count = max_new - ("short" in self.ills)
            outputs.append(
                [(sum(prompt) + step + ("wrong" in self.ills)) % 128 for step in range(count)]
            )
            times.append([clock()] * count)
        if "early" in self.ills:
            times[0] = [-1.0] * len(times[0])
        return outputs, times

    def flush(self):
        """Keeps nothing."""


def start(job):
    ills = os.environ.get("FAKE_ILLS", "")
    if "broken" in ills:
        raise ValueError("the model is\nnot to my taste")
    if "child" in ills:
        print("(Core pid=12) ERROR Traceback (most recent call last):", file=sys.stderr)
        print('(Core pid=12) ERROR   File "core.py", line 7, in load', file=sys.stderr)
        print("(Core pid=12) ERROR ValueError: no memory for the cache", file=sys.stderr)
        raise RuntimeError("the core did not come up, see above")
    time.sleep(2 if "slow" in ills else 0)
    return Fake(job)
