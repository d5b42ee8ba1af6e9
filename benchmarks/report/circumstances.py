"""The parts of the page about circumstances: what was run, on what, whether it was lossless, what isn't emulated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.report.blocks import Block, Diagram, Said, Section, Table, Text
from benchmarks.report.lossless import LosslessCheck
from benchmarks.report.sources import Source, Sources
from benchmarks.report.wording import PARADIGMS, link_name, number, plural, shown

BACKENDS = {
    "tun": "tun: packets really cross an emulated line between two network namespaces; the kernel's own TCP "
    "meets delay, rate, queue and loss, slow start included.",
    "netem": "netem: the kernel delays, limits and drops packets between two network namespaces; its own TCP meets "
    "that, slow start included.",
    "proxy": "proxy: a relay in user space delays and limits streams. Congestion control isn't emulated: there is "
    "no slow start, and loss is imitated by pauses. Uploads look better than over a real link.",
    "loopback": "loopback: nothing is emulated; edge and cloud are on one machine, whose cores they share.",
    "elsewhere": "elsewhere: the link was made by somebody else; its figures are what the caller said.",
    "simulated": "simulated: the protocol's real code in virtual time; link and models are formulas and profiles, and "
    "nothing was measured on a clock.",
}


def what_was_run(sources: Sources) -> Section:
    """Commands, links, models, machine, and the notes that commands left."""
    blocks: list[Block] = [_runs_table(sources.items)]
    for title, words in (("Machine", _machine), ("Models", _models)):
        known = [text for text in dict.fromkeys(words(source.record.meta) for source in sources.items) if text]
        blocks.append(
            Text(f"{title}: {'; or '.join(known)}.") if known else Text(f"{title}: not recorded.", missing=True)
        )
        if len(known) > 1:
            blocks.append(Said("note", (f"{title.rstrip('s')}s differ between files: compare within one file only.",)))
    busy = _busy(sources.items)
    blocks += [busy] if busy else []
    measured = _measured(sources.items)
    blocks += [measured] if measured else []
    backends = dict.fromkeys(run.backend for run in sources.runs if run.backend)
    blocks += [Text(f"Link backend {BACKENDS.get(name, f'{name}: not known to this version')}") for name in backends]
    notes = dict.fromkeys(str(note) for source in sources.items for note in source.record.meta.get("notes") or ())
    lines = _grouped([*notes, *sources.notes])
    blocks += [Said("note", lines)] if lines else []
    return Section("run", "What was run", tuple(blocks))


def _grouped(notes: Sequence[str]) -> tuple[str, ...]:
    """The notes, one of those that begin alike (such as of a sweep's points) for all of them."""
    kinds: dict[str, list[str]] = {}
    for note in notes:
        kinds.setdefault(" ".join(note.split()[:3]), []).append(note.rstrip("."))
    more = {
        kind: f" ({len(alike) - 1} more notes of this kind)" if len(alike) > 2 else "" for kind, alike in kinds.items()
    }
    shown_ones = [(note, more[kind]) for kind, alike in kinds.items() for note in (alike[:1] if more[kind] else alike)]
    return tuple(f"{note}{rest}." for note, rest in shown_ones)


def _runs_table(items: Sequence[Source]) -> Table:
    groups: dict[tuple[str, str, str], list[Source]] = {}
    for source in items:
        backends = ", ".join(dict.fromkeys(run.backend for run in source.record.runs if run.backend))
        replayed = ", ".join(dict.fromkeys(run.replayed for run in source.record.runs if run.replayed))
        groups.setdefault((source.command, backends, replayed), []).append(source)
    rows = []
    for (command, backends, replayed), sources in groups.items():
        runs = [run for source in sources for run in source.record.runs]
        links = dict.fromkeys(link_name(run.link) for run in runs if run.link)
        questions = {(run.clip, run.question) for run in runs}
        rows.append((
            command, plural(len(links), "link") if len(links) > 3 else "; ".join(links) or "none",
            backends or "none", f"replayed: {replayed}" if replayed else "real",
            f"{len({run.label for run in runs})}", f"{len(questions)}", f"{len(runs):,}",
            _when(sources),
        ))  # fmt: skip
    head = ("command", "link", "backend", "model stages", "paradigms", "questions", "answers", "made")
    return Table(head, tuple(rows), words=4)


def _when(sources: Sequence[Source]) -> str:
    times = sorted(str(source.record.meta["created"])[:16].replace("T", " ") for source in sources if _created(source))
    if not times or times[0] == times[-1]:
        return times[0] if times else "not recorded"
    same_day = times[0][:10] == times[-1][:10]
    return f"{times[0]} to {times[-1][11:] if same_day else times[-1]}"


def _created(source: Source) -> bool:
    return bool(source.record.meta.get("created"))


def _machine(meta: Mapping[str, Any]) -> str:
    """The machine in words, without what changes from minute to minute."""
    facts = meta.get("machine")
    if not isinstance(facts, Mapping):
        return _flat(facts)
    shown_as = {
        "cpu": "{}", "cores_usable": "{} cores", "memory_gb": "{} GB", "gpu": "{}", "kernel": "kernel {}",
        "python": "Python {}", "torch": "torch {}", "transformers": "transformers {}", "eventspec": "eventspec {}",
    }  # fmt: skip
    words = [text.format(_flat(facts[key])) for key, text in shown_as.items() if facts.get(key)]
    beside = {key: facts[key] for key in facts if key not in shown_as and key not in ("cores", "machine", "load_1min")}
    rest = _flat(beside)
    return ", ".join([*words, rest] if rest else words)


def _models(meta: Mapping[str, Any]) -> str:
    """Role, name, where and how it ran, and the beginning of the fingerprint."""
    facts = meta.get("models")
    if not isinstance(facts, Mapping):
        return _flat(facts)
    return "; ".join(f"{role}: {_model(value)}" for role, value in facts.items())


def _model(facts: Any) -> str:
    if not isinstance(facts, Mapping):
        return _flat(facts)
    words = [_flat(facts[key]) for key in ("name", "device", "dtype") if facts.get(key)]
    mark = facts.get("fingerprint")
    return ", ".join([*words, f"fingerprint {str(mark)[:12]}"] if mark else words)


def _busy(items: Sequence[Source]) -> Said | None:
    """Says so where other work had more than all cores at the beginning: times are then those of a busy machine."""
    shares = []
    for source in items:
        facts = source.record.meta.get("machine")
        load, cores = (facts.get(k) for k in ("load_1min", "cores_usable")) if isinstance(facts, Mapping) else (0, 1)
        if isinstance(load, int | float) and isinstance(cores, int) and load > cores > 0:
            shares.append((load, cores))
    if not shares:
        return None
    load, cores = max(shares)
    text = (
        f"The machine was busy with other work: a load of up to {number(load)} on {plural(cores, 'core')} at the start"
    )
    return Said("note", (f"{text} of {plural(len(shares), 'file')}. Times are noisy; compare paradigms, not days.",))


def _flat(value: Any) -> str:
    """Any JSON value as one line of words."""
    if isinstance(value, Mapping):
        return ", ".join(
            f"{str(key).replace('_', ' ')}: {_flat(v)}" for key, v in value.items() if v not in (None, "", {})
        )
    if isinstance(value, list | tuple):
        return ", ".join(_flat(item) for item in value)
    return number(value, 4) if isinstance(value, float) else "" if value is None else str(value)


def _measured(items: Sequence[Source]) -> Table | None:
    """What the links really gave, where commands measured it."""
    rows = []
    for source in items:
        given = source.record.meta.get("measured")
        if isinstance(given, Mapping) and given:
            link = source.record.meta.get("link")
            name = link_name(link) if isinstance(link, Mapping) else ""
            rows.append((source.command, name, _flat(given)))
    unique = tuple(dict.fromkeys(rows))
    if not unique:
        return None
    return Table(
        ("command", "asked of the link", "measured on it"), unique, "What the links really gave", 3, len(unique) > 4
    )


def paradigms(sources: Sources) -> Section:
    """One line for each paradigm that was run, and the picture of who does what."""
    found = {run.paradigm for run in sources.runs}
    known = tuple(name for name in PARADIGMS if name in found)
    text = (
        "Two models could answer a question about a clip: a large one in the cloud that looks at the video, and a "
        "small one at the edge that looks at the event camera's stream. These ways to share the work were measured:"
    )
    blocks: list[Block] = [Text(text), Diagram(known)]
    unknown = sorted(found - set(known))
    if unknown:
        blocks.append(Said("note", (f"Not known to this version of the report: {', '.join(map(shown, unknown))}.",)))
    return Section("paradigms", "The paradigms", tuple(blocks))


def lossless(check: LosslessCheck) -> list[Block]:
    """The check's outcome: what was compared, and each difference found."""
    blocks: list[Block] = []
    if check.questions:
        text = (
            f"Lossless check: {check.answers:,} answers to {plural(check.questions, 'question')} (by clip, seed and "
            f"temperature) of {', '.join(map(shown, check.labels))}"
        )
        if not check.found:
            blocks.append(Said("check", (f"{text}: the token ids are identical for each question.",)))
        else:
            bad = f"{text}: {plural(len(check.found), 'answer')} differ. That is a bug, and no figure here counts."
            blocks.append(Said("loss", (bad,)))
            rows = [(d.clip, d.question, f"{d.first.label}: {d.first.answer}", f"{d.other.label}: {d.other.answer}")
                    for d in check.found]  # fmt: skip
            blocks.append(Table(("clip", "question", "first", "other"), tuple(rows), words=4, folded=len(rows) > 6))
    else:
        blocks.append(
            Text("Lossless check: no question has two lossless answers to hold against each other.", missing=True)
        )
    if check.unchecked:
        count = plural(check.unchecked, "lossless answer")
        blocks.append(Said("note", (f"{count} had no token ids and weren't checked.",)))
    return blocks


def reading() -> Section:
    """How the numbers are made."""
    texts = (
        "Times are by the edge's clock, from the question on. Time to first token: until the first token that the "
        "large model confirmed (of an answer of the edge alone: its first token).",
        "Medians stand with the quartiles of all repetitions behind them; no answer was left out.",
        "“Times as fast” is cloud only's time over the paradigm's, taken answer by answer (same clip, question, seed "
        "and repetition, in the same run), and of these ratios the median. Above 1 is faster. A difference "
        "counts if it is at least 2 % and three of four answers agree; else the ratio stands in parentheses.",
        "Hidden is work of the edge at moments at which the link or the cloud were at work too: it costs no time of "
        "its own. A stage counts from its begin to its end, waiting within it included.",
        "Bytes are those of the messages, without the headers of HTTP/2, TCP and IP.",
    )
    return Section("reading", "How to read the numbers", tuple(Text(text) for text in texts))
