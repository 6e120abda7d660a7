"""What a worker process does to itself before it meets the submission. Imports nothing of the
grader.

`main.py` is the first code of the process. `supervisor` stays behind, `start` makes the worker,
`lockdown` locks it up; `namespaces`, `landlock`, `seccomp` and `privileges` are the locks;
`visible_paths` says which files are seen; `process_tree` counts what lives below it, `wait` waits
for it to die, `rmtree` takes its folder away.
"""
