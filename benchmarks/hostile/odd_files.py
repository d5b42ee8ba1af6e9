"""Files that a second client of an honest edge names: what freezes, fills or betrays a careless reader."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import grpc
import grpc.aio
import h5py
import numpy as np

from benchmarks.hostile.attackers import Attack
from common import codec
from common.ask import AskRequest, Mode

_SPARSE = 3_200_000_000
_ANSWER_S = 20.0
SECRET = b"S3CR3T!!"


def _tangle(path: Path) -> None:
    """Lists that name each other, 24 deep: written out they would be gigabytes."""
    data = b"\x80\x04}\x94\x8c\x0aevent_data\x94"  # a dict and its key, remembered as 0 and 1
    data += b"]\x94(" * 24 + b"]\x94"  # lists, each in the one before, remembered as 2 to 26
    data += b"".join(b"h" + bytes([number]) + b"e" for number in range(26, 2, -1))  # and each in it again
    _pickled(path, data + b"s.")


def _nested(path: Path) -> None:
    """Thousands of lists, one in the other."""
    _pickled(path, b"\x80\x04" + b"]" * 4_000 + b"a" * 3_999 + b".")


def _pickled(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        file.write(data)


def _sparse_npy(path: Path) -> None:
    with path.open("wb") as file:
        header = {"descr": "<i8", "fortran_order": False, "shape": (_SPARSE // 8,)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(_SPARSE)


def _sparse_raw(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"% evt 2.0\n% geometry 64x48\n% end\n")
        file.truncate(2_700_000_000)


def _telling_h5(path: Path) -> None:
    """Its offset is eight bytes of another file."""
    secret = path.with_suffix(".secret")
    secret.write_bytes(SECRET * 8)
    with h5py.File(path, "w") as file:
        for name in ("x", "y", "t", "p"):
            file[f"events/{name}"] = np.zeros(4, np.uint16)
        file["ms_to_idx"] = np.zeros(2, np.uint64)
        file.create_dataset("t_offset", shape=(1,), dtype="i8", external=[(str(secret), 0, 8)])


def _fifo(path: Path) -> None:
    os.mkfifo(path)


FILES: dict[str, Callable[[Path], None]] = {
    "tangle.npy": _tangle,
    "nested.npy": _nested,
    "sparse.npy": _sparse_npy,
    "sparse.raw": _sparse_raw,
    "telling.h5": _telling_h5,
    "fifo.npy": _fifo,
    "forged\n\x1b[2Jname.npy": _tangle,
}


def write_files(folder: Path) -> None:
    """All of them; small on the disk."""
    for name, write in FILES.items():
        write(folder / name)


async def ask_about_files(attack: Attack) -> None:
    """One question after another about such a file."""
    name = attack.chance.choice(list(FILES))
    ask = AskRequest("What moves?", str(Path(attack.folder) / name), attack.video, Mode.STREAM_TO_CLOUD, max_tokens=4)
    call = attack.channel.unary_stream(f"/{codec.EDGE_SERVICE}/Ask")(codec.encode_ask(ask))
    kind = name if name.isprintable() else "forged name"
    try:
        async with asyncio.timeout(_ANSWER_S):
            while await call.read() is not grpc.aio.EOF:
                pass
        attack.heard[f"{kind}: answered"] += 1
    except grpc.aio.AioRpcError as error:
        told = error.details() or ""
        attack.heard[f"{kind}: {error.code().name}"] += 1
        attack.heard["secrets told"] += SECRET.decode() in told or str(int.from_bytes(SECRET, "little")) in told
    except TimeoutError:
        attack.heard[f"{kind}: no answer"] += 1
    finally:
        call.cancel()
