"""Why gRPC has no connection to a cloud: one TLS handshake by hand tells what gRPC keeps to itself."""

from __future__ import annotations

import socket
import ssl

from common.security import SYSTEM, Reach

_PATIENCE_S = 5.0
_HUNG_UP = "HUNG_UP"  # what gRPC's servers do; others send one of these alerts first
_ABOUT_THE_CLIENT = (
    _HUNG_UP,
    "CERTIFICATE_REQUIRED",
    "HANDSHAKE_FAILURE",
    "UNKNOWN_CA",
    "BAD_CERT",
    "ALERT_CERTIFICATE",
)
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNEXPECTED_EOF")


def what_tls_says(address: str, reach: Reach) -> tuple[str, str] | None:
    """What is wrong with the handshake, and what to do; None if TLS isn't it."""
    if address.startswith("unix:"):
        return None
    if not reach.ca:
        if _speaks_tls(address):
            return (
                "the cloud speaks TLS, and this edge doesn't",
                "--cloud-ca FILE with the CA of the cloud's certificate",
            )
        return None
    try:
        stays = _handshake(address, _context(reach), reach.name)
    except ssl.SSLCertVerificationError as error:
        found = f"the cloud's certificate can't be trusted: {error.verify_message}"
        return found, "--cloud-ca with the CA that it is of, --cloud-name with the host name in it"
    except ssl.SSLError as error:
        return _explained(error.reason or str(error), reach)
    except OSError:
        return None
    return None if stays else _explained(_HUNG_UP, reach)


def _explained(reason: str, reach: Reach) -> tuple[str, str] | None:
    if any(word in reason for word in _NO_TLS):
        todo = "is the address right? Else --tls-cert at the cloud, or no --cloud-ca here"
        return "the cloud speaks no TLS there", todo
    if not any(word in reason for word in _ABOUT_THE_CLIENT):
        return None
    if not reach.cert:
        found = (
            "the cloud hangs up after the handshake: it wants a client certificate (mutual TLS), and this edge has none"
        )
        return found, "--cloud-cert FILE --cloud-key FILE, of the CA that the cloud has as --tls-ca"
    found = f"the cloud hangs up after the TLS handshake: it doesn't accept the certificate {reach.cert}"
    return found, "--cloud-cert and --cloud-key with one that is valid, and of the CA that the cloud has as --tls-ca"


def _context(reach: Reach) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=None if reach.ca == SYSTEM else reach.ca)
    context.set_alpn_protocols(["h2"])
    if reach.cert:
        context.load_cert_chain(reach.cert, reach.key)
    return context


def _handshake(address: str, context: ssl.SSLContext, name: str) -> bool:
    """Whether the connection stays: with TLS 1.3 a server looks at a client's certificate after the handshake.

    Raises ssl.SSLError, or OSError.
    """
    host, _, number = address.rpartition(":")
    host = host.strip("[]")
    with (
        socket.create_connection((host, int(number)), timeout=_PATIENCE_S) as line,
        context.wrap_socket(line, server_hostname=name or host) as secured,
    ):
        try:
            return bool(secured.recv(1))  # a server of HTTP/2 speaks first
        except TimeoutError:
            return True
        except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
            return False


def _speaks_tls(address: str) -> bool:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent; it is only asked whether there is TLS at all
    try:
        _handshake(address, context, "")
    except ssl.SSLError as error:
        return not any(word in (error.reason or str(error)) for word in _NO_TLS)
    except OSError:
        return False
    return True
