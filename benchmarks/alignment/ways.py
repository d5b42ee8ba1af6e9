"""Ways of drafting: a form of drafts and an adapter, each with a pair of daemons of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from benchmarks.processes import start_cloud, start_edge
from common.adapters.config import AdapterConfig, Level
from common.errors import SettingsError
from common.model_files import read_config
from common.shipped import adapter_folder, shipped_other_drafter, shipped_target
from edge.forms import DraftForm
from edge.vocabulary import Way as AcrossWay

IDS = DraftForm.IDS.value
_READY_S = 180.0


@dataclass(frozen=True, slots=True)
class Way:
    """One way of drafting. `adapter` is a folder or a shipped one's name; empty for the drafter's own ids.

    `across` is how the drafts of the shipped drafter with another vocabulary get into the target's; else empty.
    """

    form: str
    adapter: str = ""
    across: str = ""

    @property
    def label(self) -> str:
        """Such as `L5F int8`."""
        if self.across:
            return f"across by {self.across}"
        return f"{adapter_folder(self.adapter).name} {self.form}" if self.adapter else self.form

    @property
    def edge_arguments(self) -> list[str]:
        """For the edge daemon."""
        if self.across:
            target = str(shipped_target())
            return ["--model", str(shipped_other_drafter()), "--target-tokenizer", target, "--across", self.across]
        return ["--adapter", self.adapter, "--draft-form", self.form] if self.adapter else []


def ways_of(adapters: Sequence[str], forms: Sequence[str], across: Sequence[str] = ()) -> list[Way]:
    """The drafter's own ids, and each adapter in each of `forms` that it can take (all that it can, without any).

    Behind them the drafter of another vocabulary, `across` in each of these ways.

    Raises:
        SettingsError: there is no such form, or no such way across.
        ModelError: there is no such adapter.
    """
    known = [form.value for form in DraftForm]
    for form in forms:
        if form not in known:
            raise SettingsError(f"there is no form {form!r}; there are {', '.join(known)}")
    for way in across:
        if way not in [one.value for one in AcrossWay]:
            raise SettingsError(f"there is no way across {way!r}; there are text and pieces")
    found = [Way(IDS)]
    for adapter in adapters:
        config = AdapterConfig.from_json(read_config(adapter_folder(adapter)))
        found += [Way(form, adapter) for form in _forms(config) if not forms or form in forms]
    return found + [Way(IDS, across=way) for way in across]


def _forms(config: AdapterConfig) -> list[str]:
    if config.level is Level.TOKENS:
        return [DraftForm.MIRROR.value]
    forms = [DraftForm.HIDDEN.value, DraftForm.INT8.value]
    forms += [DraftForm.CODES.value] if config.level is Level.L1S else []
    return forms + ([DraftForm.MIRROR.value] if config.level is not Level.L5F else [])


@contextmanager
def serving(ways: Sequence[Way], threads: int) -> Iterator[dict[Way, str]]:
    """The edges' addresses, each with a cloud that has its adapter; all daemons are gone afterwards."""
    with ExitStack() as stack:
        clouds, edges = {}, {}
        common = ["--threads", str(threads)]
        for way in ways:
            adapter = ["--adapter", way.adapter] if way.adapter and way.form != DraftForm.MIRROR.value else []
            key = tuple(adapter)
            if key not in clouds:
                cloud = start_cloud(*adapter, *common)
                stack.callback(cloud.stop)
                cloud.wait_ready(_READY_S)
                clouds[key] = cloud.address
            edge = start_edge(clouds[key], *way.edge_arguments, *common)
            stack.callback(edge.stop)
            edge.wait_ready(_READY_S)
            edges[way] = edge.address
        yield edges
