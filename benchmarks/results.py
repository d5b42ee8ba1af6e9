"""What benchmarks record: one `Run` for every answer, gathered with facts about machine and link in a `Record`.

This is the one schema of `--json` (`docs/benchmark-schema.md`): every command writes it, every table reads it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from common.errors import InputError

SCHEMA = 1
UPLINK_KINDS = ("video", "drafts", "control")


def is_ahead(label: str) -> bool:
    """True of paradigms (`NAME/MODE`) whose clip is streamed before its question: their mode ends in `ahead`."""
    return label.replace("/", "-").endswith("-ahead")


@dataclass(frozen=True, slots=True)
class Run:
    """One answer to one question. Times are in milliseconds by the asking side's clock, from the question on.

    Attributes:
        paradigm: `cloud_only`, `edge_only`, `edge_vision`, `stream_to_cloud`, `colocated` or `in_process`.
        mode: its variant, e.g. `tokens-eager`; empty where there is only one.
        link: the profile's figures (`LinkProfile.as_dict`); empty where no link is crossed.
        backend: what emulated the link: `tun`, `netem`, `proxy`, `loopback` (nothing), `simulated`.
        lossless: True if the paradigm must give the target's own token ids.
        answer: text of the answer; `expected` the right one, where it is known.
        stages: spans `{name, side, start_ms, end_ms}` of both sides on the asking side's timeline.
        replayed: the name of the stage-time profile that the models' stages were padded to; empty if none was.
        extra: further figures of `docs/report.md` and of the command that made the run, e.g. `client` of `capacity`.
    """

    paradigm: str
    mode: str
    link: Mapping[str, Any]
    backend: str
    clip: str
    question: str
    seed: int
    repetition: int
    token_ids: Sequence[int]
    tokens: int
    ttft_ms: float | None
    tpot_ms: float | None
    total_ms: float
    lossless: bool = True
    temperature: float = 0.0
    answer: str = ""
    expected: str | None = None
    drafted: int = 0
    accepted: int = 0
    drafted_by_position: Sequence[int] = ()
    accepted_by_position: Sequence[int] = ()
    verifications: int = 0
    target_passes: int = 0
    uplink_bytes: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(UPLINK_KINDS, 0))
    downlink_bytes: int = 0
    stages: Sequence[Mapping[str, Any]] = ()
    replayed: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Paradigm and mode as one word, for tables."""
        return f"{self.paradigm}/{self.mode}" if self.mode else self.paradigm

    @property
    def ahead(self) -> bool:
        """True if the clip was streamed while it was recorded, and the question came at its end."""
        return is_ahead(self.label)

    @property
    def uplink_total(self) -> int:
        """Bytes up, of all kinds."""
        return sum(self.uplink_bytes.values())


def run_of_report(report: Mapping[str, Any], **known: Any) -> Run:
    """A run from the report of an answer (`eventspec-edge ask --json`); `known` names what the report can't know.

    Figures of the report that have no field of their own go to `extra`.
    """
    names = {f.name for f in fields(Run)} - {"mode", "extra"}
    taken = {name: value for name, value in report.items() if name in names and name not in known}
    beside = {name: value for name, value in report.items() if name not in names and name != "mode"}
    return Run(**{"mode": "", **taken, **known, "extra": {**beside, **known.get("extra", {})}})


@dataclass(frozen=True, slots=True)
class Record:
    """Runs of one command.

    `meta`: `schema`, `command`, `created`, `machine`, `models`, `link`, `backend`, `measured`, `replayed`, `notes`, and
    what the command adds.
    """

    meta: Mapping[str, Any]
    runs: Sequence[Run]

    def as_dict(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {"meta": dict(self.meta), "runs": [asdict(run) for run in self.runs]}

    def write(self, path: Path) -> None:
        """Write it, whole or not at all."""
        part = path.with_suffix(path.suffix + ".part")
        part.write_text(json.dumps(self.as_dict()) + "\n", encoding="utf-8")
        part.replace(path)


def load_record(path: Path) -> Record:
    """Read what `Record.write` or `--json` wrote.

    Raises:
        InputError: the file can't be read, or is of another schema.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["meta"]["schema"] != SCHEMA:
            raise InputError(f"{path} has schema {values['meta']['schema']}; this version reads {SCHEMA}")
        return Record(values["meta"], [Run(**run) for run in values["runs"]])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} can't be read as benchmark results: {error!r}") from error
