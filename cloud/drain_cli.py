"""`eventspec-cloud drain`."""

from __future__ import annotations

from typing import Annotated

import typer

from cloud.reach_options import CaOption, CertOption, InsecureOption, KeyOption, NameOption
from common.cli import say


def drain(
    address: Annotated[
        str, typer.Argument(help="HOST:PORT of a cloud daemon, or its --local-listen.")
    ] = "127.0.0.1:50051",
    grace_s: Annotated[
        float, typer.Option(help="Seconds that running answers get to end before they go elsewhere.")
    ] = 30.0,
    undo: Annotated[bool, typer.Option("--undo", help="Take new sessions again.")] = False,
    ca: CaOption = "",
    cert: CertOption = "",
    key: KeyOption = "",
    name: NameOption = "",
    token_file: Annotated[str, typer.Option(help="File with a token of scope admin, where it wants tokens.")] = "",
    insecure: InsecureOption = False,
) -> None:
    """Let a cloud take no new sessions, wait until the running ones have ended or gone elsewhere; it stays up.

    Its readiness says so (liveness stays). Ctrl-C ends the waiting, not the draining; `--undo` takes it back. A
    daemon that is ended (SIGTERM) drains by itself for `grace_s` of its settings.
    """
    import math
    import time

    from common import codec
    from common.errors import PromptError
    from common.reach import Reaching
    from common.rpc import ask_once
    from common.security import Reach

    if not (math.isfinite(grace_s) and 0 <= grace_s <= 86_400):
        raise PromptError("grace-s must be between 0 and 86400")
    reach = Reach(ca, cert, key, name, token_file, insecure)
    reach.check(address)
    reaching = Reaching(reach)
    ends_at = time.monotonic() + grace_s
    with reaching.channel(address, []) as channel:
        told = -1
        while True:
            grace_ms = max(0, round((ends_at - time.monotonic()) * 1e3))
            wish = codec.encode_drain(undo=undo, grace_ms=grace_ms)
            reply = ask_once(channel, f"/{codec.SERVICE}/Drain", wish, metadata=reaching.metadata(), timeout=5.0)
            state = codec.decode_drain_state(reply)
            if undo or not state.running:
                break
            if state.running != told:
                say(f"{state.running} sessions still run", err=True)
                told = state.running
            time.sleep(0.2)
    say("takes new sessions again" if undo else f"drained; {state.handed_over} sessions went elsewhere")
