"""Driver of lab 3 inside the worker: see `guest.formulas`."""

from .formulas import call, new, watch  # noqa: F401
