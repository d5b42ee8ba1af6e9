"""The warden gives memory back once a crowd is gone, whether it came on many connections or on few."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest

from common import connection_warden
from common.accepted_sockets import Accepted, AcceptedSockets
from common.connection_limits import ConnectionLimits
from common.connection_warden import ConnectionWarden


class NoSockets(AcceptedSockets):
    """A port that nobody is connected to."""

    @property
    def supported(self) -> bool:
        return True

    def look(self) -> list[Accepted]:
        return []


@pytest.mark.parametrize("at_once", [True, False])
async def test_many_calls_on_one_connection_are_a_crowd(at_once: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    given_back = asyncio.Event()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(connection_warden, "give_back", lambda: loop.call_soon_threadsafe(given_back.set))
    monkeypatch.setattr(connection_warden, "_LOOK_S", 0.02)
    monkeypatch.setattr(connection_warden, "_QUIET_S", 0.1)
    warden = ConnectionWarden(ConnectionLimits(), NoSockets())
    warden.start()
    with ExitStack() as calls:
        for _ in range(100):
            if at_once:
                calls.enter_context(warden.call("ipv4:127.0.0.1:5000", ""))
            else:
                with warden.call("ipv4:127.0.0.1:5000", ""):
                    pass
        await asyncio.sleep(0.1)
        assert not (at_once and given_back.is_set())
    await asyncio.wait_for(given_back.wait(), 10)
    await warden.stop()
