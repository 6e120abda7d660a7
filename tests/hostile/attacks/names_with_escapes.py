"""Names its class, its functions and its text so that a terminal, a page or a reader is led astray.

L1: invalid
"""

from right import Right

NASTY = (
    "\x1b[2J\x1b]0;owned\x07\u202e[bold red]<img src=x onerror=alert(1)>\r\n::error::owned\n=1+1"
)


def fail(self, *_):
    raise type(NASTY, (Exception,), {})(NASTY)


class BlockManager(Right):
    admit = fail


fail.__code__ = fail.__code__.replace(co_name=NASTY)
