"""The window: one page in which an engine is seen at work, made of `Engine.trace` records and
nothing else."""
