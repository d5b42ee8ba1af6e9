"""HDF5 files that name other files: nothing of those is read, and no value of any stands in a message."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from common.errors import EventFormatError
from edge.events import inspect_events, load_events
from tests.edge.events.made import made_events
from tests.edge.events.test_dsec import write

SECRET = int.from_bytes(b"S3CR", "little")


def put(file: Any, name: str, make: Callable[[Any, str], None]) -> None:
    if name in file:
        del file[name]
    make(file, name)


def external_storage(file: Any, name: str, folder: Path) -> None:
    file.create_dataset(name, shape=(1,), dtype="i8", external=[(str(folder / "secret.bin"), 0, 8)])


def external_link(file: Any, name: str, folder: Path) -> None:
    file[name] = h5py.ExternalLink(str(folder / "secret.h5"), "/value")


def soft_to_external(file: Any, name: str, folder: Path) -> None:
    file["elsewhere"] = h5py.ExternalLink(str(folder / "secret.h5"), "/")
    file[name] = h5py.SoftLink("/elsewhere/value")


def soft(file: Any, name: str, folder: Path) -> None:
    file["own"] = np.int64(SECRET)
    file[name] = h5py.SoftLink("/own")


def virtual(file: Any, name: str, folder: Path) -> None:
    layout = h5py.VirtualLayout(shape=(1,), dtype="i8")
    layout[0:1] = h5py.VirtualSource(str(folder / "secret.h5"), "value", shape=(1,))
    file.create_virtual_dataset(name, layout)


def unknown_filter(file: Any, name: str, folder: Path) -> None:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((1,))
    properties.set_filter(40_000, h5py.h5z.FLAG_OPTIONAL)
    space = h5py.h5s.create_simple((1,))
    h5py.h5d.create(file.id, name.encode(), h5py.h5t.NATIVE_INT64, space, properties).write(
        h5py.h5s.ALL, h5py.h5s.ALL, np.array([SECRET])
    )


WAYS = [external_storage, external_link, soft_to_external, soft, virtual, unknown_filter]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret.bin").write_bytes(SECRET.to_bytes(8, "little") * 600)
    with h5py.File(tmp_path / "secret.h5", "w") as other:
        other["value"] = np.full(1, SECRET, np.int64)
        other.create_group("events").attrs.update({"width": SECRET, "height": SECRET})
    return tmp_path


def told(path: Path) -> str:
    """What is said of a file that must not be read, in all ways of asking."""
    said = []
    for ask in (
        lambda: load_events(path),
        lambda: load_events(path, start_us=1_000, duration_us=1_000),
        lambda: inspect_events(path),
    ):
        with pytest.raises(EventFormatError) as caught:
            ask()
        said.append(str(caught.value).removeprefix(f"{path}: "))
    text = "\n".join(said)
    assert text.count("\n") == 2
    assert not any(shown in text for shown in (str(SECRET), f"{SECRET:,}", "S3CR", "secret"))
    return text


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["t_offset", "ms_to_idx", "events/x", "events/y", "events/t", "events/p"])
def test_no_dataset_leads_out_of_the_file(folder: Path, name: str, way: Callable[[Any, str, Path], None]) -> None:
    path = write(folder / "events.h5", made_events(500, span_us=10_000))
    with h5py.File(path, "a") as file:
        if name in file:
            del file[name]
        way(file, name, folder)
    told(path)


def test_the_secrets_would_be_read_by_hdf5_itself(folder: Path) -> None:
    """So that the test above can't pass on files that lead nowhere."""
    for way in (external_storage, external_link, soft_to_external, soft, virtual):
        with h5py.File(folder / f"{way.__name__}.h5", "w") as file:
            way(file, "t_offset", folder)
        with h5py.File(folder / f"{way.__name__}.h5", "r") as file:
            assert int(np.asarray(file["t_offset"]).reshape(-1)[0]) == SECRET, way.__name__


def test_no_group_leads_out_of_the_file(folder: Path) -> None:
    path = write(folder / "events.h5", made_events(500, span_us=10_000))
    with h5py.File(path, "a") as file:
        del file["events"]
        file["events"] = h5py.ExternalLink(str(folder / "secret.h5"), "/events")
    assert "'events/x' points into another place" in told(path)


@pytest.mark.parametrize(
    "value", ["wide", np.arange(5), 2.5, np.int64(SECRET), -1, np.array([b"x" * 60_000]), h5py.Empty("i8")]
)
def test_attributes_are_single_integers_that_can_be(folder: Path, value: Any) -> None:
    path = write(folder / "events.h5", made_events(500, span_us=10_000))
    with h5py.File(path, "a") as file:
        file["events"].attrs["width"] = value
        file["events"].attrs["height"] = 480
    assert "attribute 'width' must be" in (text := told(path)) or "a sensor that can't be" in text


def test_absurd_offsets_are_not_told(folder: Path) -> None:
    path = write(folder / "events.h5", made_events(500, span_us=10_000), offset=np.int64(2**62 + SECRET))
    assert "'t_offset' is absurd" in told(path)
