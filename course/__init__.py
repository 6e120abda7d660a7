"""What a person touches: the `course` command, the workspace, rendering, drawings, the generator of
exercises.

Nothing here computes a verdict: `graders` does, and everything shown is made of its result object.
Importing this package or `course.cli` imports neither torch nor hypothesis, so that the first line
is on the screen at once.
"""
