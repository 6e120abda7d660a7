"""What handing in late costs."""

from __future__ import annotations

import math

from nbgrader.plugins import LateSubmissionPlugin
from traitlets import Float

DAY = 24 * 60 * 60


class LateByDay(LateSubmissionPlugin):  # type: ignore[misc]
    """Takes a share of the score for every day begun, at most all of it."""

    per_day = Float(0.0, min=0.0, max=1.0, help="The share of the score that a day costs: 0.1 is 10 %.").tag(
        config=True
    )
    grace_minutes = Float(0.0, min=0.0, help="So many minutes late is not late.").tag(config=True)

    def late_submission_penalty(self, student_id: str, score: float, total_seconds_late: float) -> float | None:
        """The points to take away, None for none."""
        late = total_seconds_late - 60 * self.grace_minutes
        if late <= 0 or self.per_day == 0:
            return None
        return float(score * min(1.0, self.per_day * math.ceil(late / DAY)))
