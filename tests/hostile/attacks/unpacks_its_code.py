"""Its code comes out of marshal, as the kit's sealed solutions do.

L1: invalid
says: code that is not in its text
fast
"""

import marshal

from right import Right

exec(marshal.loads(marshal.dumps(compile("hidden = 1", "x", "exec"))))


class BlockManager(Right):
    pass
