"""Which files an asker may name: the setting `files`, and the tokens' scope of that name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from common.access import Scope, new_token, render_tokens
from common.ask import AskEvent, AskRequest, Mode, Report, WatchRequest, WatchState
from common.codec import EDGE_SERVICE
from common.errors import AuthorizationError, SettingsError
from common.named_files import EVERYTHING, Allowed
from common.security import Reach, Security
from common.server import DaemonServer
from common.settings import load_settings
from edge.asking import ask_daemon, watch_daemon
from edge.config import EdgeSettings
from edge.daemon import SCOPES
from edge.service import EdgeService


class Echo:
    """Answers with what it was asked."""

    async def answer(self, ask: AskRequest) -> AsyncGenerator[AskEvent, None]:
        yield Report({"answer": ask.question})

    async def watch(self, watch: WatchRequest) -> AsyncGenerator[WatchState, None]:
        yield WatchState("id", 0, 0, 0, False, False, 0.0)


def tokens(folder: Path, **scopes: tuple[Scope, ...]) -> dict[str, Reach]:
    """A token file, and how each of its principals reaches the daemon."""
    entries, reaches = [], {}
    for name, granted in scopes.items():
        token, entry = new_token(name, granted)
        entries.append(entry)
        (folder / name).write_text(token)
        (folder / name).chmod(0o600)
        reaches[name] = Reach(token_file=str(folder / name))
    (folder / "tokens.toml").write_text(render_tokens(entries))
    return reaches


async def test_who_may_not_name_files_may_ask_about_what_is_watched(tmp_path: Path) -> None:
    reaches = tokens(tmp_path, plain=(Scope.ASK,), reader=(Scope.ASK, Scope.FILES))
    server = DaemonServer(EDGE_SERVICE, 1 << 20, Security(tokens=str(tmp_path / "tokens.toml")), SCOPES)
    service = EdgeService(Echo(), drafter="d", cloud="c", sessions=4, door=server.door)
    address = await server.start(service.handlers(), "127.0.0.1:0")

    async def ask(name: str, request: AskRequest) -> list[AskEvent]:
        return await asyncio.to_thread(lambda: list(ask_daemon(address, request, reaches[name])))

    async def watch(name: str) -> list[WatchState]:
        return await asyncio.to_thread(lambda: list(watch_daemon(address, WatchRequest("v.mp4"), reaches[name])))

    about = AskRequest("what?", watch="id")
    try:
        assert await ask("plain", about) == [Report({"answer": "what?"})]
        for named in (AskRequest("what?", "e.h5"), AskRequest("what?", video_path="v.mp4", mode=Mode.CLOUD_ONLY)):
            with pytest.raises(AuthorizationError, match="isn't for files"):
                await ask("plain", named)
            assert await ask("reader", named) == [Report({"answer": "what?"})]
        with pytest.raises(AuthorizationError, match="isn't for files"):
            await watch("plain")
        assert len(await watch("reader")) == 1
    finally:
        await server.stop(0.0)


def settings(
    tmp_path: Path, text: str = "", environment: dict[str, str] | None = None, **flags: object
) -> EdgeSettings:
    (tmp_path / "e.toml").write_text(text)
    return load_settings(EdgeSettings, "edge", file=tmp_path / "e.toml", environment=environment or {}, flags=flags)


def test_where_files_may_lie(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    both = Allowed((a, b))
    assert settings(tmp_path, files=[a, b]).allowed == both
    assert settings(tmp_path, environment={"EVENTSPEC_EDGE_FILES": f"{a}:{b}"}).allowed == both
    assert settings(tmp_path, f'[edge]\nfiles = ["{a}", "{b}"]\n').allowed == both
    assert settings(tmp_path, f'[edge]\nfiles = ["{a}"]\n', files=[b]).allowed == Allowed((b,))
    with pytest.raises(SettingsError, match="there is no folder"):
        settings(tmp_path, files=[a, f"{a}/absent"])
    for wrong in ('"/tmp"', "[1]", "true"):
        with pytest.raises(SettingsError, match=r"files in .* must be a list of texts"):
            settings(tmp_path, f"[edge]\nfiles = {wrong}\n")


def test_what_is_left_open(tmp_path: Path) -> None:
    for local in ("127.0.0.1:0", "[::1]:0", "unix:/tmp/x.sock"):
        assert settings(tmp_path, listen=local).allowed == EVERYTHING
    assert settings(tmp_path, listen="0.0.0.0:0", insecure=True).allowed == Allowed(())
    assert settings(tmp_path, listen="0.0.0.0:0", insecure=True, files=["/"]).allowed == Allowed(("/",))
