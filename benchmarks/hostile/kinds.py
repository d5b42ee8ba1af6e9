"""Who attacks what: insiders with a stolen token, strangers without one, and second clients of an honest edge."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from benchmarks.hostile.attackers import Attack, bomb, flood, fuzz, knock, read_slowly, strange, untimely
from benchmarks.hostile.doorsteps import answer_pings, flip_bits, unfold, watch_health
from benchmarks.hostile.odd_files import ask_about_files
from benchmarks.hostile.odd_videos import features_by_bytes, live_flood, pieces_of_nothing

Misdeed = Callable[[Attack], Awaitable[None]]

_SAYING: dict[str, Misdeed] = {"fuzz": fuzz, "flood": flood, "slow": read_slowly}
_SHOWING: dict[str, Misdeed] = {
    "bomb": bomb,
    "untimely": untimely,
    "pieces of nothing": pieces_of_nothing,
    "features by bytes": features_by_bytes,
    "live flood": live_flood,
}
_DAMAGING: dict[str, Misdeed] = {"flipped bits": flip_bits, "unfolding": unfold}
THIEVES = (_SAYING, _SHOWING, _DAMAGING)
"""Each with a token of its own: who is slowed down for nonsense slows down its like only."""

INSIDERS: dict[str, Misdeed] = {kind: misdeed for group in THIEVES for kind, misdeed in group.items()}
STRANGERS: dict[str, Misdeed] = {
    "strange": strange,
    "fuzz": fuzz,
    "knock": knock,
    "connections": answer_pings,
    "health watches": watch_health,
    "unfolding": unfold,
    "flipped bits": flip_bits,
}
ASKERS: dict[str, Misdeed] = {"files": ask_about_files}
