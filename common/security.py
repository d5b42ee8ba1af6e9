"""Who may reach a daemon, and how a client reaches one: the settings, and what is refused among them. No gRPC in here.

Beyond this machine nothing listens without TLS, and no token is sent without it, unless somebody says so.
"""

from __future__ import annotations

import ipaddress
import logging
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import SettingsError
from common.watched_file import Stamp, stamp_of

log = logging.getLogger("eventspec.access")

_PRIVATE_DOMAINS = (".localhost", ".local", ".internal", ".home.arpa", ".lan")
SYSTEM = "system"  # in place of a CA file: the certificate authorities that this machine trusts


def is_local(address: str) -> bool:
    """True for addresses that only this machine reaches: unix sockets and loopback."""
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_private(address: str) -> bool:
    """True for addresses that no proxy should see: local ones, private networks', and names without a public domain."""
    if is_local(address):
        return True
    host = address.rpartition(":")[0].strip("[]").rstrip(".").lower()
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(_PRIVATE_DOMAINS)
    return found.is_private or found.is_link_local or found.is_unspecified


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files; empty: none. `cert` may hold a chain, leaf first."""

    cert: str = ""
    key: str = ""
    ca: str = ""

    def check(self, cert_name: str, key_name: str) -> None:
        """Raise SettingsError if only one of certificate and key is given."""
        if bool(self.cert) != bool(self.key):
            given, missing = (cert_name, key_name) if self.cert else (key_name, cert_name)
            raise SettingsError(f"{given} needs {missing}: a certificate and its key go together")

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that are named."""
        return tuple(Path(name) for name in (self.cert, self.key, self.ca) if name and name != SYSTEM)

    @property
    def stamps(self) -> tuple[Stamp, ...]:
        """What changes when a file does."""
        return tuple(stamp_of(path) for path in self.paths)


@dataclass(frozen=True, slots=True)
class Security:
    """Who may reach a daemon, and how.

    Attributes:
        tls: the daemon's certificate and key, and the CA that clients' certificates must be of; empty: no TLS.
        tokens: the token file; empty: no tokens are asked for.
        insecure: listen beyond this machine even without TLS.
        crl: file of revoked client certificates; empty: none are revoked.
    """

    tls: TlsFiles = field(default_factory=TlsFiles)
    tokens: str = ""
    insecure: bool = False
    crl: str = ""

    def check(self, listen: str) -> None:
        """Raise SettingsError if strangers could listen in, or a setting is missing."""
        self.tls.check("tls_cert", "tls_key")
        if self.tls.ca and not self.tls.cert:
            raise SettingsError("tls_ca asks clients for certificates: give tls_cert and tls_key too")
        if self.crl and not self.tls.ca:
            raise SettingsError("tls_crl has revoked client certificates: give tls_ca, the authority that issued them")
        if not is_local(listen) and not self.tls.cert and not self.insecure:
            raise SettingsError(
                f"listening on {listen} without TLS would show everything to anyone: give --tls-cert and --tls-key, "
                "or say --insecure if the network is one that you trust (or a tunnel)"
            )

    def warn(self, listen: str) -> None:
        """Say in the log what is open."""
        if is_local(listen):
            return
        if not self.tls.cert:
            log.warning("insecure: what goes to and from %s can be read and changed on its way", listen)
        if not self.tokens and not self.tls.ca:
            log.warning("open: whoever reaches %s may use this daemon; give --tokens or --tls-ca to close it", listen)


@dataclass(frozen=True, slots=True)
class Reach:
    """How to reach a daemon.

    Attributes:
        ca: file of the CA whose certificates are trusted, or `system`; empty: no TLS.
        cert: file of the client's own certificate, where the daemon wants one.
        key: file of its key.
        name: the host name that the daemon's certificate must have; empty: the address's.
        token_file: file with a token, and nothing else.
        insecure: send the token even if others can read it on its way.
    """

    ca: str = ""
    cert: str = ""
    key: str = ""
    name: str = ""
    token_file: str = ""
    insecure: bool = False

    def check(self, address: str) -> None:
        """Raise SettingsError if a secret would travel in clear, or a setting is missing."""
        files = TlsFiles(self.cert, self.key, self.ca)
        files.check("the client's certificate", "the key of it")
        if self.cert and not self.ca:
            raise SettingsError("a client's certificate needs the daemon's CA file (or `system`): it is for TLS")
        if self.token_file and not self.ca and not self.insecure and not is_local(address):
            raise SettingsError(
                f"the token would go to {address} unencrypted: name the CA file of its certificate (or `system`), or "
                "say --insecure if the network is one that you trust"
            )
