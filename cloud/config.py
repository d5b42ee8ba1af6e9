"""Settings of the cloud daemon, and the part of them that the engine process gets."""

from __future__ import annotations

from dataclasses import dataclass

from cloud.admission import ClientLimits
from cloud.credits import DRAFTS_PER_PASS
from common.logs import check_log_format
from common.metrics_server import check_metrics
from common.replay import load_profile
from common.security import Security, TlsFiles
from common.settings import ModelSettings, check_address, require
from common.types import ServerInfo

_RATES = ("video_bytes_per_s", "live_bytes_per_s")
_MOST_TEXT = 256 << 10  # bytes of everything in a message but states


@dataclass(frozen=True, slots=True)
class EngineSettings(ModelSettings):
    """What the engine process needs. `model` empty: the shipped tiny one; `capacity` 0: what the limits need.

    `replay`: a profile of stage times that every stage is padded to (`common/replay.py`); empty for none.
    `adapter`: the folder of one that drafts of hidden states go through; empty for none.
    `step_timeout_s`: an engine whose step takes longer is killed and started again; 0 for never.
    `drafts_per_pass`, `tokens_per_pass`: of all that are answering; `fair_shares` off: first come, first served.
    `faults`: a folder for the fault suite's orders (`cloud/fault_hooks.py`); empty, and no flag, for everybody else.
    """

    sessions: int = 8
    capacity: int = 0
    prompt_chunk: int = 512
    max_prompt_tokens: int = 512
    max_answer_tokens: int = 512
    max_draft: int = 16
    drafts_per_pass: int = DRAFTS_PER_PASS
    tokens_per_pass: int = 4096
    fair_shares: bool = True
    resume_ttl_s: float = 60.0
    clip_ttl_s: float = 120.0
    max_window_bytes: int = 512 << 20
    max_message_bytes: int = 8 << 20
    max_video_bytes: int = 256 << 20
    replay: str = ""
    adapter: str = ""
    sessions_per_client: int = 0
    max_kv_bytes: int = 0
    step_timeout_s: float = 60.0
    faults: str = ""


@dataclass(frozen=True, slots=True)
class CloudSettings(EngineSettings):
    """Settings of `eventspec-cloud serve`; `--help` explains each."""

    listen: str = "127.0.0.1:50051"
    max_video_frames: int = 20_000
    max_window_frames: int = 64
    open_timeout_s: float = 10.0
    grace_s: float = 2.0
    local_listen: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    tls_ca: str = ""
    tls_crl: str = ""
    tokens: str = ""
    insecure: bool = False
    metrics: str = ""
    log_format: str = "text"
    otel: str = ""
    calls_per_client: int = 256
    connections: int = 1024
    messages_per_s: int = 1000
    drafts_in_flight: int = 64
    video_bytes_per_s: int = 64 << 20
    live_bytes_per_s: int = 8 << 20
    max_video_pixels: int = 16_777_216

    def __post_init__(self) -> None:
        check_address("listen", self.listen)
        self.security.check(self.listen)
        check_metrics(self.metrics, self.security)
        check_log_format(self.log_format)
        require(
            not self.local_listen or self.local_listen.startswith("unix:"),
            f"local_listen must be unix:PATH, not {self.local_listen!r}",
        )
        self.check_model()
        require(1 <= self.sessions <= 4096, f"sessions must be between 1 and 4096, not {self.sessions}")
        require(self.capacity >= 0, f"capacity must be 0 (automatic) or more, not {self.capacity}")
        require(self.prompt_chunk >= 16, f"prompt_chunk must be at least 16, not {self.prompt_chunk}")
        require(self.max_prompt_tokens >= 16, "max_prompt_tokens must be at least 16")
        require(self.max_answer_tokens >= 1, "max_answer_tokens must be at least 1")
        require(1 <= self.max_draft <= 256, f"max_draft must be between 1 and 256, not {self.max_draft}")
        require(self.drafts_per_pass >= 1, "drafts_per_pass must be positive")
        require(self.tokens_per_pass >= 1, "tokens_per_pass must be positive")
        require(self.max_message_bytes >= 65_536, "max_message_bytes must be at least 65536")
        require(self.max_video_bytes >= 1, "max_video_bytes must be positive")
        for name in ("calls_per_client", "connections", "messages_per_s", "drafts_in_flight", *_RATES):
            require(getattr(self, name) >= 1, f"{name} must be positive")
        require(self.max_video_pixels >= 1, "max_video_pixels must be positive")
        require(self.sessions_per_client >= 0, "sessions_per_client can't be negative")
        require(self.max_kv_bytes >= 0, f"max_kv_bytes must be at least 0, not {self.max_kv_bytes}")
        require(self.max_video_frames >= 1, "max_video_frames must be positive")
        require(self.max_window_frames >= 1, "max_window_frames must be positive")
        require(self.max_window_bytes >= 1, "max_window_bytes must be positive")
        require(self.step_timeout_s >= 0, f"step_timeout_s must be at least 0, not {self.step_timeout_s}")
        require(self.resume_ttl_s >= 0, f"resume_ttl_s must be at least 0, not {self.resume_ttl_s}")
        require(self.clip_ttl_s >= 0, f"clip_ttl_s must be at least 0, not {self.clip_ttl_s}")
        require(self.open_timeout_s > 0, "open_timeout_s must be positive")
        require(self.grace_s >= 0, f"grace_s must be at least 0, not {self.grace_s}")
        if self.replay:
            load_profile(self.replay)

    @property
    def client_limits(self) -> ClientLimits:
        """What one client may do at a time."""
        return ClientLimits(self.calls_per_client, self.video_bytes_per_s)

    def most_bytes(self, info: ServerInfo) -> int:
        """The longest message of a `Speculate` stream that makes sense: a draft of states, with all before it."""
        width = 4 * max(info.hidden_size, info.adapter_hidden)
        rows = 4 * self.max_draft + self.max_answer_tokens
        return min(self.max_message_bytes, _MOST_TEXT + rows * width)

    @property
    def security(self) -> Security:
        """Who may reach this daemon, and how."""
        return Security(TlsFiles(self.tls_cert, self.tls_key, self.tls_ca), self.tokens, self.insecure, self.tls_crl)

    @property
    def engine(self) -> EngineSettings:
        """The engine process's part."""
        return EngineSettings(**{name: getattr(self, name) for name in EngineSettings.__dataclass_fields__})
