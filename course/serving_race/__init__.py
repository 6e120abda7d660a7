"""Servers side by side: the same client asks ours, vLLM's and llama.cpp's for the same, in one
interleaved run."""
