"""Words between a limited child and its parent: each message is a header of nine bytes, and what it says follows."""

from __future__ import annotations

import struct

HEADER = struct.Struct("!BQ")  # kind of the message, and the length of what follows
REQUEST, REPLY, REFUSED, NO_MEMORY, FAILED = range(5)
MOST_CONTROL = 1 << 16  # bytes of a request to a template process, and of its reply
