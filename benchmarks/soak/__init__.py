"""A pair under mixed load and faults for a long time: nothing may grow."""
