"""Measures the paradigms against each other, and shows them."""
