"""What the dependency audit says, with and without a service that answers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.supply.audit import CLEAN, INCOMPLETE, VULNERABLE, ask, installed, verdict

WANTED = {"a": "1", "b-c": "2"}
GOOD = {"name": "a", "version": "1", "vulns": []}
SKIPPED = {"name": "b-c", "skip_reason": "not found"}
BAD = {"name": "B_c", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}


def test_all_were_asked_about() -> None:
    assert verdict({"a": "1"}, [GOOD]) == ("1 of 1 packages were asked about, none with a known vulnerability", CLEAN)
    text, status = verdict(WANTED, [GOOD, BAD])
    assert status == VULNERABLE
    assert "B_c 2: CVE-1, mended in 3\n2 of 2 packages" in text


def test_what_was_not_asked_about_is_named_and_no_clean_bill() -> None:
    text, status = verdict(WANTED, [GOOD, SKIPPED])
    assert status == INCOMPLETE
    assert "1 of 2 packages were asked about" in text
    assert "INCOMPLETE, not asked about: b-c\n" in text
    assert "make sbom" in text


@pytest.mark.parametrize("report", [[], [SKIPPED]])
def test_no_answer_at_all(report: list[dict[str, str]]) -> None:
    text, status = verdict(WANTED, report, "no route")
    assert text.startswith("NOT AUDITED: of 2 packages none could be asked about")
    assert ("no route" in text, status) == (True, INCOMPLETE)


def test_builds_count_as_their_release() -> None:
    assert installed([("Torch", "2.13.0+cpu"), ("eventspec", "1"), ("a_b", "2")]) == {"torch": "2.13.0", "a-b": "2"}


def test_a_tool_that_fails_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\necho 'ERROR: no network' >&2\nexit 1\n")
    (tmp_path / "tool").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "tool"))
    assert ask(WANTED) == ([], "ERROR: no network")
