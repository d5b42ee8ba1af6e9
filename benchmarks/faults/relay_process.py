"""Both relays in a process of its own, on the cloud's side of the link: `python -m benchmarks.faults.relay_process`.

Reads `{"host": HOST, "cloud": HOST:PORT}`, answers `{"bytes": ADDRESS, "messages": ADDRESS}`, then one line for each
order (`TcpRelay.strike`, `MessageRelay.strike`). Ends when its input ends.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from benchmarks.faults.message_relay import MessageRelay
from benchmarks.faults.tcp_relay import TcpRelay
from benchmarks.link.child_side import read_line, say, stay_behind


async def _run() -> None:
    settings = json.loads(read_line())
    byte_relay, message_relay = TcpRelay(settings["cloud"]), MessageRelay(settings["cloud"])
    addresses = {"bytes": byte_relay.listen(settings["host"]), "messages": await message_relay.listen(settings["host"])}
    ended = asyncio.Event()

    def obey(order: dict[str, Any]) -> dict[str, Any]:
        if order["do"] in ("reorder", "duplicate", "damage"):
            message_relay.strike(order)
            return {"struck": 1}
        if order["do"] == "met":
            return {"met": message_relay.mischief.met}
        return {"struck": byte_relay.strike(order)}

    def react() -> None:
        if line := read_line():
            say(obey(json.loads(line)))
        else:
            ended.set()

    asyncio.get_running_loop().add_reader(0, react)
    say(addresses)
    await ended.wait()
    await message_relay.close()


def main() -> None:
    """Run until standard input ends."""
    stay_behind()
    asyncio.run(_run())


if __name__ == "__main__":
    main()
