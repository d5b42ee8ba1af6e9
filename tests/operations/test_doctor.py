"""`doctor`: what it finds, what it says to do, and its exit status."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import zipfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import click
import grpc
import numpy as np
import pytest
import torch
import typer.main
from safetensors.numpy import save_file
from typer.testing import CliRunner

import cloud.__main__
import edge.__main__
from cloud.doctor import examine as examine_cloud
from common import codec
from common.access import Scope, new_token, render_tokens
from common.certificates import revoke, write_authority
from common.doctor import Check, State, as_json, as_text, examined, failure, ok, status_of, warning
from common.doctor_checks import certificates, model_folder, revocation_list, token_book, torch_build
from common.doctor_running import listening, port
from common.errors import ModelError
from common.security import Security, TlsFiles
from common.server import DaemonServer
from common.settings import ModelSettings
from common.shipped import shipped_drafter, shipped_target
from edge.config import EdgeSettings
from edge.doctor import ASK_WITH
from edge.doctor import examine as examine_edge

NOBODY, FREE = "127.0.0.1:1", "127.0.0.1:0"


def test_an_error_is_one_checks_failure_only() -> None:
    def broken() -> list[Check]:
        raise ModelError("no such folder: name another")

    checks = list(examined([("a", broken), ("b", lambda: [ok("b", "fine")])]))
    assert [(check.name, check.state) for check in checks] == [("a", State.FAILURE), ("b", State.OK)]
    assert status_of(checks) == 1
    assert status_of([warning("x", "so so", "mend it"), ok("y", "fine")]) == 0


def test_how_it_is_shown() -> None:
    assert as_text(failure("link", "broken", "mend it")) == "failure  link: broken\n         -> mend it"
    shown = json.loads(as_json([ok("a", "1")]))
    assert shown == {"ok": True, "checks": [{"name": "a", "state": "ok", "found": "1", "todo": ""}]}


def looked_at(folder: Path) -> Check:
    (check,) = examined([("target", lambda: model_folder("target", folder, ["X"], ModelSettings()))])
    return check


def test_model_folders(tmp_path: Path) -> None:
    settings = ModelSettings()
    (found,) = model_folder("target", shipped_target(), ["VideoLlavaForConditionalGeneration"], settings)
    assert found.state is State.OK
    (other,) = model_folder("target", shipped_drafter(), ["VideoLlavaForConditionalGeneration"], settings)
    assert other.state is State.FAILURE
    assert "VideoLlavaForConditionalGeneration" in other.todo
    assert looked_at(tmp_path).state is State.FAILURE
    (tmp_path / "config.json").write_text("{}")
    assert "no weights" in looked_at(tmp_path).found


@pytest.mark.parametrize(
    "contents",
    [
        *(b"", b"[]", b"null", b"not JSON", b"\xff\xfe", b"[" * 100_000, b"1" * 10_000, b'"text"', b"{} {}"),
        *(b'{"architectures": 5}', b'{"architectures": [1]}', b'{"architectures": "X"}', b'{"architectures": {}}'),
        *(b'{"architectures": ["Y', b'{"architectures": ["%s"]}' % (b"Y" * 100_000)),
        *(b'{"text_config": 1}', b'{"text_config": []}', b'{"text_config": null}'),
        *(b'{"num_attention_heads": %s}' % value for value in (b"0", b"-1", b'"8"', b"1e300", b"[]", b"true", b"NaN")),
        *(b'{"model_type": 5}', b'{"model_type": "video_llava", "text_config": 1, "vision_config": "x"}'),
        *(b'{"model_type": "%s", "hidden_size": "x"}' % name for name in (b"eventspec_eventgpt", b"EventChat_llama")),
        *(b'{"model_type": "EventChat_llama", "mm_visual_tower": %s}' % tower for tower in (b"5", b"[]", b'"x"')),
        b'{"model_type": "eventspec_eventgpt", "num_hidden_layers": 1e9, "eos_token_id": {}, "vision": []}',
        *(b'{"hidden_size": 10%s}' % (b"0" * 4000), b'{"head_dim": {}, "num_hidden_layers": "many"}'),
    ],
    ids=lambda contents: repr(contents[:32]),
)
def test_an_odd_configuration_is_one_line_and_never_a_traceback(tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "config.json").write_bytes(contents)
    (tmp_path / "model.safetensors").symlink_to(shipped_target() / "model.safetensors")
    for app in (cloud.__main__.app, edge.__main__.app):
        flags = ["--model", str(tmp_path), "--listen", FREE]
        done = CliRunner().invoke(app, ["doctor", *flags, "--json"], env={"EVENTSPEC_EDGE_CLOUD": NOBODY})
        assert done.exit_code == 1, done.exception
        for check in json.loads(done.stdout)["checks"]:
            assert len(check["found"]) < 600 and "\n" not in check["found"]
            assert "couldn't be checked" not in check["found"]


def test_a_configuration_without_end(tmp_path: Path) -> None:
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(20 << 30)  # sparse
    assert "MiB" in looked_at(tmp_path).found
    (tmp_path / "config.json").unlink()
    os.mkfifo(tmp_path / "config.json")
    assert "no config.json" in looked_at(tmp_path).found


def sharded(folder: Path, promised: dict[str, object]) -> None:
    save_file({"a": np.zeros(9)}, folder / "one.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": promised}))


def old_torch(path: Path) -> None:
    torch.save({"a": torch.zeros(9)}, path, _use_new_zipfile_serialization=False)


WEIGHTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "whole": (lambda f: save_file({"a": np.zeros(9)}, f / "model.safetensors"), ""),
    "whole torch": (lambda f: torch.save({"a": torch.zeros(9)}, f / "pytorch_model.bin"), ""),
    "old torch": (lambda f: old_torch(f / "pytorch_model.bin"), ""),
    "shards": (lambda f: sharded(f, {"a": "one.safetensors"}), ""),
    "empty": (lambda f: (f / "model.safetensors").touch(), "truncated"),
    "no torch file": (lambda f: (f / "pytorch_model.bin").write_bytes(b"PK nonsense"), "truncated"),
    "a zip of others": (lambda f: zipped(f / "pytorch_model.bin"), "no file of torch"),
    "a shard missing": (lambda f: sharded(f, {"a": "one.safetensors", "b": "two.safetensors"}), "two.safetensors"),
    "a weight missing": (lambda f: sharded(f, {"a": "one.safetensors", "b": "one.safetensors"}), "hasn't got b"),
    "a shard elsewhere": (lambda f: sharded(f, {"a": "../one.safetensors"}), "names a file"),
    "an odd index": (lambda f: sharded(f, {"a": 1}), "weight_map"),
}


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme", "hello")


@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights_are_looked_at_without_being_loaded(tmp_path: Path, kind: str) -> None:
    make, words = WEIGHTS[kind]
    (tmp_path / "config.json").write_text("{}")
    make(tmp_path)
    check = looked_at(tmp_path)
    assert check.state is (State.FAILURE if words else State.OK)
    assert words in check.found and "\n" not in check.found


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("lost", [1, 30, 200])
def test_a_download_that_was_cut_short_is_found(tmp_path: Path, name: str, lost: int) -> None:
    (tmp_path / "config.json").write_text("{}")
    WEIGHTS["whole" if name.endswith("s") else "whole torch"][0](tmp_path)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[:-lost])
    assert "truncated" in looked_at(tmp_path).found


def test_weights_as_large_as_models_are_in_no_time_and_no_memory(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    header = json.dumps({"a": {"dtype": "F32", "shape": [2 << 30], "data_offsets": [0, 8 << 30]}}).encode()
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + (8 << 30))  # sparse
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    check = looked_at(tmp_path)
    assert "8.00 GiB" in check.found
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


@pytest.mark.parametrize("device", ["banana", "cuda:99", "cpu:x", "meta", ""])
def test_a_device_that_isnt_there(device: str) -> None:
    (check,) = examined([("torch", lambda: torch_build(ModelSettings(device=device)))])
    assert check.state is State.FAILURE
    assert device in check.found and check.todo


def test_certificates_that_run_out(tmp_path: Path) -> None:
    for days, state in ((365, State.OK), (20, State.WARNING)):
        folder = tmp_path / str(days)
        write_authority(folder, hosts=["localhost"], days=days)
        files = TlsFiles(f"{folder}/cloud.pem", f"{folder}/cloud.key", "")
        (check,) = certificates("certificate", files)
        assert check.state is state, check
    assert not list(certificates("certificate", TlsFiles()))


def test_lists_of_revoked_certificates(tmp_path: Path) -> None:
    write_authority(tmp_path, hosts=["localhost"], edges=["edge-1"])
    revoke(tmp_path, tmp_path / "edge-1.pem")
    look = partial(revocation_list, str(tmp_path / "crl.pem"), str(tmp_path / "ca.pem"))
    (check,) = examined([("revocation list", look)])
    assert (check.state, "1 certificates revoked" in check.found) == (State.OK, True)
    (tmp_path / "crl.pem").write_text("nothing")
    (check,) = examined([("revocation list", look)])
    assert check.state is State.FAILURE
    assert not list(revocation_list("", ""))


def test_tokens_of_which_none_is_valid(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    _, entry = new_token("edge-1", [Scope.INFO], datetime.now(UTC) - timedelta(days=1))
    file.write_text(render_tokens([entry]))
    (check,) = token_book(str(file))
    assert check.state is State.WARNING
    assert "nobody can come in" in check.found


def test_a_port_that_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        (check,) = port("listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert check.state is State.WARNING


def test_an_edge_without_a_cloud_and_with_a_bad_spool(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = EdgeSettings(cloud="127.0.0.1:1", listen="127.0.0.1:0", spool=str(tmp_path / "file" / "spool"))
    checks = {check.name: check for check in examine_edge(settings)}
    assert checks["cloud 127.0.0.1:1"].state is State.FAILURE
    assert checks["cloud 127.0.0.1:1"].todo
    assert checks["spool"].state is State.FAILURE
    assert checks["drafter"].state is checks["torch"].state is State.OK


def test_a_clouds_machine() -> None:
    from cloud.config import CloudSettings

    checks = {check.name: check for check in examine_cloud(CloudSettings(listen="127.0.0.1:0"))}
    assert {checks[name].state for name in ("target", "tokenizer", "torch", "listen")} == {State.OK}
    assert "keys and values" in checks["sessions"].found


def flags_of(app: object, command: str) -> set[str]:
    """The options of a command."""
    group = typer.main.get_command(app)  # type: ignore[arg-type]
    assert isinstance(group, click.Group)
    return {name for option in group.commands[command].params for name in option.opts}


@pytest.mark.parametrize("app", [cloud.__main__.app, edge.__main__.app])
def test_doctor_takes_the_flags_of_serve(app: object, tmp_path: Path) -> None:
    assert flags_of(app, "doctor") == flags_of(app, "serve") - {"--verbose", "-v"} | {"--json"}
    taken = ["--listen", "127.0.0.1:0", "--device", "banana", "--threads", "1", "--metrics", "127.0.0.1:0"]
    done = CliRunner().invoke(app, ["doctor", *taken, "--json"], env={"EVENTSPEC_EDGE_CLOUD": NOBODY})  # type: ignore[arg-type]
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert done.exit_code == 1
    assert "banana" in checks["torch"]["found"] and "1 threads" in checks["torch"]["found"]


def test_what_nobody_expected_is_a_failure_of_one_check() -> None:
    def odd() -> list[Check]:
        raise KeyError("a\nb" * 1000)

    (check, after) = examined([("a", odd), ("b", lambda: [ok("b", "fine")])])
    assert check.state is State.FAILURE and after.state is State.OK
    assert "\n" not in check.found and len(check.found) < 600


# ------------------------------------------------------------------------------------------------- daemons that run


async def checked(check: Callable[[], Iterable[Check]]) -> list[Check]:
    """In a thread: the daemon is in this one."""
    return await asyncio.get_running_loop().run_in_executor(None, lambda: list(check()))


async def test_a_daemon_that_runs_is_asked_how_it_is(tmp_path: Path) -> None:
    server = DaemonServer(codec.SERVICE, 1 << 20)
    try:
        address = await server.listen("127.0.0.1:0", f"unix:{tmp_path}/local")
        for beside in ("", f"unix:{tmp_path}/local", f"unix:{tmp_path}/nobody"):
            (loading,) = await checked(partial(listening, "listen", address, TlsFiles(), beside, ask_with=""))
            assert loading.state is State.FAILURE
            assert "isn't ready" in loading.found and "engine" in loading.todo
        await server.serve(grpc.method_handlers_generic_handler(codec.SERVICE, {}))
        (ready,) = await checked(lambda: listening("listen", address, TlsFiles(), ask_with=""))
        assert ready.state is State.OK and "ready" in ready.found
        (there,) = await checked(lambda: listening("listen", f"unix:{tmp_path}/local", TlsFiles(), ask_with=""))
        assert there.state is State.OK and "ready" in there.found
    finally:
        await server.stop(0.0)


def test_something_else_that_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody takes what comes
        (check,) = listening("listen", f"127.0.0.1:{taken.getsockname()[1]}", TlsFiles(), ask_with="")
    assert check.state is State.WARNING and "no daemon of eventspec" in check.found


def test_an_edge_with_tls_that_listens_already() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        tls, address = TlsFiles("edge.pem", "edge.key"), f"127.0.0.1:{taken.getsockname()[1]}"
        (check,) = listening("listen", address, tls, ask_with=ASK_WITH)
    assert check.state is State.WARNING
    assert "eventspec-edge status" in check.todo and "--local-listen" not in check.todo  # the edge has no such flag


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    write_authority(tmp_path / "pki", hosts=["localhost", "127.0.0.1"], edges=["edge-1"])
    write_authority(tmp_path / "other", hosts=["localhost"], edges=["edge-1"])
    return tmp_path


TLS_FAULTS = {
    "no client certificate": (["ca"], True, "wants a client certificate", "--cloud-cert"),
    "another CA's client certificate": (["ca", "other"], True, "doesn't accept the certificate", "--cloud-cert"),
    "another CA": (["other-ca"], False, "can't be trusted", "--cloud-ca"),
    "no TLS here": ([], False, "speaks TLS", "--cloud-ca"),
    "no TLS there": (["ca", "plain"], False, "speaks no TLS", "--cloud-ca"),
}


@pytest.mark.parametrize("fault", TLS_FAULTS)
async def test_what_is_wrong_with_tls_to_the_cloud(pki: Path, fault: str) -> None:
    given, mutual, found, todo = TLS_FAULTS[fault]
    own, other = pki / "pki", pki / "other"
    files = TlsFiles(f"{own}/cloud.pem", f"{own}/cloud.key", f"{own}/ca.pem" if mutual else "")
    server = DaemonServer(codec.SERVICE, 1 << 20, Security(TlsFiles() if "plain" in given else files))
    try:
        address = (await server.listen("localhost:0")).replace("localhost", "127.0.0.1")
        ca = f"{own}/ca.pem" if "ca" in given else f"{other}/ca.pem" if "other-ca" in given else ""
        client = (f"{other}/edge-1.pem", f"{other}/edge-1.key") if "other" in given else ("", "")
        settings = EdgeSettings(cloud=address, cloud_ca=ca, cloud_cert=client[0], cloud_key=client[1], listen=FREE)
        checks = {check.name: check for check in await checked(lambda: examine_edge(settings))}
        check = checks[f"cloud {address}: handshake"]
        assert check.state is State.FAILURE
        assert found in check.found and todo in check.todo
    finally:
        await server.stop(0.0)


async def test_a_client_certificate_that_was_revoked(pki: Path) -> None:
    own = pki / "pki"
    files = TlsFiles(f"{own}/cloud.pem", f"{own}/cloud.key", f"{own}/ca.pem")
    revoke(own, own / "edge-1.pem")
    server = DaemonServer(codec.SERVICE, 1 << 20, Security(files, crl=f"{own}/crl.pem"))
    try:
        address = await server.listen("127.0.0.1:0")
        cert, key = f"{own}/edge-1.pem", f"{own}/edge-1.key"
        settings = EdgeSettings(cloud=address, cloud_ca=f"{own}/ca.pem", listen=FREE, cloud_cert=cert, cloud_key=key)
        checks = {check.name: check for check in await checked(lambda: examine_edge(settings))}
        check = checks[f"cloud {address}: handshake"]
        assert check.state is State.FAILURE
        assert "was revoked" in check.found and "certs issue" in check.todo
    finally:
        await server.stop(0.0)


async def test_a_cloud_that_isnt_ready_is_a_failure_for_the_edge() -> None:
    server = DaemonServer(codec.SERVICE, 1 << 20)
    try:
        address = await server.listen("127.0.0.1:0")
        settings = EdgeSettings(cloud=address, listen=FREE)
        checks = {check.name: check for check in await checked(lambda: examine_edge(settings))}
        assert checks[f"cloud {address}: readiness"].state is State.FAILURE
    finally:
        await server.stop(0.0)


@pytest.mark.parametrize("app", [cloud.__main__.app, edge.__main__.app])
def test_settings_that_make_no_sense(app: object, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[cloud]\nlisten = "nowhere"\n[edge]\nlisten = "nowhere"\n')
    done = CliRunner().invoke(app, ["doctor", "--config", str(config), "--json"])  # type: ignore[arg-type]
    assert done.exit_code == 1
    assert json.loads(done.stdout)["checks"][0]["name"] == "settings"
