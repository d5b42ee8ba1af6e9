"""`eventspec-edge events`: look into event recordings, and convert them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.cli import say

if TYPE_CHECKING:
    from edge.events import EventInfo

_CLIPS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".ts", ".mpg")

app = typer.Typer(
    help="Look into event recordings, convert them, or simulate them from a clip.",
    no_args_is_help=True,
)


@app.command()
def info(
    file: Annotated[Path, typer.Argument(help="A recording, or a DSEC sequence folder.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print what is in a recording: format, events, duration, rate, sensor, polarities, bytes an event.

    Formats: EventGPT npy, DSEC h5 and sequence folders, N-ImageNet npz, Prophesee raw (EVT2, and with the extra
    `prophesee` EVT3), AEDAT4 (with the extra `aedat`). Large h5 files are sampled, not read.
    """
    from edge.events import inspect_events

    found = inspect_events(file)
    if as_json:
        typer.echo(json.dumps({**asdict(found), "rate_hz": found.rate_hz}))
        return
    for name, value in _lines(found):
        say(f"{name:<10} {value}")


@app.command()
def convert(
    source: Annotated[
        Path, typer.Argument(help="A recording, a DSEC sequence folder, or a video clip.", show_default=False)
    ],
    target: Annotated[
        Path,
        typer.Argument(
            help="Where to write: .npy (EventGPT), .h5 (DSEC), .npz (N-ImageNet) or .raw (EVT2).", show_default=False
        ),
    ],
    start_us: Annotated[
        int | None, typer.Option(help="Begin of the window, in microseconds from the recording's begin.")
    ] = None,
    duration_us: Annotated[int | None, typer.Option(help="Length of the window, in microseconds.")] = None,
    sensor: Annotated[
        str | None, typer.Option(help="WIDTHxHEIGHT, for recordings that don't name their sensor.", metavar="WxH")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the simulator's noise, where a clip is converted.")] = 0,
) -> None:
    """Convert a recording, or a window of it, to another format.

    A video clip (.mp4, .avi, .mkv, .webm and others) is converted too: its events are SIMULATED, by a log-intensity
    threshold model with noise. They are no recording, and know nothing of what happened between two frames.
    """
    from edge.events import events_from_video, load_events, save_events

    if source.suffix.lower() in _CLIPS:
        events = events_from_video(source, start_us=start_us, duration_us=duration_us, seed=seed)
    else:
        events = load_events(source, start_us=start_us, duration_us=duration_us, sensor=_sensor(sensor))
    save_events(events, target)
    say(f"{target}: {len(events):,} events, {events.duration_us / 1e6:.6f} s, {events.width}x{events.height}")


def _sensor(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise typer.BadParameter(f"{text!r} is not WIDTHxHEIGHT, such as 1280x720", param_hint="--sensor")
    return int(width), int(height)


def _lines(found: EventInfo) -> list[tuple[str, str]]:
    sampled = " (of a sample)" if found.sampled else ""
    return [
        ("format", found.format),
        ("events", f"{found.events:,}"),
        ("start", f"{found.start_us:,} us"),
        ("duration", f"{found.duration_us / 1e6:.6f} s"),
        ("rate", f"{found.rate_hz / 1e6:.3f} million events/s"),
        ("sensor", f"{found.width}x{found.height}"),
        ("positive", f"{found.positive_fraction:.1%}{sampled}"),
        ("size", f"{found.bytes_per_event:.2f} bytes/event"),
    ]
