"""Where a opponent's speed comes from: a card that counts here, the engine itself where that is
asked for, or nowhere.

To start a opponent takes longer than a learner waits for all else together, so it is done on
request only.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graders.checking.failure import Broken
from graders.throughput.baselines import find, folders, misnamed, whose
from graders.throughput.bounds import REFERENCE, Measure
from graders.throughput.hardware import here
from graders.throughput.paired_runs import Contender
from graders.throughput.timed_engine import TimedRun
from graders.workloads import Trace, workload

if TYPE_CHECKING:
    from graders.checking.check_context import CheckContext
    from graders.engines.catalogue import EngineKind
    from graders.engines.driver import Driver
    from reference_engine.model import Model


@dataclass
class Opponent:
    """An engine that a bound is about.

    label: "vllm 0.32.0 (card of 2026-11-23)". how: it was measured, for the figure. through: who is
    measured in its place, and factor: how many times slower than that it is. contender: itself,
    where it takes part. why: why it is not measured, if so.
    """

    engine: str
    label: str
    how: str = ""
    through: str = REFERENCE
    factor: float = 1.0
    contender: Contender | None = None
    why: str = ""

    @property
    def measured(self) -> bool:
        return not self.why


def standing(engine: str, measure: Measure, context: CheckContext, stack: ExitStack) -> Opponent:
    """The opponent of a measure: live if that is asked for and it is installed, else through a card
    that counts here.

    A live engine is started now and ends with the stack.
    """
    kind = _installed(engine)
    if context.live and kind is not None:
        return _live(kind, measure, context, stack)
    card, refused = find(engine, measure, here(), folders(context.beside))
    news = [misnamed()] if misnamed() else []
    if card is None:
        instead = "--live would time it" if kind is not None else "it is not installed"
        why = "; ".join((*refused, *news, instead))
        return Opponent(engine, engine, why=f"the bound against {engine} was not measured ({why})")
    stale = [f", {card.stale()}"] if card.stale() else []
    own = whose(card, measure, folders(context.beside))
    asides = "; ".join((*filter(None, [own]), *refused, *news))
    how = "".join(("through its card", *stale, *([f" ({asides})"] if asides else [])))
    return Opponent(engine, card.label, how=how, factor=card.slowness)


class LiveEngine:
    """An installed engine that takes part itself; it stands still while others serve.

    Broken when it fails, or says something else than `model` would.
    """

    def __init__(self, driver: Driver, model: Model) -> None:
        self._driver, self._model = driver, model

    def serve(self, trace: Trace) -> TimedRun:
        from graders.engines.engine_protocol import EngineFailed
        from graders.engines.token_check import check_tokens

        try:
            self._driver.resume()
            self._driver.flush()
            served = self._driver.serve(trace)
            self._driver.pause()
            check_tokens(self._model, trace, served, self._driver.kind, self._driver.job.dtype)
        except EngineFailed as failed:
            raise Broken(failed.sentence) from None
        return TimedRun(served.seconds, served.outputs)


def _installed(engine: str) -> EngineKind | None:
    from graders.engines import environments
    from graders.engines.catalogue import KINDS

    kind = KINDS.get(engine)
    return kind if kind is not None and environments.standing(kind).ready else None


def _live(kind: EngineKind, measure: Measure, context: CheckContext, stack: ExitStack) -> Opponent:
    """Start it; a opponent that says why if it will not start."""
    from graders.engines import launch_config
    from graders.engines.driver import Driver
    from graders.engines.engine_protocol import EngineFailed
    from graders.engines.loaded import checkpoint
    from reference_engine.model import ModelError
    from reference_engine.model_loader import load_model

    context.progress(f"starting {kind.name}")
    try:
        model, hardware = load_model(measure.model), here()
    except ModelError as error:
        return Opponent(
            kind.name, kind.name, why=f"the bound against {kind.name} was not measured: {error}"
        )
    sample = workload(measure.workload, 0, model=measure.model, scale=measure.scale)
    given = stack.enter_context(checkpoint(model))
    job = launch_config.job(
        kind, given, model, sample, threads=hardware.cores, engines=2, device=hardware.device
    )
    driver = Driver(kind, job)
    stack.callback(driver.stop)
    try:
        version = driver.start().version
        driver.pause()
    except EngineFailed as failed:
        return Opponent(
            kind.name,
            kind.name,
            why=f"the bound against {kind.name} was not measured: {failed.sentence}",
        )
    label = f"{kind.name} {version}".strip()
    return Opponent(
        kind.name,
        label,
        how="measured now, live",
        through=kind.name,
        contender=LiveEngine(driver, model),
    )
