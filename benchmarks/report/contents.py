"""Puts the page together from what was read. Nothing is drawn yet."""

from __future__ import annotations

from benchmarks.report.blocks import Block, Contents, Heading, Said, Section, Text
from benchmarks.report.capacity import capacities_of
from benchmarks.report.capacity_section import capacity_section, gains, heading_of
from benchmarks.report.circumstances import lossless, paradigms, reading, what_was_run
from benchmarks.report.comparison import Comparison, compare
from benchmarks.report.findings import findings_of
from benchmarks.report.lossless import check_lossless
from benchmarks.report.overview import acceptance, bytes_by_kind, over_rtt_and_bandwidth
from benchmarks.report.sections import on_one_clock, side_by_side
from benchmarks.report.settings import settings_of
from benchmarks.report.sources import Sources
from benchmarks.report.wording import plural


def contents_of(sources: Sources) -> Contents:
    """The whole page about these results."""
    settings = settings_of(sources.items)
    comparisons = [compare(setting) for setting in settings]
    runs = sources.runs
    commands = ", ".join(dict.fromkeys(source.command for source in sources.items))
    files = plural(len(sources.items), "file")
    return Contents(
        subtitle=f"{plural(len(runs), 'answer')} in {files}, measured by: {commands}",
        replayed=tuple(dict.fromkeys(run.replayed for run in runs if run.replayed)),
        sections=(
            _in_short(sources, comparisons),
            what_was_run(sources),
            paradigms(sources),
            side_by_side(comparisons),
            on_one_clock(comparisons),
            over_rtt_and_bandwidth(settings),
            acceptance(settings),
            bytes_by_kind(comparisons),
            capacity_section(capacities_of(sources.items)),
            reading(),
        ),
    )


def _in_short(sources: Sources, comparisons: list[Comparison]) -> Section:
    blocks: list[Block] = [*lossless(check_lossless(sources.items))]
    for findings in findings_of(comparisons):
        blocks.append(Heading(findings.where, f"replayed: {findings.replayed}" if findings.replayed else ""))
        blocks += [Text(findings.headline)] if findings.headline else []
        blocks += [Said(finding.tone, finding.lines) for finding in findings.items]
    if not comparisons:
        blocks.append(Text("Left out: nothing here compares paradigms, so nothing is said of winning.", missing=True))
    for capacity in capacities_of(sources.items):
        blocks += [heading_of(capacity), *(said for said in gains(capacity) if said.tone != "note")]
    return Section("short", "In short", tuple(blocks))
