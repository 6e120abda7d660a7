"""Looking, not grading: the engine with a learner's parts."""
