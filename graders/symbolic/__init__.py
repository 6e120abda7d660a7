"""An engine that runs no model but knows what every slot of its KV memory stands for. See `engine`.

from graders.symbolic import Engine, Here, Script, Setting

script = Script(Setting(num_blocks=9))
script.add(1, [3, 1, 4], max_new=2)
script.drain()
engine = Engine(Here({"scheduler": module, ...}), script)
engine.judge()                              # raises Deviation or Failed; then engine.counters, engine.moments
"""

from graders.failure import Deviation
from graders.symbolic.engine import Counters, Engine, Failed, Moment
from graders.symbolic.scheduler_rules import Setting
from graders.symbolic.script import Script
from graders.symbolic.side import Here
from graders.symbolic.toy import Toy

__all__ = ["Counters", "Deviation", "Engine", "Failed", "Here", "Moment", "Script", "Setting", "Toy"]
