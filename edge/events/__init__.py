"""Event streams at the edge: files, windows, EventGPT's raster, a simulator. Imports numpy alone."""

from edge.events.simulate import EventSimulator, SimulatorSettings, simulate_events
from edge.events.types import Events, concatenate, empty_events

__all__ = [
    "EventSimulator",
    "Events",
    "SimulatorSettings",
    "concatenate",
    "empty_events",
    "simulate_events",
]
