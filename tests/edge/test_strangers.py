"""The edge daemon's own port: whoever only stays connected keeps no asker out."""

from __future__ import annotations

import asyncio

from benchmarks.clips import load_questions
from common.ask import AskRequest, Mode, Report
from common.connection_limits import ConnectionLimits
from edge.asking import ask_daemon
from edge.config import EdgeSettings
from edge.daemon import EdgeDaemon
from tests.connecting import strangers


async def test_an_asker_is_answered_beside_a_thousand_strangers() -> None:
    daemon = EdgeDaemon(EdgeSettings(listen="127.0.0.1:0", cloud="127.0.0.1:1", threads=1))
    clip = load_questions()[0]
    ask = AskRequest(clip.question, str(clip.events), str(clip.video), mode=Mode.EDGE_ONLY, max_tokens=4)
    try:
        await daemon.start()
        async with strangers(daemon.address, 1_100) as crowd:
            events = await asyncio.to_thread(lambda: list(ask_daemon(daemon.address, ask)))
            assert isinstance(events[-1], Report)
            async with asyncio.timeout(20):
                while await crowd.left() > ConnectionLimits().strangers_per_host:
                    await asyncio.sleep(0.1)
            events = await asyncio.to_thread(lambda: list(ask_daemon(daemon.address, ask)))
            assert isinstance(events[-1], Report)
    finally:
        await daemon.stop()
