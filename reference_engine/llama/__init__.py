"""The Llama that the engine runs: sizes, weights, the paged KV pool and the forward pass on a CPU."""
