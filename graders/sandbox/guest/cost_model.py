"""Driver of lab 1 inside the worker: see `guest.formulas`."""

from .formulas import call, new, watch  # noqa: F401
