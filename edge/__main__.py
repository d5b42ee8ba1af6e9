"""`eventspec-edge`: start the edge daemon, ask it questions, look at event files. `python -m edge` is the same."""

from __future__ import annotations

import os
import uuid
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from common.cli import make_app, run_app
from common.errors import PromptError
from common.logs import set_up
from edge.doctor_cli import doctor
from edge.events_cli import app as events_app

app = make_app("The edge side of eventspec: reads events and video, drafts answers, streams them to the cloud.")
app.add_typer(events_app, name="events")
app.command()(doctor)


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


@app.command()
def serve(
    cloud: Annotated[
        str | None,
        typer.Option(
            help="Address of the cloud daemon, HOST:PORT; several, with commas, take turns. [127.0.0.1:50051]"
        ),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(help="Where `ask` finds this daemon; keep it on loopback. [127.0.0.1:50052]"),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Folder of an EventGPT checkpoint. [the shipped tiny drafter]")
    ] = None,
    device: Annotated[str | None, typer.Option(help="Torch device, such as cpu or cuda:0. [cpu]")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, float16 or bfloat16. [float32]")] = None,
    quantize: Annotated[str | None, typer.Option(help="none, 4bit (NF4) or 8bit, through bitsandbytes. [none]")] = None,
    threads: Annotated[int | None, typer.Option(help="Torch threads; 0: half of the cores. [0]")] = None,
    max_ahead: Annotated[
        int | None, typer.Option(help="How many tokens the drafter may be ahead of the cloud. [16]")
    ] = None,
    branches: Annotated[
        int | None,
        typer.Option(
            help="Other words at a place that a drafter with nothing else to do goes on from, at most; 0: none. [0]"
        ),
    ] = None,
    spool: Annotated[
        str | None,
        typer.Option(help="Folder for answers in progress, which then go on after a restart of this daemon. [none]"),
    ] = None,
    give_up_after_s: Annotated[
        float | None, typer.Option(help="Seconds without a link before the edge finishes alone. [10]")
    ] = None,
    vision_model: Annotated[
        str | None,
        typer.Option(
            help="The target's folder, for --mode edge_vision and --draft-form mirror. "
            "[the tiny target beside the tiny drafter]"
        ),
    ] = None,
    adapter: Annotated[
        str | None,
        typer.Option(
            help="Adapter from the drafter's states to the target's, a folder or a shipped one's name (tiny-L5F); see "
            "--draft-form. [none]"
        ),
    ] = None,
    live_kbps: Annotated[
        int | None, typer.Option(help="Most kilobits a second that a live stream's H.264 may take. [2000]")
    ] = None,
    draft_form: Annotated[
        str | None,
        typer.Option(
            help="What drafts carry: ids, hidden (states, half precision), int8 (states, bytes), codes (a split "
            "adapter's waist, bytes), mirror (ids that adapter and target's head choose here), auto (ids or states, "
            "whichever pays on this link). [ids]"
        ),
    ] = None,
    distill: Annotated[
        str | None,
        typer.Option(
            help="Let the adapter (of --draft-form mirror) learn from commits while nobody asks, and keep what it "
            "learns in this folder. Answers stay the target's. [off]"
        ),
    ] = None,
    target_tokenizer: Annotated[
        str | None,
        typer.Option(
            help="Folder with the target's tokenizer.json, for a drafter that has another vocabulary. "
            "[that of --vision-model]"
        ),
    ] = None,
    across: Annotated[
        str | None,
        typer.Option(
            help="How drafts get into the target's vocabulary: text (what the drafter says is spelled anew) or pieces "
            "(it says only pieces that both have). [text]"
        ),
    ] = None,
    tls_cert: Annotated[
        str | None, typer.Option(help="Certificate of --listen (PEM, chain behind it); followed when it changes.")
    ] = None,
    tls_key: Annotated[str | None, typer.Option(help="Its private key (PEM, no passphrase).")] = None,
    tls_ca: Annotated[
        str | None, typer.Option(help="CA (PEM) that askers must have a certificate of: mutual TLS. [none]")
    ] = None,
    tokens: Annotated[
        str | None, typer.Option(help="File of tokens that askers must have one of (scope ask). [none]")
    ] = None,
    cloud_ca: Annotated[
        str | None, typer.Option(help="CA (PEM) of the cloud's certificate, or `system`: TLS to the cloud. [no TLS]")
    ] = None,
    cloud_cert: Annotated[
        str | None, typer.Option(help="This edge's own certificate (PEM), where the cloud wants one. [none]")
    ] = None,
    cloud_key: Annotated[str | None, typer.Option(help="Its private key (PEM, no passphrase).")] = None,
    cloud_name: Annotated[
        str | None, typer.Option(help="Host name in the cloud's certificate, if not the address's.")
    ] = None,
    token_file: Annotated[
        str | None, typer.Option(help="File with this edge's token for the cloud; followed when it changes. [none]")
    ] = None,
    insecure: Annotated[
        bool | None,
        typer.Option("--insecure", help="Listen beyond this machine, and send the token, even without TLS."),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(help="Serve Prometheus metrics over HTTP on HOST:PORT; port 0 is any free one. [off]"),
    ] = None,
    log_format: Annotated[
        str | None, typer.Option(help="text, or json: one object a line, with session ids. [text]")
    ] = None,
    otel: Annotated[
        str | None,
        typer.Option(
            help="OpenTelemetry collector for spans, OTLP over gRPC: http://HOST:4317. Needs the extra otel. [off]"
        ),
    ] = None,
    replay: Annotated[
        str | None,
        typer.Option(
            help="Pad all stages to a profile of measured times: a name such as 7b-4bit-24gb, or a file. [off]"
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file with an [edge] table; flags and environment override it.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
) -> None:
    """Start the daemon. Settings: a TOML file, then EVENTSPEC_EDGE_... variables, then flags.

    Prints "eventspec-edge ready on HOST:PORT" when it takes questions. Ctrl-C or SIGTERM ends it gracefully.
    """
    flags: dict[str, Any] = dict(locals())
    flags.pop("config"), flags.pop("verbose")
    from common.settings import load_settings
    from edge.config import EdgeSettings

    settings = load_settings(EdgeSettings, "edge", file=config, environment=os.environ, flags=flags)
    set_up(settings.log_format, verbose=verbose)
    import uvloop

    from edge.daemon import serve as run

    uvloop.run(run(settings))


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    events: Annotated[
        Path | None, typer.Option(help="Event recording: npy, h5, npz, raw, aedat4 or a DSEC folder.")
    ] = None,
    video: Annotated[Path | None, typer.Option(help="Video of the same scene, for example an mp4.")] = None,
    edge: Annotated[str, typer.Option(help="Address of the edge daemon.")] = "127.0.0.1:50052",
    mode: Annotated[
        ModeChoice,
        typer.Option(help="Who answers: both, the cloud, the edge, or the cloud from features that the edge makes."),
    ] = ModeChoice.stream_to_cloud,
    max_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.")] = 64,
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
    window_start_us: Annotated[
        int, typer.Option(help="Start of the event window, microseconds from the recording's start.")
    ] = 0,
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
    reconnect_s: Annotated[
        float, typer.Option(help="Seconds to ask again for if the edge daemon is lost in the middle.")
    ] = 30.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object with the answer and all figures.")
    ] = False,
    edge_ca: Annotated[str, typer.Option(help="CA (PEM) of the edge daemon's certificate. [no TLS]")] = "",
    edge_cert: Annotated[str, typer.Option(help="A certificate of one's own, where it wants one.")] = "",
    edge_key: Annotated[str, typer.Option(help="Its private key.")] = "",
    token_file: Annotated[str, typer.Option(help="File with a token for the edge daemon.")] = "",
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


@app.command()
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
    edge: Annotated[str, typer.Option(help="Address of the edge daemon.")] = "127.0.0.1:50052",
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
    max_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.")] = 64,
    window_start_us: Annotated[
        int, typer.Option(help="Start of the event window, microseconds from the recording's start.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a question.")] = False,
    edge_ca: Annotated[str, typer.Option(help="CA (PEM) of the edge daemon's certificate. [no TLS]")] = "",
    edge_cert: Annotated[str, typer.Option(help="A certificate of one's own, where it wants one.")] = "",
    edge_key: Annotated[str, typer.Option(help="Its private key.")] = "",
    token_file: Annotated[str, typer.Option(help="File with a token for the edge daemon.")] = "",
) -> None:
    """Stream a clip to the cloud before its questions come, so that they find it prefilled; then ask about it.

    Example: eventspec-edge watch --events clip.h5 --video clip.mp4 --realtime "What moves?" "How many are there?"

    With --live the video may be a file (played in real time, once or with --loop), a named pipe, follow:FILE for a
    file that is still written (MPEG-TS, Matroska or raw H.264; not a plain mp4), a camera such as /dev/video0
    (video4linux), or an address (rtsp, rtmp, http, https, tcp, udp, srt). Events: a recording that plays along with a
    file, or `simulated`; without any, ask with --mode cloud_only. The edge decodes it, and sends one picture a stride.

    Example: eventspec-edge watch --live --video rtsp://camera/1 --window-s 8 --events simulated
    """
    from common.ask import AskRequest, Mode, WatchRequest
    from common.security import Reach
    from edge.watch_cli import absolute, run_watch

    reach = Reach(edge_ca, edge_cert, edge_key, token_file=token_file)

    _check_range("max-tokens", max_tokens, 2**31)
    _check_range("window-start-us", window_start_us, 2**63)
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
            typer.echo(f"> {question}")
        ask = AskRequest(question=question, mode=Mode(mode.value), max_tokens=max_tokens, watch=watch_id)
        _run_ask(edge, ask, as_json, reach)

    run_watch(edge, request, questions or [], ask_about, reach)


def _check_range(name: str, value: int, limit: int) -> None:
    if not 0 <= value < limit:
        raise PromptError(f"{name} must be between 0 and {limit - 1}, not {value}")


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
    from edge.display import make_display, summary

    if as_json:
        for event in ask_daemon(address, request, reach, reconnect_s=reconnect_s):
            if isinstance(event, Report):
                typer.echo(json.dumps(event.values))
            elif isinstance(event, Notice):
                typer.echo(f"· {event.text}", err=True)
        return
    display, report = make_display(), None
    try:
        for event in ask_daemon(address, request, reach, reconnect_s=reconnect_s):
            display.show(event)
            report = event if isinstance(event, Report) else report
    finally:
        display.close(report.values["answer"] if report is not None else None)
    if report is not None:
        typer.echo(summary(report), err=True)


@app.command()
def status(
    edge: Annotated[str, typer.Option(help="Address of the edge daemon.")] = "127.0.0.1:50052",
    edge_ca: Annotated[str, typer.Option(help="CA (PEM) of the edge daemon's certificate. [no TLS]")] = "",
    edge_cert: Annotated[str, typer.Option(help="A certificate of one's own, where it wants one.")] = "",
    edge_key: Annotated[str, typer.Option(help="Its private key.")] = "",
    token_file: Annotated[str, typer.Option(help="File with a token for the edge daemon.")] = "",
) -> None:
    """Ask the edge daemon how it is; prints JSON."""
    import dataclasses
    import json

    from common.security import Reach
    from edge.asking import daemon_status

    typer.echo(
        json.dumps(dataclasses.asdict(daemon_status(edge, Reach(edge_ca, edge_cert, edge_key, token_file=token_file))))
    )


def main() -> None:
    """Entry point."""
    run_app(app, "eventspec-edge")


if __name__ == "__main__":
    main()
