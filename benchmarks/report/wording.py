"""The words of the page: what paradigms are called and are, and how numbers and links are written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NONE = "\N{EN DASH}"
_GRID_NAME = re.compile(r"[\d.]+ms-[\d.]+M")  # of a sweep's points: says nothing that the figures don't
TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True, slots=True)
class Paradigm:
    """One way of sharing the work. `edge`, `link`, `cloud` are what happens where, in a few words."""

    title: str
    text: str
    edge: str
    link: str
    cloud: str


PARADIGMS: dict[str, Paradigm] = {
    "cloud_only": Paradigm(
        "cloud only",
        "The baseline. The edge uploads the video, the cloud's model reads it and says the answer, a token at a time.",
        "films",
        "video up, tokens down",
        "large model answers",
    ),
    "stream_to_cloud": Paradigm(
        "stream to cloud",
        "What this project is about. While the video uploads, the edge's small model drafts the answer from the event "
        "stream; the cloud's large model checks the drafts on the video, many tokens a pass, and has the last word: "
        "the answer is token for token what it would have said alone.",
        "small model drafts from events",
        "video and drafts up, commits down",
        "large model verifies",
    ),
    "edge_only": Paradigm(
        "edge only",
        "The edge's small model answers alone. Nothing crosses the link, and nobody checks the answer.",
        "small model answers",
        "nothing",
        "idle",
    ),
    "edge_vision": Paradigm(
        "edge vision",
        "The edge runs the large model's vision side and uploads features instead of video.",
        "large model's vision side",
        "features up, tokens down",
        "large model's language side",
    ),
    "colocated": Paradigm(
        "colocated",
        "Ordinary speculative decoding: drafter and large model both stand in the cloud; the edge uploads what both "
        "look at.",
        "films",
        "events and video up, tokens down",
        "small model drafts, large one verifies",
    ),
    "in_process": Paradigm(
        "in process",
        "Both models in one process on one machine, without a link or a runtime: a check on what those cost.",
        "all of it",
        "nothing",
        "idle",
    ),
}


def shown(label: str) -> str:
    """How a run's label stands in pictures and tables: "stream to cloud · tokens-eager"."""
    paradigm, _, mode = label.partition("/")
    title = PARADIGMS[paradigm].title if paradigm in PARADIGMS else paradigm.replace("_", " ")
    return f"{title} · {shown_mode(mode)}" if mode else title


def shown_mode(mode: str) -> str:
    """A mode in words: "tokens-eager", "tokens-eager, streamed ahead" where the clip goes up before the question."""
    plain, _, last = mode.rpartition("-")
    return ", ".join(filter(None, (plain, "streamed ahead"))) if last == "ahead" else mode


def link_name(link: Mapping[str, Any]) -> str:
    """A link in a few words: "lte, RTT 50 ms, 20 Mbit/s up"; what isn't known is left out."""
    if not link:
        return "no link"
    name = str(link.get("name") or "")
    parts = [name] if name and not _GRID_NAME.fullmatch(name) else []
    if isinstance(link.get("rtt_ms"), int | float):
        parts.append(f"RTT {number(link['rtt_ms'])} ms")
    up, down = link.get("uplink_mbps"), link.get("downlink_mbps")
    if isinstance(up, int | float):
        parts.append(f"{number(up)} Mbit/s up")
    if isinstance(down, int | float) and down != up:
        parts.append(f"{number(down)} down")
    if isinstance(link.get("loss_pct"), int | float) and link["loss_pct"]:
        parts.append(f"{number(link['loss_pct'])} % loss")
    return ", ".join(parts) or "unnamed link"


def number(value: float | None, digits: int = 3) -> str:
    """A number with about `digits` significant digits, never in scientific notation; a dash for None."""
    if value is None:
        return NONE
    if value == 0:
        return "0"
    whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    text = f"{value:,.{max(0, digits - max(whole, 1))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def milliseconds(value: float | None) -> str:
    """A time in ms, from 10 s on in seconds."""
    if value is None:
        return NONE
    return f"{value / 1e3:.1f} s" if value >= 10_000 else f"{number(value)} ms"


def times(ratio: float | None) -> str:
    """A ratio with its sign, e.g. "1.42" and the sign of multiplication."""
    return NONE if ratio is None else f"{ratio:.2f}{TIMES}"


def data(count: float | None) -> str:
    """Bytes in B, kB or MB (powers of ten)."""
    if count is None:
        return NONE
    for unit, size in (("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{number(count / size)} {unit}"
    return f"{number(count)} B"


def share(part: float, whole: float) -> str:
    """A share in whole percent; a dash of nothing."""
    return f"{part / whole:.0%}" if whole else NONE


def plural(count: int, word: str) -> str:
    """The word in the number that fits: "1 link", "3 links"."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"
