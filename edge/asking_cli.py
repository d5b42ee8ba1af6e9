"""`eventspec-edge ask`, `watch` and `status`: what goes to a daemon that runs."""

from __future__ import annotations

import uuid
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from common.cli import say
from common.errors import PromptError

EdgeOption = Annotated[str, typer.Option(help="Address of the edge daemon.")]
EdgeCaOption = Annotated[str, typer.Option(help="CA (PEM) of the edge daemon's certificate. [no TLS]")]
EdgeCertOption = Annotated[str, typer.Option(help="A certificate of one's own, where it wants one.")]
EdgeKeyOption = Annotated[str, typer.Option(help="Its private key.")]
TokenFileOption = Annotated[str, typer.Option(help="File with a token for the edge daemon.")]
MaxTokensOption = Annotated[int, typer.Option(help="Longest answer, in tokens.")]
ReconnectOption = Annotated[
    float, typer.Option(help="Seconds to wait for the edge daemon if it isn't there yet, or is lost in the middle.")
]
WindowStartOption = Annotated[
    int, typer.Option(help="Start of the event window, microseconds from the recording's start.")
]


class ModeChoice(str, Enum):
    """For `--mode`."""

    stream_to_cloud = "stream_to_cloud"
    cloud_only = "cloud_only"
    edge_only = "edge_only"
    edge_vision = "edge_vision"


class VideoCodecChoice(str, Enum):
    """For `--video-codec`."""

    auto = "auto"
    copy = "copy"
    h264 = "h264"
    jpeg = "jpeg"

    @property
    def request(self) -> str:
        """As a request says it."""
        return "" if self is VideoCodecChoice.auto else str(self.value)


class PaceChoice(str, Enum):
    """For `--pace`."""

    auto = "auto"
    eager = "eager"
    patient = "patient"


def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    events: Annotated[
        Path | None, typer.Option(help="Event recording: npy, h5, npz, raw, aedat4 or a DSEC folder.")
    ] = None,
    video: Annotated[Path | None, typer.Option(help="Video of the same scene, for example an mp4.")] = None,
    edge: EdgeOption = "127.0.0.1:50052",
    mode: Annotated[
        ModeChoice,
        typer.Option(help="Who answers: both, the cloud, the edge, or the cloud from features that the edge makes."),
    ] = ModeChoice.stream_to_cloud,
    max_tokens: MaxTokensOption = 64,
    temperature: Annotated[float, typer.Option(help="0 takes the most likely token; higher samples.")] = 0.0,
    top_k: Annotated[int, typer.Option(help="Sample among the k most likely tokens; 0: all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Sample among the tokens of this much mass; 1: all.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Same seed, same answer.")] = 0,
    pace: Annotated[
        PaceChoice,
        typer.Option(help="eager: the cloud never waits for drafts; patient: it does; auto: what has paid so far."),
    ] = PaceChoice.auto,
    patience_ms: Annotated[int, typer.Option(help="How long a patient cloud waits, in milliseconds.")] = 200,
    draft_length: Annotated[int, typer.Option(help="Tokens a draft; 0: what pays.")] = 0,
    branches: Annotated[
        int | None,
        typer.Option(help="Other words at a place that an idle drafter goes on from, at most. [as the daemon's]"),
    ] = None,
    window_start_us: WindowStartOption = 0,
    video_codec: Annotated[
        VideoCodecChoice,
        typer.Option(help="How the video goes up: as it is, or the frames that count encoded anew. [copy]"),
    ] = VideoCodecChoice.auto,
    answer_id: Annotated[
        str,
        typer.Option(
            help="Name of the answer, 16 to 64 letters and digits: the same name goes on with it. [a new one]"
        ),
    ] = "",
    reconnect_s: ReconnectOption = 30.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object with the answer and all figures.")
    ] = False,
    edge_ca: EdgeCaOption = "",
    edge_cert: EdgeCertOption = "",
    edge_key: EdgeKeyOption = "",
    token_file: TokenFileOption = "",
) -> None:
    """Ask the edge daemon about a recording and its video; the answer streams.

    On a terminal, text in ⟨brackets⟩ is provisional: the drafter's, not yet confirmed by the cloud.
    """
    from common.ask import AskRequest, Mode
    from common.security import Reach
    from common.types import Pace, SamplingParams

    try:
        sampling = SamplingParams(temperature, top_k, top_p, seed)
    except ValueError as error:
        raise PromptError(str(error)) from error
    _check_range("max-tokens", max_tokens, 2**31)
    _check_range("patience-ms", patience_ms, 2**31)
    _check_range("draft-length", draft_length, 2**31)
    _check_range("branches", branches or 0, 17)
    _check_range("window-start-us", window_start_us, 2**63)
    _check_seconds("reconnect-s", reconnect_s)
    for text in (question, str(events or ""), str(video or "")):
        if not _is_unicode(text):
            raise PromptError(f"{text!a} isn't valid UTF-8: rename the file, or set the terminal to UTF-8")
    request = AskRequest(
        question=question,
        events_path=str(events.absolute()) if events else "",
        video_path=str(video.absolute()) if video else "",
        mode=Mode(mode.value),
        sampling=sampling,
        max_tokens=max_tokens,
        pace=None if pace is PaceChoice.auto else Pace(pace.value),
        patience_ms=patience_ms,
        draft_length=draft_length,
        branches=branches,
        window_start_us=window_start_us,
        video_codec=video_codec.request,
        answer_id=answer_id or uuid.uuid4().hex,
    )
    _run_ask(edge, request, as_json, Reach(edge_ca, edge_cert, edge_key, token_file=token_file), reconnect_s)


