"""Profiles, traces and flags: what makes sense is taken, and the rest is said in one sentence."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.link.options import link_profile
from benchmarks.link.presets import PRESETS, preset
from benchmarks.link.profile import LinkProfile, Outage
from benchmarks.link.trace import load_trace, parse_trace
from common.errors import SettingsError


@pytest.mark.parametrize(
    "changes",
    [
        {"rtt_ms": -1},
        {"rtt_ms": math.nan},
        {"rtt_ms": "fast"},
        {"uplink_mbps": 0},
        {"downlink_mbps": math.inf},
        {"loss_pct": 100},
        {"loss_pct": -0.1},
        {"jitter_ms": 51},
        {"queue_ms": -3},
        {"name": ""},
        {"rtt_ms": True},
        {"outages": [{"start_s": 0, "duration_s": 2, "every_s": 2}]},
        {"outages": [{"start_s": 0, "duration_s": 1, "every_s": 2}, {"start_s": 1, "duration_s": 1, "every_s": 2}]},
        {"outages": [{"start_s": -1, "duration_s": 1}]},
        {"outages": [{"begin": 1}]},
        {"speed": 3},
    ],
)
def test_nonsense_is_refused(changes: dict[str, Any]) -> None:
    values = {"name": "x", "rtt_ms": 50.0, "uplink_mbps": 20.0, "downlink_mbps": 20.0}
    with pytest.raises(SettingsError):
        LinkProfile.from_dict(values | changes)


@pytest.mark.parametrize("profile", PRESETS.values(), ids=lambda p: p.name)
def test_presets_have_a_source_and_survive_the_way_through_json(profile: LinkProfile) -> None:
    assert len(profile.source) > 20
    assert LinkProfile.from_dict(profile.as_dict()) == profile


def test_there_are_the_nine_presets() -> None:
    names = ["lan", "wifi-good", "wifi-busy", "5g", "lte", "lte-poor", "starlink", "geo", "transatlantic"]
    assert list(PRESETS) == names
    with pytest.raises(SettingsError, match="there is no link profile 'lt'; there are lan"):
        preset("lt")


def test_a_queue_holds_a_round_trip_but_at_least_64_packets() -> None:
    assert LinkProfile("x", 5, 1, 1).queue_bytes(1.0) == 64 * 1500
    assert LinkProfile("x", 600, 100, 100).queue_bytes(100.0) == 7_500_000
    assert LinkProfile("x", 600, 100, 100, queue_ms=10).queue_bytes(100.0) == 125_000
    assert LinkProfile("x", 600, 100, 100, queue_ms=0).queue_bytes(100.0) == 1500


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "no trace"),
        ("0\n", "no trace"),
        ("5\n3\n", "line 2: 3 comes after 5"),
        ("5\nfive\n", "line 2: 'five'"),
        ("-1\n", "line 1"),
        ("1.5\n", "line 1"),
        ("99999999999\n", "line 1"),
        ("\x00\x01", "line 1"),
    ],
)
def test_garbage_is_no_trace(text: str, wrong: str, tmp_path: Path) -> None:
    file = tmp_path / "trace"
    file.write_text(text)
    with pytest.raises(SettingsError, match=wrong):
        load_trace(file)


def test_files_that_cannot_be_traces(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    for name in ("binary", "missing", "."):
        with pytest.raises(SettingsError, match="can't be read"):
            load_trace(tmp_path / name)


@given(st.lists(st.integers(0, 10_000), min_size=1).map(sorted).filter(lambda times: times[-1] > 0))
def test_traces_are_read_as_written(times: list[int]) -> None:
    trace = parse_trace("\n".join(map(str, times)) + "\n", "t")
    assert list(trace.times_ms) == times
    assert trace.mean_mbps == pytest.approx(len(times) * 12 / times[-1])


def test_flags_make_a_profile(tmp_path: Path) -> None:
    assert link_profile() is None
    assert link_profile("lte") is PRESETS["lte"]
    changed = link_profile("lte", loss=2.5)
    assert changed is not None and (changed.name, changed.loss_pct, changed.rtt_ms) == ("lte+loss_pct=2.5", 2.5, 100)
    plain = link_profile(rtt=50, uplink=20)
    assert plain is not None and (plain.name, plain.downlink_mbps) == ("50ms-20M", 20)
    (tmp_path / "up").write_text("1\n2\n")
    traced = link_profile(rtt=50, downlink=30, trace=tmp_path / "up")
    assert traced is not None
    assert (traced.uplink_mbps, traced.downlink_mbps, traced.uplink_trace) == (12, 30, str(tmp_path / "up"))


@pytest.mark.parametrize(
    "flags",
    [{"uplink": 5}, {"rtt": 5}, {"rtt": 5, "downlink": 5}, {"rtt": 5, "trace": Path("/nowhere")}, {"profile": "none"}],
)
def test_flags_that_leave_the_link_undescribed(flags: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        link_profile(flags.pop("profile", None), **flags)


def test_outages_of_a_preset() -> None:
    assert PRESETS["starlink"].outages == (Outage(10.0, 0.1, 15.0),)
