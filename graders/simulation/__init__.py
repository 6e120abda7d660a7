"""An engine that runs no model but knows what every slot of its KV memory stands for. See `engine`.

from graders.simulation import Engine, Here, Script, Setting

script = Script(Setting(num_blocks=9))
script.add(1, [3, 1, 4], max_new=2)
script.drain()
engine = Engine(Here({"scheduler": module, ...}), script)
engine.judge()                              # raises Deviation or Failed; then engine.counters, engine.moments
"""

from graders.checking.failure import Deviation
from graders.simulation.backend import InProcessBackend
from graders.simulation.engine import Failed, Moment, RunCounters, SimulatedEngine
from graders.simulation.scheduler_rules import EngineSetting
from graders.simulation.script import EngineScript
from graders.simulation.toy_model import TextNumbers

__all__ = [
    "Deviation",
    "EngineScript",
    "EngineSetting",
    "Failed",
    "InProcessBackend",
    "Moment",
    "RunCounters",
    "SimulatedEngine",
    "TextNumbers",
]
