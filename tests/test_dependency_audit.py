"""What the dependency audit says, with and without a service that answers."""

from __future__ import annotations

from tests.dependency_audit import verdict

CLEAN = {"name": "a", "version": "1", "vulns": []}
SKIPPED = {"name": "b", "version": "1", "skip_reason": "not found"}
BAD = {"name": "c", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}


def test_verdicts() -> None:
    assert verdict([CLEAN]) == ("1 packages without known vulnerabilities", 0)
    assert verdict([CLEAN, SKIPPED]) == ("1 packages without known vulnerabilities, 1 not known there", 0)
    text, status = verdict([CLEAN, BAD])
    assert (status, "CVE-1, mended in 2" in text) == (1, True)


def test_no_answer_is_not_a_clean_bill() -> None:
    for report in ([], [SKIPPED]):
        text, status = verdict(report)
        assert (text.split(":")[0], status) == ("NOT AUDITED", 0)
