"""Prints what terminals, browsers, spreadsheets and CI systems obey.

L1: pass
prints: set-output
fast
"""

from right import Right

print("\x1b[2J\x1b]0;owned\x07\x1b]8;;http://example.org\x07all laws hold\x1b]8;;\x07\r")
print("::set-output name=grade::100")
print("::stop-commands::x\n##[error]owned")
print("<script>alert(1)</script><img src=x onerror=alert(1)>")
print("=HYPERLINK(A1)\n@SUM(1)\n+1\n-1")
print("\u202e\u2066 reversed \x00")


class BlockManager(Right):
    pass
