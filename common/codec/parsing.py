"""What every message needs: bytes parsed, enumerations translated, and errors that say what is wrong."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message

from common.codec.bounds import check_structure
from common.errors import MessageError

M = TypeVar("M", bound=Message)
K = TypeVar("K")


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


def body_of(message: Message, oneof: str = "body") -> str:
    """Which of a message's alternatives is there. Raises MessageError: none is."""
    which: str | None = message.WhichOneof(oneof)
    if which is None:
        raise MessageError(f"{type(message).__name__} is empty: it needs a {oneof}")
    return which


def fields_of(kind: type[Any], source: Any) -> dict[str, Any]:
    """A value's or message's fields, where a dataclass (`kind`) and its message have the same names."""
    return {name: getattr(source, name) for name in kind.__dataclass_fields__}
