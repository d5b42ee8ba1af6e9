"""What `eventspec-edge doctor` looks at besides the machine: drafter, cloud and link, spool."""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2

from common import codec
from common.doctor import Check, State, examined, failure, ok, warning
from common.doctor_checks import (
    certificates,
    machine,
    model_folder,
    open_files,
    open_to_strangers,
    packages,
    revocation_list,
    token_book,
    tokenizer,
    torch_build,
)
from common.doctor_running import health_of, listening, port
from common.errors import AccessError, EventSpecError
from common.reach import Reaching
from common.rpc import ask_once, channel_options
from common.security import TlsFiles
from common.shipped import shipped_drafter
from common.types import WIRE_VERSION, ServerInfo
from edge.config import EdgeSettings, cloud_addresses
from edge.doctor_tls import what_tls_says
from edge.spool_folder import check

_TARGETS = ("VideoLlavaForConditionalGeneration",)
ASK_WITH = "`eventspec-edge status --edge-ca FILE --token-file FILE` asks it"
_TOKEN = "--token-file FILE with a token for that cloud, of the scopes speculate, video and info"
_CERTIFICATE = "--cloud-cert and --cloud-key with one that holds: `eventspec-cloud certs issue` makes it"
_DRAFTERS = ("EventChat_llama", "EventGPT")
_UPLOAD = 256 << 10  # bytes, sent once
_SLOW_MBIT = 1.0
_SLOW_MS = 300.0
_LITTLE_DISK = 256 << 20
_EXTRAS = (
    ("evt3", "Prophesee EVT3 recordings can't be read"),
    ("aedat", "iniVation AEDAT4 recordings can't be read"),
)


def examine(settings: EdgeSettings) -> Iterator[Check]:
    """All checks of an edge, one after the other."""
    folder = Path(settings.model) if settings.model else shipped_drafter()
    yield from examined(
        [
            ("machine", machine),
            ("open files", open_files),
            ("torch", partial(torch_build, settings)),
            ("drafter", partial(model_folder, "drafter", folder, _DRAFTERS, settings, _read_drafter)),
            ("tokenizer", partial(tokenizer, "tokenizer", folder)),
            ("vision model", partial(_vision_model, settings)),
            ("target's tokenizer", partial(_target_tokenizer, settings.target_tokenizer)),
            ("adapter", partial(_adapter, settings)),
            ("listen", partial(listening, "listen", settings.listen, settings.security.tls, ask_with=ASK_WITH)),
            ("metrics", partial(port, "metrics", settings.metrics)),
            ("certificate", partial(certificates, "certificate", settings.security.tls)),
            ("revocation list", partial(revocation_list, settings.tls_crl, settings.tls_ca)),
            ("tokens", partial(token_book, settings.tokens)),
            ("access", partial(open_to_strangers, settings.listen, settings.tokens, settings.tls_ca)),
            ("files", partial(_files, settings)),
            ("spool", partial(_spool, settings.spool)),
            *(
                (f"cloud {address}", partial(_cloud, address, settings, folder))
                for address in cloud_addresses(settings.cloud)
            ),
            ("extras", partial(packages, _EXTRAS)),
        ]
    )


def _adapter(settings: EdgeSettings) -> Iterator[Check]:
    if settings.adapter:
        from common.adapters import load_adapter

        loaded = load_adapter(settings.adapter, dtype=settings.dtype, device="cpu")
        yield ok("adapter", f"{settings.adapter} ({type(loaded.adapter).__name__}), --draft-form {settings.draft_form}")


def _read_drafter(folder: Path) -> object:
    from edge.eventgpt.loading import read_drafter_config

    return read_drafter_config(folder)


def _vision_model(settings: EdgeSettings) -> Iterator[Check]:
    if settings.vision_model:
        from common.video_llava import read_target_config

        folder = Path(settings.vision_model)
        yield from model_folder("vision model", folder, _TARGETS, settings, read_target_config)


def _target_tokenizer(folder: str) -> Iterator[Check]:
    if folder:
        yield from tokenizer("target's tokenizer", Path(folder))


def _files(settings: EdgeSettings) -> Iterator[Check]:
    """Which files askers may name."""
    roots = settings.allowed.roots
    if roots is None:
        yield ok("files", "askers, who are on this machine, may name all files that the daemon's user can read")
    elif roots:
        yield ok("files", f"askers may name what lies in {', '.join(roots)}")
    else:
        yield warning("files", "askers may name no files, since --listen reaches beyond this machine", "--files FOLDER")


def _spool(name: str) -> Iterator[Check]:
    if not name:
        yield ok("spool", "none: answers in progress don't survive a restart of this daemon")
        return
    folder = Path(name)
    place = folder
    if folder.exists():
        check(folder)
    else:
        place = next(parent for parent in folder.absolute().parents if parent.exists())
        if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
            todo = "let the daemon's user write there, or name another folder"
            yield failure("spool", f"{folder} can't be made in {place}", todo)
            return
    free = shutil.disk_usage(place).free
    found = f"{folder}: {free / 2**20:,.0f} MiB free"
    yield ok("spool", found) if free > _LITTLE_DISK else warning("spool", found, "make room on that disk")


