"""Honest clients at a closed cloud, alone and beside hostile ones, in turns."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import grpc

from benchmarks.asking import ask_clip
from benchmarks.clips import ClipQuestion, load_questions, spread
from benchmarks.hostile.kinds import THIEVES
from benchmarks.hostile.odd_files import write_files
from benchmarks.hostile.standing import Stood, looked_at, stood
from benchmarks.paradigms.statistics import percentile
from benchmarks.processes import DaemonProcess, start_cloud
from common import codec
from common.access import Scope, new_token, render_tokens
from common.ask import Mode
from common.errors import EventSpecError
from common.shipped import shipped_target
from common.watched_file import write_private

_EDGE = (Scope.SPECULATE, Scope.VIDEO, Scope.INFO)
_WARM_UP_S = 0.7  # that the attackers have before the honest ones begin
_WARM_TURNS = 2
_SHORT_LEASES = "[cloud]\nresume_ttl_s = 10.0\nclip_ttl_s = 10.0\n"  # so that memory is back in a moment
_QUIET_S = 0.3  # that the cloud has after them


@dataclass(frozen=True, slots=True)
class Setting:
    """What is measured.

    Attributes:
        hostile: attackers; half of them share three tokens of the cloud's, half have none.
        honest: edges, each with a token of its own, each with one asker.
        questions: of each asker, in each turn.
        turns: alone and beside the attackers, in alternation: short ones, so that whatever else this machine does meets
            both alike.
        sessions: of the cloud.
        sessions_per_client: of one token.
        max_tokens: of an answer.
        seed: of the attackers.
        nice: of the attackers: 19 leaves them what the honest ones leave of this machine's cores.
    """

    hostile: int = 100
    honest: int = 4
    questions: int = 1
    turns: int = 20
    sessions: int = 16
    sessions_per_client: int = 4
    max_tokens: int = 24
    seed: int = 0
    nice: int = 19


@dataclass(frozen=True, slots=True)
class Result:
    """Latencies in ms of all honest answers, alone and beside the hostile ones; what these heard."""

    setting: Setting
    alone_ms: tuple[float, ...]
    beside_ms: tuple[float, ...]
    ratios: tuple[float, ...]
    different: int
    failed: int
    fallbacks: int
    heard: dict[str, dict[str, int]]
    standing: tuple[Stood, ...]
    works_afterwards: bool

    @property
    def ratio(self) -> float:
        """Of the 95th percentiles, all turns together."""
        return _p95(self.beside_ms) / _p95(self.alone_ms)

    @property
    def good(self) -> bool:
        """Whether the bars are kept."""
        answered = self.different == self.failed == self.fallbacks == 0 and self.works_afterwards
        return answered and not self.secrets and all(one.good for one in self.standing) and self.ratio <= 1.5

    @property
    def secrets(self) -> int:
        """Values of other files that somebody was told."""
        return sum(counts.get("secrets told", 0) for counts in self.heard.values())

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "setting": asdict(self.setting),
            "alone_p50_ms": percentile(self.alone_ms, 0.5),
            "alone_p95_ms": _p95(self.alone_ms),
            "beside_p50_ms": percentile(self.beside_ms, 0.5),
            "beside_p95_ms": _p95(self.beside_ms),
            "p95_ratio": self.ratio,
            "p95_ratio_by_turn": list(self.ratios),
            "answers": len(self.alone_ms) + len(self.beside_ms),
            "different": self.different,
            "failed": self.failed,
            "fallbacks": self.fallbacks,
            "misdeeds": sum(counts.get("misdeeds", 0) for counts in self.heard.values()),
            "heard": self.heard,
            "secrets": self.secrets,
            "standing": [one.as_dict() for one in self.standing],
            "works_afterwards": self.works_afterwards,
            "good": self.good,
        }


def _p95(values: Sequence[float]) -> float:
    found = percentile(list(values), 0.95)
    assert found is not None
    return found


class Books:
    """What honest askers got: the first answer to a question is what all later ones must be."""

    def __init__(self) -> None:
        self.different = self.failed = self.fallbacks = 0
        self._answers: dict[str, list[int]] = {}
        self._lock = threading.Lock()

    def take(self, clip: ClipQuestion, report: dict[str, Any] | None) -> None:
        """One answer, or none."""
        with self._lock:
            if report is None:
                self.failed += 1
                return
            if report["mode"] != Mode.STREAM_TO_CLOUD.value:
                self.fallbacks += 1
                return
            known = self._answers.setdefault(f"{clip.clip} {clip.question}", report["token_ids"])
            self.different += report["token_ids"] != known


def measure(setting: Setting) -> Result:
    """Run it all; nothing is left running. Raises EventSpecError if a daemon doesn't start."""
    alone: list[float] = []
    beside: list[float] = []
    ratios: list[float] = []
    heard: dict[str, dict[str, int]] = {}
    books = Books()
    clips = spread(load_questions(), 8)
    with tempfile.TemporaryDirectory(prefix="eventspec-hostile-") as name, ExitStack() as stack:
        folder = Path(name)
        tokens = _tokens(folder, setting.honest)
        (folder / "cloud.toml").write_text(_SHORT_LEASES)
        limits = ["--sessions", str(setting.sessions), "--sessions-per-client", str(setting.sessions_per_client)]
        limits += ["--config", str(folder / "cloud.toml")]
        cloud = start_cloud("--threads", "1", "--tokens", str(folder / "tokens.toml"), *limits)
        stack.callback(cloud.stop)
        cloud.wait_ready(120)
        edges = [_edge(cloud.address, folder / f"edge-{number}") for number in range(setting.honest)]
        for edge in edges:
            stack.callback(edge.stop)
        for edge in edges:
            edge.wait_ready(120)
        files = folder / "files"
        files.mkdir()
        write_files(files)
        addresses = [edge.address for edge in edges]
        with _attackers(cloud.address, addresses, tokens, files, clips[0], setting) as attackers:
            for turn in range(_WARM_TURNS):
                _ask_all(edges, clips, setting, books, turn)
            before = looked_at(cloud, edges)
            for turn in range(setting.turns):
                _rest(attackers)
                now_alone = _ask_all(edges, clips, setting, books, turn)
                attackers.send_signal(signal.SIGCONT)
                time.sleep(_WARM_UP_S)
                now_beside = _ask_all(edges, clips, setting, books, turn)
                alone += now_alone
                beside += now_beside
                ratios.append(percentile(now_beside, 0.5) / percentile(now_alone, 0.5))  # type: ignore[operator]
            heard = _stopped(attackers)
        failed = books.failed
        _ask_all(edges[:1], clips[:2], setting, books, 0)
        works = books.failed == failed
        standing = stood(before, cloud, edges)
    return Result(
        setting,
        tuple(alone),
        tuple(beside),
        tuple(ratios),
        books.different,
        books.failed,
        books.fallbacks,
        heard,
        standing,
        works_afterwards=works,
    )


