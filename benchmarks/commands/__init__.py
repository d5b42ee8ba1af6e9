"""The commands that measure paradigms: compare, sweep, stages, capacity, replay."""
