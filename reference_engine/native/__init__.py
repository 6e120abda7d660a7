"""The CPU forward pass in C++, compiled on the machine that runs it, where it has a compiler.

A step of a small model is hundreds of small operations. As one function it costs no interpreter and
no dispatch, its weights are laid out once for the vectors of this processor, and its threads meet
without going to sleep. Where there is no compiler the engine runs the same pass as TorchScript
(`reference_engine.llama.network`).
"""
