"""Driver of lab 2 inside the worker: see `guest.formulas`."""

from .formulas import call, new, watch  # noqa: F401
