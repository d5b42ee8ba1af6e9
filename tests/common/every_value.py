"""Any value that a field of a message can have on the wire, and many that it can't: extremes above all."""

from __future__ import annotations

from typing import Any

from eventspec.v1 import edge_service_pb2 as edge_pb
from eventspec.v1 import speculation_pb2 as pb
from eventspec.v1 import speculation_service_pb2 as service_pb
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

_EDGES = [
    0,
    1,
    -1,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**32,
    2**53,
    2**53 + 1,
    2**63 - 1,
    2**63,
    2**64 - 1,
    2**64,
    -(2**53) - 1,
]
ANY_NUMBER = st.sampled_from(_EDGES) | st.integers(-(2**70), 2**70)
ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True)
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=12)  # halves of surrogate pairs, too
ANY_ID = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=8, max_size=64)
ANYTHING = st.one_of(
    ANY_NUMBER, ANY_FLOAT, ANY_TEXT, st.binary(max_size=8), st.none(), st.lists(ANY_NUMBER, max_size=3)
)

_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_ENUM: (-(2**31), 2**31 - 1),
}
MESSAGES: dict[str, type[Message]] = {
    name: getattr(module, name)
    for module in (pb, edge_pb, service_pb)
    for name in module.DESCRIPTOR.message_types_by_name
}


@st.composite
def any_message(draw: st.DrawFn, name: str) -> bytes:
    """The bytes of a message of that name, each of whose fields has any value, or none."""
    return _filled(draw, MESSAGES[name].DESCRIPTOR, 0).SerializeToString()


def _filled(draw: st.DrawFn, descriptor: Any, depth: int) -> Message:
    message = MESSAGES[descriptor.name]()
    for field in descriptor.fields:
        if not draw(st.booleans()):
            continue
        values = [_value(draw, field, depth) for _ in range(draw(st.integers(1, 3)) if field.is_repeated else 1)]
        if field.message_type is not None:
            for value in values:
                place = getattr(message, field.name)
                (place.add() if field.is_repeated else place).CopyFrom(value)
        elif field.is_repeated:
            getattr(message, field.name).extend(values)
        else:
            setattr(message, field.name, values[0])
    return message


def _value(draw: st.DrawFn, field: FieldDescriptor, depth: int) -> Any:
    if field.message_type is not None:
        return _filled(draw, field.message_type, depth + 1)
    if field.type == FieldDescriptor.TYPE_STRING:
        return draw(ANY_ID | st.text(max_size=12))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return draw(st.binary(max_size=24))
    if field.type == FieldDescriptor.TYPE_BOOL:
        return draw(st.booleans())
    if field.cpp_type in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return draw(ANY_FLOAT)
    least, most = _RANGES[field.cpp_type]
    likely = st.integers(0, 4)
    return draw(likely | st.sampled_from([n for n in _EDGES if least <= n <= most]) | st.integers(least, most))
