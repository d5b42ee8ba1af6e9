"""The parts of the page about all settings together: speed-up over links, acceptance, bytes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.report.acceptance import MIN_CHECKED, curves_of
from benchmarks.report.blocks import Block, Heading, Picture, Section, Text
from benchmarks.report.comparison import Comparison, Verdict
from benchmarks.report.grid import Grid, grids_of
from benchmarks.report.sections import chosen, foot_of, heading
from benchmarks.report.settings import Setting
from benchmarks.report.traffic import traffic_of
from benchmarks.report.word_classes import WordClasses, shipped_classifier, training_rates, word_classes
from benchmarks.report.wording import data, plural, share, shown, times

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from benchmarks.report.acceptance import Curve
    from benchmarks.report.traffic import Traffic


def over_rtt_and_bandwidth(settings: Sequence[Setting]) -> Section:
    """Heat maps of speed-up, one picture a paradigm."""
    pairs: dict[tuple[str, ...], list[Grid]] = {}
    for grid in grids_of(settings):
        pairs.setdefault((grid.command, grid.backend, grid.replayed, grid.fixed, grid.label), []).append(grid)
    blocks: list[Block] = []
    last: tuple[str, ...] = ()
    for place, key in enumerate(sorted(pairs, key=lambda key: (key[:4], not key[4].startswith("stream_to_cloud")))):
        command, backend, replayed, fixed, _ = key
        foot = f"{command} ({backend}{', ' + fixed if fixed else ''})"
        if key[:4] != last:
            blocks.append(Heading(foot, f"replayed: {replayed}" if replayed else ""))
        last = key[:4]
        words = _grid_words(pairs[key])
        blocks.append(Picture(f"speedup-{place + 1}", words, words, partial(_draw_heat, pairs[key]), foot, replayed))
    if not blocks:
        text = (
            "Left out: cloud only and another paradigm weren't measured at more than one RTT or bandwidth (see sweep)."
        )
        blocks.append(Text(text, missing=True))
    return Section("speedup", "Speed-up over round-trip time and bandwidth", tuple(blocks))


def _draw_heat(grids: Sequence[Grid]) -> Figure:
    from benchmarks.report.pictures.heat import draw_heat

    return draw_heat(grids)


def _grid_words(grids: Sequence[Grid]) -> str:
    words = [f"{shown(grids[0].label)} against cloud only."]
    for grid in grids:
        ratios = [cell.ratio for cell in grid.cells.values()]
        verdicts = [cell.verdict for cell in grid.cells.values()]
        faster, slower = verdicts.count(Verdict.FASTER), verdicts.count(Verdict.SLOWER)
        name = "Total time" if grid.metric == "total_ms" else "Time to first token"
        text = f"{name}: faster at {faster} of {len(ratios)} points, slower at {slower}"
        text += f"; from {times(min(ratios))} to {times(max(ratios))}"
        words.append(text + ("." if grid.breaks_even else ", so no break-even line crosses the grid."))
    return " ".join(words)


def acceptance(settings: Sequence[Setting]) -> Section:
    """By place in the draft from the runs; by class of word from the training's evaluation."""
    blocks: list[Block] = []
    curves = curves_of(settings)
    if curves:
        caption = (
            "Of the draft tokens that the large model checked, how many were its own choice, by their place in the "
            "checked run (over all links). A token behind a miss counts as not accepted. Bars: 95 % intervals. Places "
            f"at which fewer than {MIN_CHECKED} tokens were checked are left out."
        )
        firsts = [(curve.label, curve.shares[0]) for curve in curves]
        alt = "; ".join(f"{shown(label)}: first place {share(s.accepted, s.drafted)}" for label, s in firsts)
        blocks.append(Picture("acceptance-by-place", caption, alt, partial(_draw_places, curves)))
        runs = [run for setting in settings for run in setting.runs]
        blocks += _by_class(word_classes(runs, shipped_classifier(runs), training_rates()))
    else:
        blocks.append(Text("Left out: no run drafted anything that was checked.", missing=True))
    return Section("acceptance", "How often drafts are right", tuple(blocks))


def _by_class(classes: WordClasses) -> list[Block]:
    training = classes.training
    if not classes.shares and training is None:
        return [
            Text("By class of word: left out; neither the runs nor the shipped pair's figures tell it.", missing=True)
        ]
    words = ["Accepted drafts by class of word."]
    if classes.shares:
        most, least = classes.shares[0], classes.shares[-1]
        words.append(
            f"Bars: {plural(classes.runs, 'answer')} of stream to cloud above, counting drafts on a right prefix, up "
            "to the first miss of a pass, each position of an answer once, with 95 % intervals; most: "
            f"{most.name} ({most.rate:.0%}), least: {least.name} ({least.rate:.0%})."
        )
    if training is not None:
        mark, other = ("Diamonds", "; not of these runs") if classes.shares else ("Bars", ", not of these runs")
        words.append(
            f"{mark}: the shipped tiny pair on {training.scenes} held-out scenes as its training's evaluation measured "
            f"it, with one token drafted at each position of the large model's own answer{other}."
        )
    words.append("Events carry no colour: a colour that nobody has named yet can only be guessed.")
    shares = {share.name: share.rate for share in classes.shares} or dict(training.rates if training else {})
    alt = "; ".join(f"{name}: {rate:.0%}" for name, rate in shares.items())
    return [Picture("acceptance-by-class", " ".join(words), alt, partial(_draw_classes, classes))]


def _draw_places(curves: Sequence[Curve]) -> Figure:
    from benchmarks.report.pictures.acceptance import draw_by_place

    return draw_by_place(curves)


def _draw_classes(classes: WordClasses) -> Figure:
    from benchmarks.report.pictures.acceptance import draw_by_class

    return draw_by_class(classes)


def bytes_by_kind(comparisons: Sequence[Comparison]) -> Section:
    """Of the first setting over a link that is shown in full."""
    full = chosen(comparisons)
    first = next((c for c in full if c.setting.link), full[0] if full else None)
    traffic = traffic_of(first.setting) if first else []
    if first is None or not traffic:
        text = "Left out: no run that compares paradigms sent anything."
        return Section("bytes", "What crosses the link", (Text(text, missing=True),))
    caption = "Median bytes of an answer. Each panel has a scale of its own. Paradigms that send nothing are left out. "
    caption += "“Video” is sensor data of any kind: edge vision's features and colocated's event pictures, too."
    alt = "; ".join(f"{shown(t.label)}: {', '.join(f'{k} {data(v)}' for k, v in t.kinds.items())}" for t in traffic)
    picture = Picture("bytes", caption, alt, partial(_draw_traffic, traffic), *foot_of(first.setting))
    return Section("bytes", "What crosses the link", (heading(first.setting), picture))


def _draw_traffic(traffic: Sequence[Traffic]) -> Figure:
    from benchmarks.report.pictures.traffic import draw_traffic

    return draw_traffic(traffic)
