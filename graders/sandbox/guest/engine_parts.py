"""What an engine in the worker is made of: the parts that were loaded, naive ones where none was."""

from reference_engine import naive
from reference_engine.parts import CLASS_NAMES, Parts


def engine_parts(loaded, **others):
    """loaded: by slot; others: fields of `Parts` as they are to be, whatever was loaded."""
    own = {
        slot: getattr(loaded[slot], name) for slot, name in CLASS_NAMES.items() if slot in loaded
    }
    plain = {"block_manager": naive.BlockManager, "scheduler": naive.Scheduler}
    return Parts(**(plain | own | others))
