"""What a worker process does to itself before it meets the submission. Imports nothing of the grader.

`main.py` is the first code of the process. `keeper` stays behind, `birth` makes the worker, `locking` locks it up;
`namespaces`, `landlock`, `seccomp` and `privileges` are the locks; `view` says which files are seen; `census` counts
what lives below the keeper, `vigil` waits for it to die, `removal` takes its folder away.
"""
