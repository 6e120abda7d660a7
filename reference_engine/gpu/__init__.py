"""The engine's GPU side: a runner that captures whole steps in CUDA graphs, and the choice of the
device.

Importing this package imports no torch; what is heavy is in the modules.
"""
