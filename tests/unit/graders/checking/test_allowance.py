"""One sum for all that is done with a part: starting, loading, answering and ending it."""

from __future__ import annotations

import pytest
from local_worker import LocalWorker

import graders.checking.workers
from graders.checking.allowance import Allowance
from graders.checking.failure import Broken
from graders.checking.workers import Source, Workers
from graders.result import Outcome

SLOW = "import time\n\ntime.sleep(0.02)\n\n\nclass BlockManager:\n    pass\n"


def test_loading_again_and_again_is_paid_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that dies in every call is loaded for every case, and may take its time each time."""
    monkeypatch.setattr(graders.checking.workers, "Worker", LocalWorker)
    workers = Workers(
        [Source("block_manager", "slow.py", SLOW)], allowance=Allowance(0.1, "All is spent.")
    )
    with pytest.raises(Broken, match=r"All is spent\.") as caught:
        for _ in range(100):
            workers.fresh()
    assert caught.value.outcome is Outcome.TIMEOUT
