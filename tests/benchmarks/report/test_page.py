import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from benchmarks.report.blocks import Contents, Picture, Said, Text
from benchmarks.report.contents import contents_of
from benchmarks.report.page import render, write_report
from benchmarks.report.sources import Source, Sources
from benchmarks.results import Record
from tests.benchmarks.report.samples import compare_runs, link, record, run, span


def contents(*records: Record) -> Contents:
    return contents_of(Sources(tuple(Source(f"{i}.json", one) for i, one in enumerate(records))))


def page(made: Contents) -> str:
    """The page with empty pictures."""
    return render(made, {picture.name: "data:," for picture in made.pictures})


class Addresses(HTMLParser):
    """Gathers everything that a browser would fetch or follow, and the ids of the page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "data", "action", "poster", "srcset"):
                self.found.append(value or "")
            if name == "id":
                self.ids.append(value or "")


@pytest.fixture(scope="module")
def whole() -> Contents:
    """Of one link, a grid, a replay and a fleet."""
    sweep = [
        record(compare_runs(link(rtt, up, name=""), repetitions=1, seed=int(rtt * 100 + up)), "sweep")
        for rtt, up in ((5.0, 2.0), (5.0, 20.0), (200.0, 2.0), (200.0, 20.0), (50.0, 2.0))
    ]
    replayed = compare_runs(link(25.0, 30.0, name="5g"), replayed="7b-profile", backend="proxy", seed=9)
    fleets = [
        {"paradigm": p, "mode": "", "clients": n, "tokens_per_s": n * k, "goodput_share": 1 / n}
        for p, k in (("cloud_only", 1.0), ("stream_to_cloud", 2.0))
        for n in (1, 10)
    ]
    simulated = record(
        [run(backend="simulated", replayed="7b-profile")], "simulate", fleets=fleets, replayed="7b-profile"
    )
    return contents(record(compare_runs(link())), *sweep, record(replayed, "replay"), simulated)


@pytest.fixture(scope="module")
def written(whole: Contents, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `r.html` and the pictures in `png`."""
    folder = tmp_path_factory.mktemp("report")
    write_report(whole, folder / "r.html", folder / "png")
    return folder


def test_the_page_stands_alone(written: Path) -> None:
    text = (written / "r.html").read_text()
    parser = Addresses()
    parser.feed(text)
    outward = [a for a in parser.found if not a.startswith(("#", "data:image/svg+xml;base64,"))]
    assert outward == []
    assert "@import" not in text
    assert not re.search(r"url\(\s*['\"]?(?!#)", text)
    assert not {"script", "link", "iframe", "object"} & set(parser.tags)
    assert {a[1:] for a in parser.found if a.startswith("#")} <= set(parser.ids)
    assert (written / "r.html").stat().st_size < 4e6
    assert not list(written.glob("*.part"))


def test_every_picture_is_a_png_too(whole: Contents, written: Path) -> None:
    names = {path.stem for path in (written / "png").iterdir()}
    assert names == {picture.name for picture in whole.pictures}
    assert {"spread-1", "timeline-1", "speedup-1", "acceptance-by-place", "bytes", "capacity-1"} <= names
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (written / "png").iterdir())