def _todo(error: EventSpecError) -> str:
    if isinstance(error, AccessError):
        return _CERTIFICATE if "certificate" in str(error) else _TOKEN
    return "look into the cloud's log"


def _cloud(address: str, settings: EdgeSettings, drafter: Path) -> Iterator[Check]:
    """Reach it, in steps: each is of use only after the one before."""
    name = f"cloud {address}"
    yield from certificates(
        f"{name}: certificate", TlsFiles(settings.cloud_cert, settings.cloud_key, settings.cloud_ca)
    )
    host, _, number = address.rpartition(":")
    if not address.startswith("unix:"):
        try:
            began = time.monotonic()
            with socket.create_connection((host.strip("[]"), int(number)), timeout=5.0):
                yield ok(name, f"reached in {(time.monotonic() - began) * 1e3:.1f} ms")
        except OSError as error:
            todo = "is the daemon up, the address right, the way open (firewall)? `eventspec-cloud serve --listen ...`"
            yield failure(name, f"can't be reached: {error}", todo)
            return
    reaching = Reaching(settings.reach)
    with reaching.channel(address, channel_options(settings.max_message_bytes)) as channel:
        try:
            info, trips = _greet(channel, reaching)
        except EventSpecError as error:
            state = health_of(f"{name}: readiness", address, channel)
            if state is not None:  # it is there, and says what is wrong
                yield state
            if state is None:
                found, todo = what_tls_says(address, settings.reach) or (str(error), _todo(error))
                yield failure(f"{name}: handshake", found, todo)
            elif state.state is State.OK:
                todo = _todo(error)
                yield failure(f"{name}: handshake", str(error), todo)
            return
        if (state := health_of(f"{name}: readiness", address, channel, reaching.metadata())) is not None:
            yield state
        yield from _speed(name, channel, reaching, statistics.median(trips))
    yield from _fits(name, info, settings, drafter)


def _greet(channel: grpc.Channel, reaching: Reaching) -> tuple[ServerInfo, list[float]]:
    """Who is there, and round trips in seconds; the first, with the handshake in it, isn't one of them."""
    path, trips, reply = f"/{codec.SERVICE}/GetInfo", [], b""
    for _ in range(6):
        began = time.monotonic()
        reply = ask_once(channel, path, codec.encode_info_request(), metadata=reaching.metadata(), timeout=10.0)
        trips.append(time.monotonic() - began)
    return codec.decode_info(reply), trips[1:]


def _speed(name: str, channel: grpc.Channel, reaching: Reaching, trip_s: float) -> Iterator[Check]:
    """Round trip, and how fast a short upload goes: a health check of a service with a very long name."""
    found = f"round trip {trip_s * 1e3:.1f} ms"
    slow = trip_s * 1e3 > _SLOW_MS
    call = channel.unary_unary(f"/{health.SERVICE_NAME}/Check")
    asked = health_pb2.HealthCheckRequest(service="x" * _UPLOAD).SerializeToString()
    began = time.monotonic()
    try:
        call(asked, timeout=20.0, metadata=reaching.metadata())
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            yield ok(f"{name}: link", f"{found}; no upload was tried ({error.code().name.lower()})")
            return
    mbit = _UPLOAD * 8 / 1e6 / max(time.monotonic() - began - trip_s, 1e-4)
    found = f"{found}, upload about {mbit:,.1f} Mbit/s"
    if slow or mbit < _SLOW_MBIT:
        todo = "answers will wait for the video: --mode edge_vision, `watch` ahead of questions, or a smaller clip"
        yield warning(f"{name}: link", found, todo)
    else:
        yield ok(f"{name}: link", found)


def _fits(name: str, info: ServerInfo, settings: EdgeSettings, drafter: Path) -> Iterator[Check]:
    from common.tokenizer import Tokenizer

    if info.wire_version != WIRE_VERSION:
        yield failure(
            f"{name}: version",
            f"it speaks wire version {info.wire_version}, this edge {WIRE_VERSION}",
            "update the older",
        )
    hashes = {Tokenizer.from_folder(drafter).hash}
    for folder in (settings.target_tokenizer, settings.vision_model):
        if folder and (Path(folder) / "tokenizer.json").exists():
            hashes.add(Tokenizer.from_folder(folder).hash)
    if info.tokenizer_hash in hashes:
        yield ok(f"{name}: target", f"{info.model_name}; its vocabulary is known here")
    else:
        todo = "--target-tokenizer FOLDER with the target's tokenizer.json, or a drafter of its vocabulary"
        yield failure(f"{name}: target", f"{info.model_name} has another vocabulary than the drafter", todo)
    if settings.adapter and not info.adapter:
        yield warning(f"{name}: adapter", "the cloud has none: drafts go as ids", "eventspec-cloud serve --adapter DIR")
    if info.max_message_bytes < settings.max_message_bytes:
        yield warning(
            f"{name}: limits", f"it takes messages of {info.max_message_bytes:,} bytes", "lower --max-message-bytes"
        )
