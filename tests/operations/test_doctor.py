"""`doctor`: what it finds, what it says to do, and its exit status."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cloud.__main__
import edge.__main__
from cloud.doctor import examine as examine_cloud
from common.access import Scope, new_token, render_tokens
from common.certificates import write_authority
from common.doctor import Check, State, as_json, as_text, examined, failure, ok, status_of, warning
from common.doctor_checks import certificates, model_folder, port, token_book
from common.errors import ModelError
from common.security import TlsFiles
from common.settings import ModelSettings
from common.shipped import shipped_drafter, shipped_target
from edge.config import EdgeSettings
from edge.doctor import examine as examine_edge


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


def test_model_folders(tmp_path: Path) -> None:
    settings = ModelSettings()
    (found,) = model_folder("target", shipped_target(), ["VideoLlavaForConditionalGeneration"], settings)
    assert found.state is State.OK
    (other,) = model_folder("target", shipped_drafter(), ["VideoLlavaForConditionalGeneration"], settings)
    assert other.state is State.FAILURE
    assert "VideoLlavaForConditionalGeneration" in other.todo
    (nothing,) = model_folder("target", tmp_path, ["x"], settings)
    (tmp_path / "config.json").write_text("{}")
    (weightless,) = model_folder("target", tmp_path, ["x"], settings)
    assert (nothing.state, weightless.state) == (State.FAILURE, State.FAILURE)
    assert "no weights" in weightless.found


def test_certificates_that_run_out(tmp_path: Path) -> None:
    for days, state in ((365, State.OK), (20, State.WARNING)):
        folder = tmp_path / str(days)
        write_authority(folder, hosts=["localhost"], days=days)
        files = TlsFiles(f"{folder}/cloud.pem", f"{folder}/cloud.key", "")
        (check,) = certificates("certificate", files)
        assert check.state is state, check
    assert not list(certificates("certificate", TlsFiles()))


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
    settings = EdgeSettings(cloud="127.0.0.1:1", listen="127.0.0.1:0", spool=str(tmp_path / "none" / "spool"))
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


@pytest.mark.parametrize("app", [cloud.__main__.app, edge.__main__.app])
def test_settings_that_make_no_sense(app: object, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[cloud]\nlisten = "nowhere"\n[edge]\nlisten = "nowhere"\n')
    done = CliRunner().invoke(app, ["doctor", "--config", str(config), "--json"])  # type: ignore[arg-type]
    assert done.exit_code == 1
    assert json.loads(done.stdout)["checks"][0]["name"] == "settings"
