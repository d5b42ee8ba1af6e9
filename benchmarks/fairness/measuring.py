"""One cloud with fair shares and one without, in alternation, each under the same load."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import grpc

from benchmarks.clips import ClipQuestion, load_questions
from benchmarks.fairness.asking import Got
from benchmarks.faults.victims import talkative
from benchmarks.paced import paced_profile
from benchmarks.paradigms.statistics import percentile
from benchmarks.processes import start_cloud
from common import codec
from common.access import Scope, new_token, render_tokens
from common.shipped import shipped_target
from common.watched_file import write_private

_EDGE = (Scope.SPECULATE, Scope.VIDEO, Scope.INFO)
_SETTLING_S = 5.0  # that the greedy ones have before the modest ones come
GREEDY = "greedy"

# Tokens of a prompt cost less.
PROFILE = paced_profile("a pass of 30 ms, and 2 ms for each token in it", [(1, 32), (64, 158), (1024, 398)])


@dataclass(frozen=True, slots=True)
class Setting:
    """What is measured.

    Attributes:
        greedy: sessions of the greedy client, each on a connection of its own, with `drafts` nonsense tokens a pass.
        modest: clients with one session each, and without drafts.
        sessions: of the cloud, fewer than all want.
        seconds: of a turn.
        turns: of each kind: alone, with fair shares, without.
        tokens: of a modest answer; the greedy one's are eight times as long.
        drafts_per_pass: of the cloud.
        tokens_per_pass: of the cloud.
    """

    greedy: int = 32
    modest: int = 4
    sessions: int = 24
    seconds: float = 20.0
    turns: int = 2
    tokens: int = 24
    drafts: int = 16
    drafts_per_pass: int = 32
    tokens_per_pass: int = 32


@dataclass(frozen=True, slots=True)
class Load:
    """What clients got in one kind of turn. By client: its tokens, its answers' seconds, its refusals."""

    seconds: float
    tokens: dict[str, int]
    answers_s: dict[str, tuple[float, ...]]
    refusals: dict[str, int]
    contents: dict[str, frozenset[tuple[int, ...]]]

    @property
    def shares(self) -> dict[str, float]:
        """Of all committed tokens."""
        whole = sum(self.tokens.values())
        return {client: count / whole if whole else 0.0 for client, count in self.tokens.items()}

    def modest_s(self) -> list[float]:
        """Of all modest clients' answers."""
        return [took for client, all_of_them in self.answers_s.items() if client != GREEDY for took in all_of_them]

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        modest, greedy = self.modest_s(), self.answers_s.get(GREEDY, ())
        return {
            "seconds": self.seconds,
            "shares": self.shares,
            "tokens_per_s": {client: count / self.seconds for client, count in self.tokens.items()},
            "modest_answers": len(modest),
            "modest_p50_s": percentile(modest, 0.5),
            "modest_p95_s": percentile(modest, 0.95),
            "greedy_answers": len(greedy),
            "greedy_p95_s": percentile(greedy, 0.95),
            "refusals": self.refusals,
        }


def joined(loads: Sequence[Load]) -> Load:
    """Several turns of one kind as one."""
    clients = sorted({client for load in loads for client in load.tokens})
    return Load(
        sum(load.seconds for load in loads),
        {client: sum(load.tokens[client] for load in loads) for client in clients},
        {client: tuple(took for load in loads for took in load.answers_s[client]) for client in clients},
        {client: sum(load.refusals[client] for load in loads) for client in clients},
        {client: frozenset().union(*(load.contents[client] for load in loads)) for client in clients},
    )


@dataclass(frozen=True, slots=True)
class Result:
    """Modest clients alone, beside the greedy one with fair shares, and without."""

    setting: Setting
    alone: Load
    fair: Load
    unfair: Load

    @property
    def same_text(self) -> bool:
        """Every client was answered the same, whatever was around it."""
        seen = [load.contents for load in (self.alone, self.fair, self.unfair)]
        modest = {text for contents in seen for client, texts in contents.items() if client != GREEDY for text in texts}
        greedy = {text for contents in seen for text in contents.get(GREEDY, ())}
        return len(modest) == 1 and len(greedy) <= 1

    @property
    def good(self) -> bool:
        """With fair shares modest clients fare better than without, and nobody's text changes."""
        fair, unfair = self.fair.as_dict(), self.unfair.as_dict()
        better = fair["modest_p95_s"] < unfair["modest_p95_s"] if unfair["modest_answers"] else True
        return self.same_text and fair["modest_answers"] > 0 and better

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "setting": asdict(self.setting),
            "alone": self.alone.as_dict(),
            "fair": self.fair.as_dict(),
            "unfair": self.unfair.as_dict(),
            "same_text": self.same_text,
            "good": self.good,
        }


