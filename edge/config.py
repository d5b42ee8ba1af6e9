"""Settings of the edge daemon."""

from __future__ import annotations

from dataclasses import dataclass

from common.logs import check_log_format
from common.metrics_server import check_metrics
from common.named_files import EVERYTHING, Allowed, allowed_in
from common.replay import load_profile
from common.security import Reach, Security, TlsFiles, is_local
from common.settings import ModelSettings, check_address, require
from edge.forms import DraftForm
from edge.live_hosts import HostRules, default_hosts, parse_hosts
from edge.session import SessionSettings
from edge.vocabulary import Way

MOST_BRANCHES = 16
_BRANCHES = 3  # where it is left open, and the drafter has a device of its own


def cloud_addresses(text: str) -> list[str]:
    """The addresses in the setting `cloud`, such as `a:50051,b:50051`."""
    return [address.strip() for address in text.split(",") if address.strip()]


@dataclass(frozen=True, slots=True)
class EdgeSettings(ModelSettings):
    """Settings of `eventspec-edge serve`; `--help` explains each."""

    listen: str = "127.0.0.1:50052"
    cloud: str = "127.0.0.1:50051"
    max_ahead: int = 16
    branches: int = -1
    max_answer_tokens: int = 512
    give_up_after_s: float = 10.0
    max_video_bytes: int = 256 << 20
    max_message_bytes: int = 8 << 20
    sessions: int = 16
    live_kbps: int = 2000
    files: tuple[str, ...] = ()
    live_hosts: str = ""
    live_redirects: bool = False
    grace_s: float = 2.0
    replay: str = ""
    vision_model: str = ""
    adapter: str = ""
    draft_form: str = "ids"
    distill: str = ""
    spool: str = ""
    target_tokenizer: str = ""
    across: str = "text"
    tls_cert: str = ""
    tls_key: str = ""
    tls_ca: str = ""
    tls_crl: str = ""
    tokens: str = ""
    cloud_ca: str = ""
    cloud_cert: str = ""
    cloud_key: str = ""
    cloud_name: str = ""
    token_file: str = ""
    insecure: bool = False
    metrics: str = ""
    log_format: str = "text"
    otel: str = ""

    def __post_init__(self) -> None:
        check_address("listen", self.listen)
        clouds = cloud_addresses(self.cloud)
        require(bool(clouds), "cloud must name at least one address, HOST:PORT")
        for cloud in clouds:
            check_address("cloud", cloud)
        self.security.check(self.listen)
        check_metrics(self.metrics, self.security)
        check_log_format(self.log_format)
        _ = self.host_rules  # can they be read?
        for cloud in clouds:
            self.reach.check(cloud)
        _ = self.allowed
        self.check_model()
        require(1 <= self.max_ahead <= 256, f"max_ahead must be between 1 and 256, not {self.max_ahead}")
        most = MOST_BRANCHES
        require(-1 <= self.branches <= most, f"branches must be between 0 and {most}, or -1, not {self.branches}")
        require(self.max_answer_tokens >= 1, "max_answer_tokens must be at least 1")
        require(self.give_up_after_s >= 0, f"give_up_after_s must be at least 0, not {self.give_up_after_s}")
        require(self.max_message_bytes >= 65_536, "max_message_bytes must be at least 65536")
        require(self.sessions >= 1, "sessions must be at least 1")
        require(self.grace_s >= 0, f"grace_s must be at least 0, not {self.grace_s}")
        require(self.live_kbps >= 10, f"live_kbps must be at least 10, not {self.live_kbps}")
        forms = [form.value for form in DraftForm]
        require(self.draft_form in forms, f"draft_form must be one of {', '.join(forms)}, not {self.draft_form}")
        if self.adapter:
            require(self.draft_form != "ids", "an adapter needs a --draft-form: auto, hidden, int8, codes or mirror")
        require(not self.distill or self.draft_form == "mirror", "--distill needs an adapter at the edge: mirror")
        require(self.adapter != "" or self.draft_form == "ids", f"--draft-form {self.draft_form} needs an --adapter")
        ways = [way.value for way in Way]
        require(self.across in ways, f"across must be one of {', '.join(ways)}, not {self.across}")
        if self.replay:
            load_profile(self.replay)

    @property
    def reach(self) -> Reach:
        """How the cloud is reached."""
        return Reach(self.cloud_ca, self.cloud_cert, self.cloud_key, self.cloud_name, self.token_file, self.insecure)

    @property
    def security(self) -> Security:
        """Who may reach this daemon, and how."""
        return Security(TlsFiles(self.tls_cert, self.tls_key, self.tls_ca), self.tokens, self.insecure, self.tls_crl)

    @property
    def allowed(self) -> Allowed:
        """Which files askers may name; left open, all that this daemon can read for askers of this machine, else none.

        Raises:
            SettingsError: a folder of `files` doesn't exist.
        """
        if self.files:
            return allowed_in(self.files)
        return EVERYTHING if is_local(self.listen) else Allowed(())

    @property
    def host_rules(self) -> HostRules:
        """Which hosts live addresses may name; left open, any but link-local for askers of this machine, else none."""
        hosts = self.live_hosts or default_hosts(local=is_local(self.listen))
        return parse_hosts(hosts, redirects=self.live_redirects)

    @property
    def has_vision(self) -> bool:
        """True if `edge_vision` can be asked for: with a vision model named, or the shipped pair."""
        return bool(self.vision_model) or not self.model

    @property
    def branches_tried(self) -> int:
        """Other words that an idle drafter tries at a place, where a question doesn't say.

        Left open, none on a CPU: what a branch takes there is taken from the upload, and from the cloud on one machine.
        """
        if self.branches >= 0:
            return self.branches
        return _BRANCHES if self.replay or not self.device.startswith("cpu") else 0

    def session(self, *, drafts: bool, cloud: bool, branches: int = 0) -> SessionSettings:
        """How one answer behaves."""
        return SessionSettings(
            max_ahead=self.max_ahead,
            give_up_after=self.give_up_after_s,
            drafts=drafts,
            cloud=cloud,
            branches=branches,
        )
