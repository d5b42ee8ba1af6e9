"""Event streams at the edge: files, windows, EventGPT's raster, a simulator. Imports numpy alone."""

from edge.events.formats import load_events, save_events
from edge.events.from_video import events_from_video
from edge.events.inspection import EventInfo, inspect_events
from edge.events.isolated import warm_up
from edge.events.raster import raster
from edge.events.simulate import EventSimulator, SimulatorSettings, simulate_events
from edge.events.types import Events, concatenate, empty_events

__all__ = [
    "EventInfo",
    "EventSimulator",
    "Events",
    "SimulatorSettings",
    "concatenate",
    "empty_events",
    "events_from_video",
    "inspect_events",
    "load_events",
    "raster",
    "save_events",
    "simulate_events",
    "warm_up",
]