def measure(setting: Setting) -> Result:
    """Run it all; nothing is left running. Raises EventSpecError if a daemon doesn't start."""
    found: dict[str, list[Load]] = {"alone": [], "fair": [], "unfair": []}
    with tempfile.TemporaryDirectory(prefix="eventspec-fairness-") as name:
        folder = Path(name)
        identities = _identities(folder, setting.modest)
        talkative(shipped_target(), folder / "target")
        (folder / "profile.toml").write_text(PROFILE)
        for turn in range(setting.turns):
            for kind, loads in found.items():
                loads.append(_turn(folder, setting, identities, kind, turn))
    return Result(setting, *(joined(loads) for loads in found.values()))


def _identities(folder: Path, modest: int) -> dict[str, str]:
    """A token for each client, by its name."""
    made = {client: new_token(client, _EDGE) for client in (GREEDY, *(f"modest-{n}" for n in range(modest)))}
    write_private(folder / "tokens.toml", render_tokens([entry for _, entry in made.values()]))
    return {client: token for client, (token, _) in made.items()}


def _turn(folder: Path, setting: Setting, identities: dict[str, str], kind: str, turn: int) -> Load:
    """A fresh cloud, its load for a while, and what came of it."""
    (folder / "cloud.toml").write_text(
        f"[cloud]\nfair_shares = {str(kind != 'unfair').lower()}\n"
        f"drafts_per_pass = {setting.drafts_per_pass}\ntokens_per_pass = {setting.tokens_per_pass}\n"
    )
    clip = load_questions()[0]
    with ExitStack() as stack:
        cloud = start_cloud(
            *("--config", str(folder / "cloud.toml"), "--model", str(folder / "target")),
            *("--tokens", str(folder / "tokens.toml"), "--replay", str(folder / "profile.toml")),
            *("--sessions", str(setting.sessions), "--prompt-chunk", "128", "--threads", "1"),
        )
        stack.callback(cloud.stop)
        cloud.wait_ready(120)
        tokenizer_hash = _tokenizer_hash(cloud.address, identities[GREEDY])
        processes: dict[str, subprocess.Popen[str]] = {}
        for number, (client, identity) in enumerate(identities.items()):
            if kind == "alone" and client == GREEDY:
                continue
            about: dict[str, Any] = {"askers": setting.greedy if client == GREEDY else 1, "seed": 100 * turn + number}
            about |= {"identity": identity, "tokenizer_hash": tokenizer_hash}
            processes[client] = _askers(cloud.address, {**about, "question": _question(setting, client, clip)})
            stack.callback(processes[client].wait)
            stack.callback(processes[client].kill)
        for client, process in processes.items():
            _begin(process)
            if client == GREEDY:
                time.sleep(_SETTLING_S)
        began = time.monotonic()
        time.sleep(setting.seconds)
        ended = time.monotonic()
        return _load({client: _got(process) for client, process in processes.items()}, began, ended)


def _question(setting: Setting, client: str, clip: ClipQuestion) -> dict[str, Any]:
    greedy = client == GREEDY
    length = {"tokens": setting.tokens * (8 if greedy else 1), "drafts": setting.drafts if greedy else 0}
    return {"video": str(clip.video), "text": clip.question, **length}


def _askers(address: str, settings: dict[str, Any]) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-m", "benchmarks.fairness.askers", address, json.dumps(settings)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _begin(process: subprocess.Popen[str]) -> None:
    """Once they are ready."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    process.stdin.write("go\n")
    process.stdin.flush()


def _got(process: subprocess.Popen[str]) -> list[Got]:
    """Ends the askers; what each got."""
    printed, _ = process.communicate(timeout=60)
    return [
        Got(
            tuple(one["answers_s"]),
            tuple((at, count) for at, count in one["tokens_at"]),
            one["refusals"],
            tuple(tuple(content) for content in one["contents"]),
        )
        for one in json.loads(printed)
    ]


def _load(got: dict[str, list[Got]], began: float, ended: float) -> Load:
    """Tokens count if they came while it was measured; answers count if they ended at all."""
    return Load(
        ended - began,
        {c: sum(n for one in all_ for at, n in one.tokens_at if began <= at < ended) for c, all_ in got.items()},
        {c: tuple(took for one in all_ for took in one.answers_s) for c, all_ in got.items()},
        {c: sum(one.refusals for one in all_) for c, all_ in got.items()},
        {c: frozenset(text for one in all_ for text in one.contents) for c, all_ in got.items()},
    )


def _tokenizer_hash(address: str, identity: str) -> str:
    with grpc.insecure_channel(address) as channel:
        metadata = (("authorization", f"Bearer {identity}"),)
        info = channel.unary_unary(f"/{codec.SERVICE}/GetInfo")(codec.encode_info_request(), metadata=metadata)
    return codec.decode_info(info).tokenizer_hash
