"""The parts of the page about single settings: paradigms side by side, and one answer on one clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.paradigms.choosing import Conditions, choose_ahead, choose_measured, choose_paradigm
from benchmarks.paradigms.statistics import Spread
from benchmarks.report.blocks import Block, Heading, Picture, Section, Table, Text
from benchmarks.report.comparison import BASELINE, Comparison, Contrast, Row, Verdict
from benchmarks.report.settings import Setting
from benchmarks.report.timeline import Timeline, median_question, median_run, stage_times, timeline_of
from benchmarks.report.wording import NONE, data, link_name, number, plural, share, shown, times

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from benchmarks.results import Run


_FULL = 4


def chosen(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Those shown in full: all of a family of up to four, of a larger one and of a sweep the link in the middle."""
    families: dict[object, list[Comparison]] = {}
    for comparison in comparisons:
        families.setdefault(comparison.setting.family, []).append(comparison)
    found = []
    for family in families.values():
        few = len(family) <= _FULL and family[0].setting.command != "sweep"
        found += family if few else [_middle(family)]
    return found


def _middle(family: Sequence[Comparison]) -> Comparison:
    def figures(comparison: Comparison) -> tuple[float, float]:
        link = comparison.setting.link
        return float(link.get("rtt_ms") or 0), float(link.get("uplink_mbps") or 0)

    rtts, ups = (sorted(set(values)) for values in zip(*map(figures, family), strict=True))
    middle = rtts[(len(rtts) - 1) // 2], ups[(len(ups) - 1) // 2]
    return min(family, key=lambda c: (abs(figures(c)[0] - middle[0]), abs(figures(c)[1] - middle[1])))


def side_by_side(comparisons: Sequence[Comparison]) -> Section:
    """Spread and table of the chosen settings; of large families every link in a folded table."""
    blocks: list[Block] = []
    full = chosen(comparisons)
    for place, comparison in enumerate(full):
        blocks.append(heading(comparison.setting))
        alt = "; ".join(f"{shown(row.label)}: median total {number(row.total.median)} ms" for row in comparison.rows)
        caption = "Every answer is a dot; the bar spans the quartiles, the line is the median."
        name, foot = f"spread-{place + 1}", foot_of(comparison.setting)
        blocks.append(Picture(name, caption, alt, partial(_draw_spread, comparison), *foot))
        blocks += _tables(comparison)
        blocks += _choice(comparison)
    rest = [comparison for comparison in comparisons if comparison not in full]
    if rest:
        blocks.append(_all_links(comparisons))
    if not comparisons:
        blocks.append(Text("Left out: none of the files compares paradigms.", missing=True))
    return Section("compare", "The paradigms side by side", tuple(blocks))


def heading(setting: Setting) -> Heading:
    """Of a setting: its command, link and backend, marked where it is replayed."""
    text, replayed = foot_of(setting)
    return Heading(text, f"replayed: {replayed}" if replayed else "")


def foot_of(setting: Setting) -> tuple[str, str]:
    """The same for a picture's foot: the words, and the replayed profile."""
    return f"{setting.command}: {replace(setting, replayed='').name}", setting.replayed


def _draw_spread(comparison: Comparison) -> Figure:
    from benchmarks.report.pictures.spread import draw_spread

    return draw_spread(comparison)


def _tables(comparison: Comparison) -> list[Block]:
    """Times first, then what they cost and what they are worth."""
    head = (
        "paradigm", "answers", "TTFT, ms", "quartiles", "total, ms", "quartiles", "ms a token", "times as fast, TTFT",
        "times as fast, total", "slower on",
    )  # fmt: skip
    beside = (
        "paradigm", "first draft, ms", "passes of the large model a token", "drafts accepted", "sent up", "sent down",
        "the same as cloud only's", "right",
    )  # fmt: skip
    return [
        Table(head, tuple(_times(row) for row in comparison.rows)),
        Table(beside, tuple(_costs(row) for row in comparison.rows)),
    ]


def _name(row: Row) -> str:
    return shown(row.label) if row.lossless else f"{shown(row.label)} (unverified)"


def _times(row: Row) -> tuple[str, ...]:
    speed = row.speed_total
    return (
        _name(row),
        f"{row.runs}",
        number(row.ttft.median) if row.ttft else NONE,
        _quartiles(row.ttft),
        number(row.total.median),
        _quartiles(row.total),
        number(row.tpot.median) if row.tpot else NONE,
        _speed(row.speed_ttft),
        _speed(speed),
        f"{speed.slower} of {speed.pairs}" if speed and speed.pairs else NONE,
    )


def _costs(row: Row) -> tuple[str, ...]:
    return (
        _name(row),
        number(row.provisional.median) if row.provisional else NONE,
        number(row.passes_per_token),
        share(row.accepted, row.drafted),
        data(row.uplink_bytes),
        data(row.downlink_bytes),
        f"{row.same} of {row.comparable}" if row.comparable else NONE,
        f"{row.right} of {row.judged}" if row.judged else NONE,
    )


def _quartiles(spread: Spread | None) -> str:
    return NONE if spread is None else f"{number(spread.low)} to {number(spread.high)}"


def _speed(held: Contrast | None) -> str:
    if held is None:
        return NONE
    return times(held.ratio) if held.verdict in (Verdict.FASTER, Verdict.SLOWER) else f"({times(held.ratio)})"


def _choice(comparison: Comparison) -> list[Block]:
    """What the research log's thresholds would have chosen, and what was the fastest here."""
    link = comparison.setting.link
    if not link or not any(run.total_ms for run in comparison.setting.of(BASELINE)):
        return []
    measured = choose_measured(comparison.setting.runs)
    assert measured is not None
    rule = choose_paradigm(Conditions(rtt_ms=link.get("rtt_ms"), uplink_mbps=link.get("uplink_mbps")))
    text = (
        f"The thresholds of the research that this project began with would choose {shown(rule.paradigm)} here "
        f"({rule.why}). These measurements choose {shown(measured.paradigm)}: {measured.why.replace('_', ' ')}."
    )
    if (ahead := choose_ahead(comparison.setting.runs)) is not None:
        text += (
            f" Where the clip is streamed while it is recorded and the question comes at its end, they choose "
            f"{shown(ahead.paradigm)}: {ahead.why.replace('_', ' ')}; cloud only uploads after the question."
        )
    return [Text(text)]


def _all_links(comparisons: Sequence[Comparison]) -> Table:
    rows = []
    for comparison in comparisons:
        for row in comparison.rows:
            rows.append((
                comparison.setting.command, link_name(comparison.setting.link), comparison.setting.replayed or "real",
                shown(row.label), f"{row.runs}", number(row.ttft.median) if row.ttft else NONE,
                number(row.total.median), _quartiles(row.total), _speed(row.speed_ttft), _speed(row.speed_total),
            ))  # fmt: skip
    head = (
        "command", "link", "model stages", "paradigm", "answers", "TTFT, ms", "total, ms", "quartiles",
        "times as fast, TTFT", "times as fast, total",
    )  # fmt: skip
    return Table(head, tuple(rows), caption="Every link that was measured", words=4, folded=True)


def on_one_clock(comparisons: Sequence[Comparison]) -> Section:
    """Timelines of the median runs, and what each stage took."""
    blocks: list[Block] = []
    for place, comparison in enumerate(chosen(comparisons)):
        stream = comparison.fastest_stream
        labels = [BASELINE, stream.label] if stream else [BASELINE]
        question = median_question(comparison.setting.of(BASELINE)) or median_question(comparison.setting.runs)
        runs = [run for label in labels if (run := median_run(comparison.setting.of(label), question))]
        blocks.append(heading(comparison.setting))
        if not runs:
            blocks.append(
                Text("Left out: no run of cloud only or stream to cloud here recorded its stages.", missing=True)
            )
            continue
        lines = [timeline_of(run) for run in runs]
        name, foot = f"timeline-{place + 1}", foot_of(comparison.setting)
        blocks.append(Picture(name, _caption(lines, runs), _alt(lines), partial(_draw_timelines, lines), *foot))
        blocks.append(_stage_table(comparison, labels))
    if not comparisons:
        blocks.append(Text("Left out: none of the files compares paradigms.", missing=True))
    return Section("timeline", "One answer on one clock", tuple(blocks))


def _draw_timelines(lines: Sequence[Timeline]) -> Figure:
    from benchmarks.report.pictures.timeline import draw_timelines

    return draw_timelines(lines)


def _caption(lines: Sequence[Timeline], runs: Sequence[Run]) -> str:
    first = lines[0]
    text = f"Clip “{first.clip}”, asked “{first.question}”, answered “{first.answer.strip()}”. "
    text += "The question whose answers took the median time, and of each paradigm the median run on it."
    free = [run.extra["free_drafts"] for run in runs if isinstance(run.extra.get("free_drafts"), int)]
    if free and free[-1]:
        text += f" {plural(free[-1], 'token')} stood drafted when the first commit came."
    modes = [line.label for line in lines if line.label.startswith("stream_to_cloud/")]
    return f"{text} Of stream to cloud the mode that was fastest here: {shown(modes[0])}." if modes else text


def _alt(lines: Sequence[Timeline]) -> str:
    return "; ".join(
        f"{shown(line.label)}: first token at {number(line.first_token_ms)} ms, complete at {number(line.end_ms)} ms, "
        f"{number(line.hidden_ms)} of {number(line.edge_work_ms)} ms of the edge's work hidden"
        for line in lines
    )


def _stage_table(comparison: Comparison, labels: Sequence[str]) -> Table:
    rows = []
    for label in labels:
        for stage in stage_times(comparison.setting.of(label)):
            name, took = stage.name.replace("_", " "), number(stage.median_ms)
            rows.append((shown(label), stage.lane, name, took, number(stage.spans), f"{stage.runs}"))
    head = ("paradigm", "where", "stage", "ms an answer", "times an answer", "answers that had it")
    caption = "Stages over all answers: medians of an answer's sum"
    return Table(head, tuple(rows), caption=caption, words=3, folded=True)