def watch(
    video: Annotated[
        str,
        typer.Option(help="Video, for example an mp4. With --live also a pipe, follow:FILE, a camera or an address."),
    ],
    questions: Annotated[
        list[str] | None,
        typer.Argument(
            help="Asked once the clip is up, or the first window. [the lines of the standard input, at once]"
        ),
    ] = None,
    events: Annotated[
        str | None,
        typer.Option(help="Event recording of the same scene; with --live also `simulated`, from the pictures."),
    ] = None,
    edge: EdgeOption = "127.0.0.1:50052",
    realtime: Annotated[
        bool, typer.Option("--realtime", help="Stream at the recording's own pace, as a camera would.")
    ] = False,
    live: Annotated[
        bool, typer.Option("--live", help="The video has no known end; a question is about its last window.")
    ] = False,
    window_s: Annotated[float, typer.Option(help="Length of that window, in seconds.")] = 4.0,
    stride_s: Annotated[
        float, typer.Option(help="Seconds from one picture that may be looked at to the next; 0: window / 8.")
    ] = 0.0,
    loop: Annotated[bool, typer.Option("--loop", help="With --live: play a file again and again.")] = False,
    video_codec: Annotated[
        VideoCodecChoice,
        typer.Option(help="How it goes up: as it is, or the pictures that count encoded anew. [copy; live: h264]"),
    ] = VideoCodecChoice.auto,
    mode: Annotated[ModeChoice, typer.Option(help="Who answers.")] = ModeChoice.stream_to_cloud,
    max_tokens: MaxTokensOption = 64,
    window_start_us: WindowStartOption = 0,
    reconnect_s: Annotated[
        float, typer.Option(help="Seconds to wait for the edge daemon if it isn't there yet.")
    ] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a question.")] = False,
    edge_ca: EdgeCaOption = "",
    edge_cert: EdgeCertOption = "",
    edge_key: EdgeKeyOption = "",
    token_file: TokenFileOption = "",
) -> None:
    """Stream a clip to the cloud before its questions come, so that they find it prefilled; then ask about it.

    Example: eventspec-edge watch --events clip.h5 --video clip.mp4 --realtime "What moves?" "How many are there?"

    With --live the video may be a file (played in real time, once or with --loop), a named pipe, follow:FILE for a
    file that is still written (MPEG-TS, Matroska or raw H.264; not a plain mp4), a camera such as /dev/video0
    (video4linux), or an address (rtsp, rtmp, http, https, tcp, udp; no playlists). Events: a recording that plays along
    with a file, or `simulated`; without any, ask with --mode cloud_only. The edge decodes it, and sends one picture a
    stride.

    Example: eventspec-edge watch --live --video rtsp://camera/1 --window-s 8 --events simulated
    """
    from common.ask import AskRequest, Mode, WatchRequest
    from common.security import Reach
    from edge.watch_cli import absolute, run_watch

    reach = Reach(edge_ca, edge_cert, edge_key, token_file=token_file)

    _check_range("max-tokens", max_tokens, 2**31)
    _check_range("window-start-us", window_start_us, 2**63)
    _check_seconds("reconnect-s", reconnect_s)
    if not 0 < window_s <= 86_400 or not 0 <= stride_s <= window_s:
        raise PromptError("window-s must be positive, a day at most, and stride-s not more than that")
    if loop and not live:
        raise PromptError("--loop goes with --live")
    request = WatchRequest(
        video_path=absolute(video, live=live),
        events_path=absolute(events, live=live) if events else "",
        realtime=realtime,
        window_start_us=window_start_us,
        live=live,
        window_us=round(window_s * 1e6) if live else 0,
        stride_us=round(stride_s * 1e6) if live else 0,
        loop=loop,
        video_codec=video_codec.request,
    )

    def ask_about(watch_id: str, question: str) -> None:
        if not as_json:
            say(f"> {question}")
        ask = AskRequest(question=question, mode=Mode(mode.value), max_tokens=max_tokens, watch=watch_id)
        _run_ask(edge, ask, as_json, reach, reconnect_s)

    run_watch(edge, request, questions or [], ask_about, reach, reconnect_s)


