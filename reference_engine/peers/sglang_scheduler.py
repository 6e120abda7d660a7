"""SGLang's scheduler process, which writes down what it has loaded; the engine has no call that
tells it."""

import json
import os
from pathlib import Path
from typing import Any

import loaded_weights  # type: ignore[import-not-found, unused-ignore]  # beside this file

TOLD = "COURSE_LOADED"
"""The environment variable that names the file to write."""


def run(*arguments: Any, **named: Any) -> Any:
    """SGLang's own process, its model counted as soon as it is loaded."""
    from sglang.srt.managers.scheduler import run_scheduler_process
    from sglang.srt.model_executor.model_runner import ModelRunner

    load = ModelRunner.load_model

    def load_and_tell(self: Any, *arguments: Any, **named: Any) -> Any:
        done = load(self, *arguments, **named)
        inner = loaded_weights.inner_width(self.model_config.model_path)
        Path(os.environ[TOLD]).write_text(json.dumps(loaded_weights.held(self.model, inner)))
        return done

    ModelRunner.load_model = load_and_tell
    return run_scheduler_process(*arguments, **named)
