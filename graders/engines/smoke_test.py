"""Does an installed engine work? Start it, let a few requests be served, check every token,
remember how it went."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from graders.engines import environments, launch_config
from graders.engines.catalogue import EngineKind, device_class
from graders.engines.driver import Driver
from graders.engines.engine_protocol import EngineFailed, LaunchConfig
from graders.engines.loaded import Checkpoint, checkpoint
from graders.engines.token_check import check_tokens
from graders.workloads import Trace, workload
from reference_engine.model import Model
from reference_engine.model_loader import load_model


@dataclass(frozen=True, slots=True)
class SmokeTest:
    """How a trial went, in one sentence. why: the same in a clause, where it did not work."""

    fine: bool
    sentence: str
    why: str = ""


def trial(kind: EngineKind, seed: int = 0) -> SmokeTest:
    """Let `kind` serve a small ragged trace of the waiter; the result is written into its
    environment."""
    model, trace = load_model("waiter"), workload("ragged", seed, scale=0.125)
    try:
        with checkpoint(model) as given, Driver(kind, _job(kind, given, model, trace)) as driver:
            started = driver.start()
            served = driver.serve(trace)
            check_tokens(model, trace, served, kind)
    except EngineFailed as failed:
        _remember(kind, f"{environments.FAILED}: {failed.sentence}")
        return SmokeTest(False, f"{failed.sentence}.", failed.sentence)
    _remember(kind, f"{environments.WORKED} on {datetime.now(UTC).date().isoformat()}")
    sentence = (
        f"{kind.name} {started.version} works: started in {started.seconds:.0f} s, {served.tokens} tokens for "
        f"{len(trace.requests)} requests in {served.seconds:.2f} s, every one what the model says."
    )
    return SmokeTest(True, sentence)


def _job(kind: EngineKind, given: Checkpoint, model: Model, trace: Trace) -> LaunchConfig:
    return launch_config.job(kind, given, model, trace, threads=1, engines=1, device=device_class())


def _remember(kind: EngineKind, text: str) -> None:
    if kind.distribution:
        # an environment that is somebody else's: the trial was one all the same
        with suppress(OSError):
            environments.write_stamp(environments.folder(kind), trial=text)
