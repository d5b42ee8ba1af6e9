"""The one way to a dataset or an attribute of an HDF5 file: nothing that leads out of the file is followed or read.

HDF5 files can name other files in many ways: external links, soft links to such, raw data in other files, datasets that
are put together of other files' (virtual), filters from libraries to be loaded. Only what lies in the file itself,
behind hard links, packed by filters that are known, is taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from common.errors import EventFormatError
from edge.events.reading import dtype_words

_MAX_CHUNK_BYTES = 256 * 2**20
# HDF5's registered numbers: deflate, shuffle, Fletcher32, szip, n-bit, scale-offset; bzip2, LZF, Blosc, LZ4,
# bitshuffle, Zstandard, Blosc2
_FILTERS = frozenset({1, 2, 3, 4, 5, 6, 307, 32000, 32001, 32004, 32008, 32015, 32026})


def member(group: Any, name: str) -> Any:
    """What lies in a group under a name, with slashes between groups; None if there is nothing.

    Raises:
        EventFormatError: the name, or a group on the way, is a link elsewhere.
    """
    import h5py

    found = group
    for part in name.split("/"):
        if not isinstance(found, h5py.Group):
            return None
        links = found.id.links  # h5py's own `in` and `get` would follow a link to say whether it leads somewhere
        if not links.exists(part.encode()):
            return None
        if links.get_info(part.encode()).type != h5py.h5l.TYPE_HARD:
            raise EventFormatError(f"'{name}' points into another place; copy its contents into the file")
        found = found[part]
    return found


def check_dataset(name: str, data: Any) -> None:
    """Raise EventFormatError unless this is a dataset that lies in its file, in chunks that fit in memory."""
    import h5py

    if not isinstance(data, h5py.Dataset):
        raise EventFormatError(f"dataset '{name}' is missing; this is not a DSEC events.h5")
    layout = data.id.get_create_plist()
    if layout.get_external_count() or layout.get_layout() not in (
        h5py.h5d.COMPACT,
        h5py.h5d.CONTIGUOUS,
        h5py.h5d.CHUNKED,
    ):
        raise EventFormatError(f"dataset '{name}' points into another file; copy its contents into this one")
    if any(layout.get_filter(index)[0] not in _FILTERS for index in range(layout.get_nfilters())):
        raise EventFormatError(f"dataset '{name}' is packed in a way that isn't known here; pack it with Blosc or gzip")
    if data.chunks is not None and np.prod(data.chunks, dtype=float) * data.dtype.itemsize > _MAX_CHUNK_BYTES:
        raise EventFormatError(f"dataset '{name}' has chunks of more than 256 MiB; store it in smaller ones")


def column(file: Any, name: str) -> Any:
    """A 1-dimensional dataset of integers. Raises EventFormatError if there is none, or it isn't one to be read."""
    data = member(file, name)
    check_dataset(name, data)
    if data.ndim != 1 or data.dtype.kind not in "iub":
        words = f"{dtype_words(data.dtype)} in {data.ndim} dimensions"
        raise EventFormatError(f"dataset '{name}' holds {words}; a list of integers is needed")
    return data


def attribute(owner: Any, name: str) -> int | None:
    """An attribute that is one integer; None if there is none of that name.

    Raises:
        EventFormatError: it is something else, which is not read.
    """
    import h5py

    if not h5py.h5a.exists(owner.id, name.encode()):
        return None
    found = h5py.h5a.open(owner.id, name.encode())
    if found.shape not in ((), (1,)) or found.dtype.kind not in "iu":
        raise EventFormatError(f"attribute '{name}' must be one integer; write it again")
    return int(np.asarray(owner.attrs[name]).reshape(-1)[0])
