"""The part of the page about capacity: curves, and in words who carries more."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.report.blocks import Block, Heading, Picture, Said, Section, Table, Text
from benchmarks.report.capacity import FIGURES, IN_TIME, Bound, Capacity, CapacityCurve, best, knee
from benchmarks.report.comparison import BASELINE, STREAM
from benchmarks.report.wording import NONE, link_name, number, shown, times

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def capacity_section(capacities: Sequence[Capacity]) -> Section:
    """A picture, sentences and a folded table for every file that has fleets."""
    blocks: list[Block] = []
    for place, capacity in enumerate(capacities):
        heading, said = heading_of(capacity), gains(capacity)
        blocks += [heading, *said]
        caption = f"Objective of goodput: {capacity.objective}." if capacity.objective else ""
        caption += " Dotted: theory's number of clients, with the round trip." if capacity.bounds else ""
        alt = " ".join(line for one in said for line in one.lines)
        draw = partial(_draw, capacity)
        blocks.append(Picture(f"capacity-{place + 1}", caption, alt, draw, heading.text, capacity.replayed))
        blocks.append(_table(capacity))
    if not blocks:
        blocks.append(Text("Left out: no file counts clients (see capacity and simulate).", missing=True))
    return Section("capacity", "How many clients one cloud carries", tuple(blocks))


def _draw(capacity: Capacity) -> Figure:
    from benchmarks.report.pictures.capacity import draw_capacity

    return draw_capacity(capacity)


def heading_of(capacity: Capacity) -> Heading:
    """Its command, link and backend, marked where it is replayed."""
    text = f"{capacity.command}: {link_name(capacity.link)} ({capacity.backend})"
    return Heading(text, f"replayed: {capacity.replayed}" if capacity.replayed else "")


def gains(capacity: Capacity) -> list[Said]:
    """Stream-to-cloud against cloud only: largest throughput and goodput, and clients within the objective."""
    base = next((curve for curve in capacity.curves if curve.label == BASELINE), None)
    streams = [curve for curve in capacity.curves if curve.label.partition("/")[0] == STREAM]
    if base is None or not streams:
        return [Said("note", ("Cloud only or stream to cloud is missing here, so nothing is said of gains.",))]
    lines: dict[str, list[str]] = {}
    for stream in streams:
        for figure, name in (("tokens_per_s", "tokens a second"), ("goodput_per_s", "answers a second in time")):
            own, other = best(stream, figure), best(base, figure)
            if own and other and other[1]:
                ratio = own[1] / other[1]
                tone = "even" if abs(ratio - 1) <= 0.02 else "win" if ratio > 1 else "loss"
                text = f"{shown(stream.label)} reaches {number(own[1])} {name} (at {own[0]} clients), cloud only "
                lines.setdefault(tone, []).append(f"{text}{number(other[1])} (at {other[0]}): {times(ratio)}.")
        lines.setdefault("note", []).extend(_knees(stream, base))
    lines.setdefault("note", []).extend(_bound(bound) for bound in capacity.bounds)
    return [Said(tone, tuple(lines[tone])) for tone in ("win", "loss", "even", "note") if lines.get(tone)]


def _knees(stream: CapacityCurve, base: CapacityCurve) -> list[str]:
    if not any("goodput_share" in level.figures for level in (*stream.levels, *base.levels)):
        return []
    own, other = (str(count) if count else "none of the measured numbers of" for count in (knee(stream), knee(base)))
    text = f"{IN_TIME:.0%} of answers come in time up to {own} clients with {shown(stream.label)}"
    return [f"{text}, {other} with cloud only."]


def _bound(bound: Bound) -> str:
    text = f"Theory for {shown(bound.label)}: 1 + gamma t_d / t_v = {number(bound.clients)} clients keep drafting and "
    text += "verifying busy, without batching"
    if bound.with_round_trip is not None:
        text += f"; {number(bound.with_round_trip)} with the round trip"
    return f"{text} ({bound.words})." if bound.words else f"{text}."


def _table(capacity: Capacity) -> Table:
    names = [name for name in FIGURES if any(curve.of(name) for curve in capacity.curves)]
    rows = tuple(
        (shown(curve.label), f"{level.clients:,}", *(number(level.figures.get(name)) for name in names))
        for curve in capacity.curves
        for level in curve.levels
    )
    head = ("paradigm", "clients", *(FIGURES[name] for name in names))
    return Table(head, rows or ((NONE,) * len(head),), caption="Every number of clients", folded=True)
