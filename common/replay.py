"""Measured stage times of a deployment, and the cost model over them: what `--replay` pads the models' stages to.

A small pair that is padded to a 7B pair's times shows that pair's timeline, with the same protocol, scheduler and code.
Whatever was made so is labelled `replayed`. A profile is a TOML (or JSON) file that says where its figures come from
and what had to be assumed; some are shipped in `common/profiles/`, by name.

Pure but for reading the file: no clock, no torch. Times in milliseconds, tokens in the profile's own models' tokens
(`VideoTimes.frames`, `TargetTimes.prompt_tokens`, `DrafterTimes.prompt_tokens`): a stage that is done in part costs its
share.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from common.errors import SettingsError

T = TypeVar("T")
_SHIPPED = Path(__file__).parent / "profiles"
_LONGEST_MS = 600_000.0


@dataclass(frozen=True, slots=True)
class Curve:
    """Measured points (count, milliseconds) of a cost; straight lines between them, the last one goes on.

    Below the first point its cost holds: a pass over one row reads all weights too. Nothing costs nothing.
    """

    points: tuple[tuple[float, float], ...]

    def at(self, count: float) -> float:
        """Milliseconds for `count`."""
        if count <= 0:
            return 0.0
        first = self.points[0]
        if count <= first[0] or len(self.points) == 1:
            return first[1]
        above = bisect_left(self.points, count, lo=1, hi=len(self.points) - 1, key=lambda point: point[0])
        (low, cost), (high, more) = self.points[above - 1], self.points[above]
        return cost + (more - cost) * (count - low) / (high - low)


@dataclass(frozen=True, slots=True)
class VideoTimes:
    """A clip's way to features, on whichever side does it.

    Attributes:
        decode_ms: decoding of a whole clip; 0: not padded.
        preprocess_ms: CLIP's preprocessing of `frames` frames; 0: not padded.
        vision: vision encoding of so many frames at once.
        frames: frames of a clip that the target looks at.
        workers: clips that the cloud decodes at a time.
    """

    decode_ms: float
    preprocess_ms: float
    vision: Curve
    frames: int = 8
    workers: int = 2

    def decode_share_ms(self, share: float) -> float:
        """Decoding of a share (0 to 1) of a clip."""
        return self.decode_ms * share

    def preprocess_frames_ms(self, frames: int) -> float:
        """Preprocessing of `frames` frames."""
        return self.preprocess_ms * frames / self.frames


@dataclass(frozen=True, slots=True)
class TargetTimes:
    """The target's packed passes.

    Attributes:
        step: one pass over so many rows (prompt tokens, committed tokens and drafts of all its sessions together).
        session_ms: what each further session in a pass adds: its own keys and values are read too.
        prompt_tokens: the whole prompt, video included.
        video_tokens: those of the video; 0: not told, then text and video count alike.
    """

    step: Curve
    session_ms: float
    prompt_tokens: int
    video_tokens: int = 0


@dataclass(frozen=True, slots=True)
class DrafterTimes:
    """The drafter's stages.

    Attributes:
        rasterise_ms: events to frames; 0: not padded.
        preprocess_ms: CLIP's preprocessing of all event frames; 0: not padded.
        vision_ms: vision encoding of all event frames.
        prefill_ms: the whole prompt.
        token_ms: one pass, that is one token.
        prompt_tokens: the whole prompt, events included.
    """

    vision_ms: float
    prefill_ms: float
    token_ms: float
    prompt_tokens: int
    rasterise_ms: float = 0.0
    preprocess_ms: float = 0.0

    def draft_ms(self, passes: int) -> float:
        """So many passes, one after the other. The first token after a prefill needs none."""
        return self.token_ms * passes


@dataclass(frozen=True, slots=True)
class StageTimes:
    """A deployment's measured stage times. `sources` and `assumed` say, in sentences, where each figure comes from."""

    name: str
    about: str
    video: VideoTimes
    target: TargetTimes
    drafter: DrafterTimes
    sources: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()

    def step_ms(self, prompt_tokens: float, decode_tokens: float, sessions: int) -> float:
        """One packed pass of the target.

        Args:
            prompt_tokens: rows of prompts, in the profile's tokens (`prompt_rows` scales another model's).
            decode_tokens: rows behind the prompts, of all sessions: one a session, and its drafts.
            sessions: sessions in the pass.
        """
        rows = prompt_tokens + decode_tokens
        return self.target.step.at(rows) + self.target.session_ms * max(0, sessions - 1) if rows > 0 else 0.0

    def prompt_rows(self, fed: int, whole: int, *, fed_video: int = 0, video: int = 0) -> float:
        """Rows that a part of another model's prompt stands for; the parts of a prompt make up the profile's whole one.

        Args:
            fed: tokens of the part.
            whole: tokens of the prompt, in the model that runs here.
            fed_video: how many of `fed` are the video's.
            video: how many of `whole` are.
        """
        target = self.target
        if not target.video_tokens or not 0 < video < whole:
            return target.prompt_tokens * fed / whole
        text = target.prompt_tokens - target.video_tokens
        return target.video_tokens * fed_video / video + text * (fed - fed_video) / (whole - video)

    def prefill_ms(self) -> float:
        """The whole prompt of one session, in one pass; its choice is included."""
        return self.step_ms(self.target.prompt_tokens, 0, 1)


