"""What a learner reads: stubs and lessons, made from solutions."""