def _check_range(name: str, value: int, limit: int) -> None:
    if not 0 <= value < limit:
        raise PromptError(f"{name} must be between 0 and {limit - 1}, not {value}")


def _check_seconds(name: str, value: float) -> None:
    if not 0 <= value <= 86_400:  # False for nan, too
        raise PromptError(f"{name} must be between 0 and 86400, not {value}")


def _is_unicode(text: str) -> bool:
    """False for what the system handed over as undecodable bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _run_ask(address: str, request: Any, as_json: bool, reach: Any, reconnect_s: float = 0.0) -> None:
    import json

    from common.ask import Notice, Report
    from edge.asking import ask_daemon
    from edge.display import answer_of, make_display, summary

    if as_json:
        for event in ask_daemon(address, request, reach, reconnect_s=reconnect_s):
            if isinstance(event, Report):
                typer.echo(json.dumps(event.values))
            elif isinstance(event, Notice):
                say(f"· {event.text}", err=True)
        return
    display, report = make_display(), None
    try:
        for event in ask_daemon(address, request, reach, reconnect_s=reconnect_s):
            display.show(event)
            report = event if isinstance(event, Report) else report
    finally:
        display.close(answer_of(report) if report is not None else None)
    if report is not None:
        say(summary(report), err=True)


def status(
    edge: EdgeOption = "127.0.0.1:50052",
    edge_ca: EdgeCaOption = "",
    edge_cert: EdgeCertOption = "",
    edge_key: EdgeKeyOption = "",
    token_file: TokenFileOption = "",
) -> None:
    """Ask the edge daemon how it is; prints JSON."""
    import dataclasses
    import json

    from common.security import Reach
    from edge.asking import daemon_status

    typer.echo(
        json.dumps(dataclasses.asdict(daemon_status(edge, Reach(edge_ca, edge_cert, edge_key, token_file=token_file))))
    )