def _tokens(folder: Path, honest: int) -> list[str]:
    """Token files of the edges; returns the tokens that hostile insiders have stolen."""
    entries = []
    for number in range(honest):
        token, entry = new_token(f"edge-{number}", _EDGE)
        write_private(folder / f"edge-{number}", token)
        entries.append(entry)
    stolen = [new_token(f"stolen-{number}", _EDGE) for number in range(len(THIEVES))]
    write_private(folder / "tokens.toml", render_tokens([*entries, *(entry for _, entry in stolen)]))
    return [token for token, _ in stolen]


def _edge(cloud: str, token: Path) -> DaemonProcess:
    arguments = ["--listen", "127.0.0.1:0", "--cloud", cloud, "--threads", "1", "--token-file", str(token)]
    return DaemonProcess.start("edge", arguments)


def _ask_all(
    edges: Sequence[DaemonProcess], clips: Sequence[ClipQuestion], setting: Setting, books: Books, turn: int
) -> list[float]:
    """Every asker its questions, one after another; all askers at the same time. Milliseconds of each answer."""

    def ask(number: int) -> list[float]:
        took = []
        for place in range(setting.questions):
            clip = clips[(turn * setting.questions + place + number) % len(clips)]
            began = time.perf_counter()
            try:
                report = ask_clip(
                    edges[number].address, clip, Mode.STREAM_TO_CLOUD, max_tokens=setting.max_tokens, draft_length=4
                )
            except EventSpecError:
                report = None
            took.append((time.perf_counter() - began) * 1e3)
            books.take(clip, report)
        return took

    with ThreadPoolExecutor(len(edges)) as pool:
        return [one for took in pool.map(ask, range(len(edges))) for one in took]


def _facts(address: str, token: str, files: Path, clip: ClipQuestion) -> dict[str, Any]:
    """What attackers know of the target, and of files that they name; as `benchmarks.hostile.attackers.Attack`."""
    with grpc.insecure_channel(address) as channel:
        metadata = (("authorization", f"Bearer {token}"),)
        reply = channel.unary_unary(f"/{codec.SERVICE}/GetInfo")(codec.encode_info_request(), metadata=metadata)
    info = codec.decode_info(reply)
    vision = json.loads((shipped_target() / "config.json").read_text())["vision_config"]
    tokens = (vision["image_size"] // vision["patch_size"]) ** 2 + 1
    return {
        "tokenizer_hash": info.tokenizer_hash,
        "vision_fingerprint": info.vision_fingerprint,
        "features_shape": (tokens, info.hidden_size),
        "folder": str(files),
        "video": str(clip.video.resolve()),
    }


@contextmanager
def _attackers(
    address: str, edges: list[str], tokens: list[str], files: Path, clip: ClipQuestion, setting: Setting
) -> Iterator[subprocess.Popen[str]]:
    """The attackers at work."""
    settings = {
        "count": setting.hostile,
        "tokens": tokens,
        "seed": setting.seed,
        "nice": setting.nice,
        "edges": edges,
        "facts": _facts(address, tokens[0], files, clip),
    }
    command = [sys.executable, "-P", "-m", "benchmarks.hostile.attacking", address, json.dumps(settings)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()


def _rest(attackers: subprocess.Popen[str]) -> None:
    """The attackers hold still, with all that they have opened, and the cloud gets through what they have sent."""
    attackers.send_signal(signal.SIGSTOP)
    time.sleep(_QUIET_S)


def _stopped(process: subprocess.Popen[str]) -> dict[str, dict[str, int]]:
    printed, _ = process.communicate(timeout=60)
    heard: dict[str, dict[str, int]] = json.loads(printed)
    return heard
