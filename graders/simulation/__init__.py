"""An engine that runs no model but knows what every slot of its KV memory stands for. See `engine`.

from graders.simulation import Engine, Here, Script, Setting

script = Script(Setting(num_blocks=9))
script.add(1, [3, 1, 4], max_new=2)
script.drain()
engine = Engine(Here({"scheduler": module, ...}), script)
engine.judge()                              # raises Deviation or Failed; then engine.counters, engine.moments
"""

from graders.checking.failure import Deviation
from graders.simulation.engine import Counters, Engine, Failed, Moment
from graders.simulation.scheduler_rules import Setting
from graders.simulation.script import Script
from graders.simulation.backend import Here
from graders.simulation.toy_model import Toy

__all__ = ["Counters", "Deviation", "Engine", "Failed", "Here", "Moment", "Script", "Setting", "Toy"]
