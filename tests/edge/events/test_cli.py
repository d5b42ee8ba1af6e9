"""`eventspec-edge events`: what it prints and writes, and clips turned into simulated events."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from common.errors import EventFormatError
from edge.events import EventSimulator, SimulatorSettings, concatenate, events_from_video, load_events, save_events
from edge.events_cli import app
from edge.video import read_frames, write_video
from tests.clips import encode
from tests.edge.events.made import assert_same, made_events

run = CliRunner()


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    save_events(made_events(5_000, width=320, height=240, span_us=50_000), tmp_path / "a.npy")
    return tmp_path / "a.npy"


def test_info_in_words_and_as_json(recorded: Path) -> None:
    words = run.invoke(app, ["info", str(recorded)])
    assert words.exit_code == 0
    for part in ("EventGPT npy", "5,000", "320x240", "million events/s", "bytes/event"):
        assert part in words.output
    figures = json.loads(run.invoke(app, ["info", str(recorded), "--json"]).output)
    assert (figures["events"], figures["width"], figures["sampled"]) == (5_000, 320, False)
    assert figures["rate_hz"] == pytest.approx(100_000, rel=0.01)


def test_convert_a_window(recorded: Path, tmp_path: Path) -> None:
    target = tmp_path / "b.h5"
    done = run.invoke(app, ["convert", str(recorded), str(target), "--start-us", "10000", "--duration-us", "5000"])
    assert done.exit_code == 0
    assert_same(load_events(target), load_events(recorded, start_us=10_000, duration_us=5_000))
    assert "320x240" in done.output


def test_sensor_is_asked_for_and_taken(tmp_path: Path) -> None:
    columns = {"x": np.array([1_000]), "y": np.array([0]), "t": np.array([0]), "p": np.array([1])}
    np.save(tmp_path / "a.npy", np.array(columns, dtype=object), allow_pickle=True)
    arguments = ["convert", str(tmp_path / "a.npy"), str(tmp_path / "b.npz")]
    assert isinstance(run.invoke(app, arguments).exception, EventFormatError)
    assert run.invoke(app, [*arguments, "--sensor", "1280x720"]).exit_code == 0
    assert load_events(tmp_path / "b.npz").width == 1_280
    refused = run.invoke(app, [*arguments, "--sensor", "large"])
    assert refused.exit_code == 2
    assert "WIDTHxHEIGHT" in refused.output


def test_a_clip_becomes_simulated_events(tmp_path: Path) -> None:
    clip = encode(tmp_path / "clip.mp4", "libx264", 12)
    assert run.invoke(app, ["convert", str(clip), str(tmp_path / "a.h5"), "--seed", "3"]).exit_code == 0
    simulator = EventSimulator(96, 64, seed=3)
    expected = concatenate([simulator.push(frame, t) for t, frame in read_frames(clip)])
    assert len(expected) > 1_000
    assert_same(load_events(tmp_path / "a.h5"), expected)
    window = events_from_video(clip, start_us=300_000, duration_us=200_000, seed=3)
    assert_same(window, expected.window(300_000, 200_000))
    assert "SIMULATED" in run.invoke(app, ["convert", "--help"]).output


def test_clips_that_give_no_events(tmp_path: Path) -> None:
    still = [np.full((64, 96, 3), 120, np.uint8)] * 3
    write_video(tmp_path / "still.mp4", still, fps=1_000)
    with pytest.raises(EventFormatError, match=r"still\.mp4: nothing changes here"):
        events_from_video(tmp_path / "still.mp4", settings=SimulatorSettings(noise_hz=0))
    (tmp_path / "broken.mp4").write_bytes(b"no clip")
    with pytest.raises(EventFormatError, match=r"broken\.mp4"):
        events_from_video(tmp_path / "broken.mp4")