def shipped_profiles() -> list[str]:
    """Names of the shipped profiles."""
    return sorted(path.stem for path in _SHIPPED.glob("*.toml"))


def load_profile(name: str | Path) -> StageTimes:
    """A shipped profile by name, or the one in a TOML or JSON file (a name with a dot or slash in it is a path).

    Raises:
        SettingsError: there is no such profile, or it makes no sense; the message names the place.
    """
    path = _SHIPPED / f"{name}.toml"
    if "/" in str(name) or Path(name).suffix in (".toml", ".json"):
        path = Path(name)
    elif not path.is_file():
        known = shipped_profiles()
        near = difflib.get_close_matches(str(name), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"shipped are {', '.join(known)}"
        raise SettingsError(f"there is no replay profile {name}; {hint} (or name a .toml or .json file)")
    return parse_profile(_read(path), str(path))


def replayed_label(edge: str, cloud: str) -> str:
    """What a report calls an answer whose edge and cloud were padded to these profiles; empty if none was.

    One name where both say it; `edge:NAME` or `cloud:NAME` where one side ran as it is.
    """
    if edge == cloud:
        return edge
    return " ".join(f"{side}:{name}" for side, name in (("edge", edge), ("cloud", cloud)) if name)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise SettingsError(f"can't read the replay profile {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"the replay profile {path} isn't valid {path.suffix[1:].upper()}: {error}") from error
    if not isinstance(values, dict):
        raise SettingsError(f"the replay profile {path} must be a table")
    return values


def parse_profile(values: Mapping[str, Any], where: str) -> StageTimes:
    """A profile from its file's content; `where` is for messages.

    Raises:
        SettingsError: a value is missing, unknown, negative, not finite, or of another kind.
    """
    times = _table(StageTimes, values, where)
    if times.target.video_tokens >= times.target.prompt_tokens:
        raise SettingsError(f"{where}, target: video_tokens must be fewer than prompt_tokens, which include them")
    if not times.name or not all(c.isalnum() or c in "-_." for c in times.name):
        raise SettingsError(f"{where}: name must be made of letters, digits, '-', '_' and '.'")
    return times


def _table(kind: type[T], values: Any, where: str) -> T:
    if not isinstance(values, Mapping):
        raise SettingsError(f"{where} must be a table")
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    if unknown := values.keys() - known.keys():
        raise SettingsError(f"{where} has the unknown {sorted(unknown)[0]!r}; known are {', '.join(known)}")
    needed = [name for name, f in known.items() if f.default is MISSING]
    if missing := [name for name in needed if name not in values]:
        raise SettingsError(f"{where} lacks {missing[0]!r}")
    return kind(**{name: _value(str(known[name].type), value, f"{where}, {name}") for name, value in values.items()})


def _value(kind: str, value: Any, where: str) -> Any:
    match kind:
        case "float":
            return _number(value, where)
        case "int":
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1_000_000:
                raise SettingsError(f"{where} must be a whole number from 1 on, not {value!r}")
            return value
        case "str":
            if not isinstance(value, str):
                raise SettingsError(f"{where} must be text, not {value!r}")
            return value
        case "Curve":
            return _curve(value, where)
        case "tuple[str, ...]":
            if not isinstance(value, list) or not all(isinstance(line, str) for line in value):
                raise SettingsError(f"{where} must be a list of sentences")
            return tuple(value)
        case _:
            return _table({"VideoTimes": VideoTimes, "TargetTimes": TargetTimes}.get(kind, DrafterTimes), value, where)


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LONGEST_MS:
        raise SettingsError(f"{where} must be a number from 0 to {_LONGEST_MS:.0f}, not {value!r}")
    return float(value)


def _curve(value: Any, where: str) -> Curve:
    points = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
    if not points or not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise SettingsError(f"{where} must be a list of points [count, milliseconds]")
    curve = Curve(tuple((_number(count, where), _number(ms, where)) for count, ms in points))
    ordered = zip(curve.points, curve.points[1:], strict=False)
    if curve.points[0][0] <= 0 or any(high[0] <= low[0] or high[1] < low[1] for low, high in ordered):
        raise SettingsError(f"{where}: counts must grow from above 0, and milliseconds may not fall")
    return curve
