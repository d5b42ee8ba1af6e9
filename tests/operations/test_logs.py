"""Logs: one object a line, with the session, without secrets."""

from __future__ import annotations

import json
import logging

import pytest

from cloud.config import CloudSettings
from common.access import Scope, new_token
from common.errors import SettingsError
from common.logs import JsonLines, Lines, in_session, without_secrets
from edge.config import EdgeSettings


def record(message: str, *values: object, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("eventspec.test", logging.WARNING, "", 0, message, values, None)
    made.fields = fields
    return made


async def test_a_session_is_told_by_a_part_of_its_id() -> None:
    in_session("0123456789abcdef0123456789abcdef")
    line = json.loads(JsonLines().format(record("opened %s", "it", tokens=5, ttft_ms=None)))
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "eventspec.test",
        "message": "opened it",
        "session": "01234567",
        "tokens": 5,
        "ttft_ms": None,
    }
    assert Lines().format(record("opened", tokens=5)).endswith("eventspec.test: [01234567] opened tokens=5")


def test_secrets_are_blackened_wherever_they_are() -> None:
    token, _ = new_token("edge-1", [Scope.INFO])
    for formatter in (JsonLines(), Lines()):
        text = formatter.format(record("it was %s", token, header=f"Bearer {token}", other="Bearer abcdefgh"))
        assert token not in text
        assert "abcdefgh" not in text
        assert "[hidden]" in text
    assert without_secrets("nothing of the kind") == "nothing of the kind"


def test_an_error_is_part_of_its_line() -> None:
    try:
        raise ValueError("broken")
    except ValueError as error:
        made = record("it failed")
        made.exc_info = (ValueError, error, error.__traceback__)
    assert "ValueError: broken" in json.loads(JsonLines().format(made))["error"]


@pytest.mark.parametrize("kind", [CloudSettings, EdgeSettings])
def test_formats_by_name(kind: type[CloudSettings] | type[EdgeSettings]) -> None:
    assert kind(log_format="json").log_format == "json"
    with pytest.raises(SettingsError, match="text, json"):
        kind(log_format="xml")
