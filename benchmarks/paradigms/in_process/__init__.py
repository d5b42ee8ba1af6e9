"""The baseline without a network: transformers' `generate`, and its assisted generation, in one process."""
