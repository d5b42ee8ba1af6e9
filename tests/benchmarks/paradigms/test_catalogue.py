from __future__ import annotations

import pytest

from benchmarks.commands.experiment import fit_to_layout
from benchmarks.paradigms.catalogue import (
    CLOUD_ONLY,
    PARADIGMS,
    UNAVAILABLE,
    ahead_notes,
    choose_paradigms,
    unavailable_notes,
)
from benchmarks.paradigms.deployment import Layout
from benchmarks.results import is_ahead
from common.errors import SettingsError


def test_all_are_chosen_by_default_and_every_label_once() -> None:
    labels = [paradigm.label for paradigm in choose_paradigms(None)]
    assert labels == [paradigm.label for paradigm in PARADIGMS]
    assert len(set(labels)) == len(labels)


def test_a_name_without_mode_means_all_modes_in_the_catalogues_order() -> None:
    chosen = [paradigm.label for paradigm in choose_paradigms(["in_process", "stream_to_cloud/tokens-patient"])]
    assert chosen == ["stream_to_cloud/tokens-patient", "in_process/generate", "in_process/assisted"]


def test_what_streams_ahead_is_named_so() -> None:
    ahead = [paradigm.label for paradigm in PARADIGMS if paradigm.ahead]
    assert ahead == [
        "cloud_only/ahead",
        "stream_to_cloud/tokens-eager-ahead",
        "stream_to_cloud/tokens-patient-ahead",
    ]
    assert ahead == [label for label in (p.label for p in PARADIGMS) if is_ahead(label)]
    (note,) = ahead_notes(PARADIGMS)
    assert all(label in note for label in ahead)
    assert ahead_notes([CLOUD_ONLY]) == []


def test_what_is_not_available_says_why() -> None:
    for label, why in UNAVAILABLE.items():
        with pytest.raises(SettingsError, match="not available"):
            choose_paradigms([label])
        assert any(label in note and why in note for note in unavailable_notes())


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="cloud_only"):
        choose_paradigms(["cloud-only"])


def test_only_the_edge_alone_is_lossy() -> None:
    assert [p.name for p in PARADIGMS if not p.lossless] == ["edge_only"]
    assert {p.name for p in PARADIGMS if not p.crosses_link} == {"edge_only", "in_process"}


def test_hidden_states_need_an_adapter() -> None:
    named = choose_paradigms(["stream_to_cloud/tokens-eager", "stream_to_cloud/hidden-eager"])
    kept, (note,) = fit_to_layout(named, Layout())
    assert [p.label for p in kept] == ["stream_to_cloud/tokens-eager"] and "--adapter" in note
    assert fit_to_layout(named, Layout(adapter="somewhere")) == (named, [])
    with pytest.raises(SettingsError, match="--adapter"):
        fit_to_layout(named[1:], Layout())


def test_what_the_controller_chooses_runs_by_its_full_name_only() -> None:
    assert "stream_to_cloud/tokens-auto" not in [p.label for p in choose_paradigms(["stream_to_cloud"])]
    (auto,) = choose_paradigms(["stream_to_cloud/tokens-auto-ahead"])
    assert auto.pace is None and auto.ahead and is_ahead(auto.label)
