"""Whether an engine's books add up: slots, prompts, lengths, frames. Pure; what doesn't is a bug, found early."""

from __future__ import annotations

from cloud.session import Session
from cloud.slots import Slots
from common.errors import EngineError


def check_integrity(slots: Slots, *, count: int, capacity: int) -> None:
    """Raise EngineError if slots (`count` of `capacity` tokens), lengths and sessions don't add up."""
    used = sorted(s.slot for s in slots.sessions.values())
    if sorted([*used, *slots.free]) != list(range(count)):
        raise EngineError(f"KV slots leaked: {used} in use, {slots.free} free of {count}")
    if slots.sessions.keys() != slots.shapes.keys():
        odd = slots.sessions.keys() ^ slots.shapes.keys()
        raise EngineError(f"prompts without sessions, or the other way round: {odd}")
    for name, session in slots.sessions.items():
        _check_books(name, session, capacity)
    strangers = slots.frames.names - slots.sessions.keys()
    if strangers:
        raise EngineError(f"frames wait for sessions that are gone: {strangers}")


def _check_books(name: str, session: Session, capacity: int) -> None:
    known, stored = session.known_length, session.kv_length
    fine = (
        0 <= stored <= min(known, capacity)
        and len(session.committed) <= session.max_tokens
        and session.available <= session.prompt_length
        and (session.prefilled or stored <= max(session.available, 0) or session.available >= session.prompt_length)
        and not (session.pending and (session.reason is not None or session.parked_since is not None))
    )
    if not fine:
        raise EngineError(
            f"session {name}: {stored} stored of {known} known ({session.available} of {session.prompt_length} prompt "
            f"available, {len(session.committed)} committed, {len(session.pending)} pending)"
        )