def test_the_same_results_make_the_same_page(tmp_path: Path) -> None:
    made = contents(record([run(stages=[span("load", "edge", 0, 1)])]))
    write_report(made, tmp_path / "a.html")
    write_report(made, tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_what_was_replayed_is_marked_at_every_picture_and_heading(whole: Contents) -> None:
    marked = [picture for picture in whole.pictures if picture.replayed]
    assert {picture.name.partition("-")[0] for picture in marked} == {"spread", "timeline", "capacity"}
    assert all(picture.replayed == "7b-profile" for picture in marked)
    assert page(whole).count("replayed: 7b-profile") >= 5


def test_backends_say_what_they_do_not_emulate(whole: Contents) -> None:
    assert "Congestion control isn't emulated" in page(whole).replace("&#39;", "'")


def test_text_of_results_is_escaped() -> None:
    bad = "<script>alert(1)</script>"
    runs = [run(p, clip=bad, question=bad, answer=bad, stages=[span(bad, "edge", 0, 1)]) for p in ("cloud_only", bad)]
    text = page(contents(record(runs, bad, notes=[bad], machine={bad: bad})))
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_parts_that_are_missing_say_why() -> None:
    made = contents(record([run(link={}, backend="loopback")]))
    missing = {s.anchor for s in made.sections for b in s.blocks if isinstance(b, Text) and b.missing}
    assert {"short", "timeline", "speedup", "acceptance", "bytes", "capacity"} <= missing
    assert page(made)


def test_a_broken_lossless_promise_is_shouted() -> None:
    made = contents(record([run(), run("stream_to_cloud", token_ids=[1, 2])]))
    said = [b for b in made.sections[0].blocks if isinstance(b, Said)]
    assert said[0].tone == "loss"
    assert "bug" in said[0].lines[0]


def test_odd_runs_draw(tmp_path: Path) -> None:
    """No first token, one token, stages of unknown name and side, times of zero."""
    runs = [
        run("cloud_only", 0.0, ttft_ms=None, stages=[span("x", "moon", 0, 0)]),
        run("stream_to_cloud", 5.0, ttft_ms=None, tokens=0, token_ids=[], stages=[span("y", "edge", 0, 99)]),
        run("teleport", 1.0, mode="odd"),
    ]
    made = contents(record(runs))
    write_report(made, tmp_path / "r.html", tmp_path / "png")
    assert "teleport" in (tmp_path / "r.html").read_text()


def test_every_picture_has_words_for_those_who_do_not_see_it(whole: Contents) -> None:
    assert all(isinstance(p, Picture) and len(p.alt) > 20 for p in whole.pictures)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "from benchmarks.report.command import report; from common.cli import make_group, run_app; "
    code += "app = make_group('x'); app.command()(report); run_app(app, 'eventspec-bench')"
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=90)


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    record([run(), run("stream_to_cloud")]).write(tmp_path / "c.json")
    done = command(str(tmp_path / "c.json"), "--out", str(tmp_path / "r.html"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "r.html").is_file()
    assert "pictures" in done.stdout


def test_bad_input_is_one_line_and_status_2(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{")
    done = command(str(tmp_path / "bad.json"), "--out", str(tmp_path / "r.html"))
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "bad.json" in done.stderr
    assert not (tmp_path / "r.html").exists()


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    record([run()]).write(tmp_path / "c.json")
    done = command(str(tmp_path / "c.json"), "--out", str(tmp_path / "none" / "r.html"))
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1)


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, benchmarks.report.command; print({'torch', 'numpy', 'matplotlib', 'jinja2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()", done.stderr


def test_notes_that_begin_alike_are_told_once() -> None:
    notes = [f"colocated runs with {n} tokens" for n in range(4)] + ["each process has a thread"]
    text = page(contents(record([run()], notes=notes)))
    assert text.count("colocated runs with") == 1
    assert "3 more notes of this kind" in text
    assert "each process has a thread." in text


def test_a_busy_machine_is_told() -> None:
    busy = record([run()], machine={"cpu": "x", "cores_usable": 2, "load_1min": 7.5})
    calm = record([run()], machine={"cpu": "x", "cores_usable": 2, "load_1min": 0.5})
    assert "load of up to 7.5 on 2 cores" in page(contents(busy))
    assert "busy" not in page(contents(calm))


def test_machines_differ_by_what_they_are_not_by_their_load() -> None:
    first, second = (record([run()], machine={"cpu": "x", "load_1min": load}) for load in (0.1, 0.2))
    assert "Machines differ" not in page(contents(first, second))
    other = record([run(total_ms=2.0)], machine={"cpu": "y"})
    assert "Machines differ between files" in page(contents(first, other))
