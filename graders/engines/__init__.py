"""Engines beside ours: where each is installed, how each is driven, and a race between them.

Every engine runs in a child process of its own virtual environment and speaks one protocol
(`adapters/host.py`, `driver.py`): the grader sends token ids and lengths, the engine sends token
ids and times.
"""
