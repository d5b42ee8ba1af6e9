"""Draws what the pure modules worked out. Only this package knows matplotlib."""
