"""Faults, by a seeded schedule, against real daemons over an emulated link; every answer is held against the truth."""
