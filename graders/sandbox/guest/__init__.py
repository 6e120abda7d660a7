"""What runs inside the worker process, beside the submission: nothing here knows a law or an
expected value."""
