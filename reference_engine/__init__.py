"""A small LLM inference engine that is complete, fast and made of replaceable parts.

Importing this package imports no torch: contracts live in `reference_engine.slots`, everything heavy is imported
where it is used.
"""
