"""Driver of lab 4 inside the worker: see `guest.formulas`."""

from .formulas import call, new, watch  # noqa: F401
