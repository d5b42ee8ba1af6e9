"""The ways across vocabularies beside the forms of adapters."""

from __future__ import annotations

import pytest

from benchmarks.alignment.ways import ways_of
from common.errors import SettingsError


def test_ways_across_have_the_other_drafter_and_the_targets_tokenizer() -> None:
    ids, text, pieces = ways_of([], [], ["text", "pieces"])
    assert ids.edge_arguments == []
    assert [text.label, pieces.label] == ["across by text", "across by pieces"]
    for way, name in ((text, "text"), (pieces, "pieces")):
        arguments = dict(zip(way.edge_arguments[::2], way.edge_arguments[1::2], strict=True))
        assert arguments["--across"] == name
        assert arguments["--model"].endswith("other-drafter")
        assert arguments["--target-tokenizer"].endswith("target")


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(SettingsError, match="smoke"):
        ways_of([], [], ["smoke"])
