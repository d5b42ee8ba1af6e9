"""What every message needs: bytes parsed, numbers held to their range, enumerations translated, one kind of error."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, EncodeError, Message

from common.codec.bounds import check_structure
from common.errors import MessageError
from common.types import LARGEST

M = TypeVar("M", bound=Message)
K = TypeVar("K")
P = ParamSpec("P")
_UINT32 = 2**32 - 1


def encoder(encode: Callable[P, bytes]) -> Callable[P, bytes]:
    """An `encode_*` that raises MessageError, and nothing else, for values that no message can hold."""

    @wraps(encode)
    def encoded(*args: P.args, **kwargs: P.kwargs) -> bytes:
        try:
            return encode(*args, **kwargs)
        except (
            ValueError,
            TypeError,
            LookupError,
            OverflowError,
            RecursionError,
            AttributeError,
            EncodeError,
        ) as error:
            kind = encode.__name__.removeprefix("encode_")
            raise MessageError(f"a value of this {kind} fits into no message: {error}") from error

    return encoded


def within(value: int, what: str) -> int:
    """A number of 64 bits that is no larger than any that makes sense. Raises MessageError: it is, as `what`."""
    if not -LARGEST <= value <= LARGEST:
        raise MessageError(f"{what} is {value}: numbers, and times in microseconds, reach to 2^53 either way")
    return value


def check_id(text: str, what: str) -> None:
    """Raise MessageError unless it can name a session or clip."""
    if not 8 <= len(text) <= 64 or not (text.isascii() and text.isprintable()):
        raise MessageError(f"{what} must be 8 to 64 ASCII characters, all of them printable")


def counted(value: int) -> int:
    """A count or duration, as far as 32 bits can tell it: one that runs over must not keep its message back."""
    return min(value, _UINT32)


def finite(value: float, what: str) -> float:
    """A number that is one. Raises MessageError: it isn't finite, as `what`."""
    if not math.isfinite(value):
        raise MessageError(f"{what} must be a finite number")
    return value


def parse(kind: type[M], data: bytes) -> M:
    """The message that these bytes are. Raises MessageError: they aren't one, or one of far too many parts."""
    message = kind()
    check_structure(cast("Descriptor", message.DESCRIPTOR), data)
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise MessageError(f"not a {kind.__name__}: the bytes don't parse ({len(data)} of them)") from error
    return message


def reverse(table: dict[K, Any], value: Any, what: str) -> K:
    """The key of an enumeration's number. Raises MessageError: it has none, as of `what`."""
    for key, number in table.items():
        if number == value:
            return key
    raise MessageError(f"{what} has the unknown value {value}")


def check_name(what: str, text: str, most: int) -> None:
    """Raises MessageError: the text is longer than any name, hash or id."""
    if len(text) > most:
        raise MessageError(f"{what} has {len(text):,} characters: {most} are taken")


def body_of(message: Message, oneof: str = "body") -> str:
    """Which of a message's alternatives is there. Raises MessageError: none is."""
    which: str | None = message.WhichOneof(oneof)
    if which is None:
        raise MessageError(f"{type(message).__name__} is empty: it needs a {oneof}")
    return which


def fields_of(kind: type[Any], source: Any) -> dict[str, Any]:
    """A value's or message's fields, where a dataclass (`kind`) and its message have the same names.

    Raises:
        MessageError: a number is out of its range.
    """
    return {name: _in_range(getattr(source, name), name) for name in kind.__dataclass_fields__}


def _in_range(value: Any, name: str) -> Any:
    if isinstance(value, float):
        return finite(value, name)
    return within(value, name) if isinstance(value, int) else value
