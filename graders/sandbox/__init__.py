"""Everything that hostile code can touch: worker processes, their protocol, isolation."""
