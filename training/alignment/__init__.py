"""Alignment of the drafter's hidden states with the target's: extraction, training of adapters, metrics, bounds."""
