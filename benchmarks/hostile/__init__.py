"""Hostile clients beside honest ones: what it costs these, and what the cloud does about those."""
