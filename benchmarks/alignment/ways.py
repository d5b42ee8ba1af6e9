"""Ways of drafting: a form of drafts and an adapter, another drafter, or none at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.adapters.config import AdapterConfig, Level
from common.ask import Mode
from common.errors import ModelError, SettingsError
from common.model_config import read_config
from common.shipped import adapter_folder, shipped_other_drafter, shipped_target
from edge.forms import DraftForm
from edge.vocabulary import Way as AcrossWay

IDS = DraftForm.IDS.value


@dataclass(frozen=True, slots=True)
class Way:
    """One way of drafting. `adapter` is a folder or a shipped one's name; empty for the drafter's own ids.

    `across` is how the drafts of the shipped drafter with another vocabulary get into the target's; else empty.
    `drafter` is the folder of a drafter in the shipped one's place; else empty. Without a form nobody drafts.
    """

    form: str
    adapter: str = ""
    across: str = ""
    drafter: str = ""

    @property
    def label(self) -> str:
        """Such as `L5F int8`."""
        if not self.form:
            return "the cloud alone"
        if self.across:
            return f"across by {self.across}"
        if self.drafter:
            return f"{Path(self.drafter).name} {self.form}"
        return f"{adapter_folder(self.adapter).name} {self.form}" if self.adapter else self.form

    @property
    def mode(self) -> Mode:
        """What an edge daemon is asked for."""
        return Mode.STREAM_TO_CLOUD if self.form else Mode.CLOUD_ONLY

    @property
    def cloud_adapter(self) -> str:
        """What the cloud must have; empty where the edge's part is all."""
        return self.adapter if self.form != DraftForm.MIRROR.value else ""

    @property
    def edge_arguments(self) -> list[str]:
        """For the edge daemon."""
        if self.across:
            target = str(shipped_target())
            return ["--model", str(shipped_other_drafter()), "--target-tokenizer", target, "--across", self.across]
        if self.drafter:
            return ["--model", self.drafter]
        return ["--adapter", self.adapter, "--draft-form", self.form] if self.adapter else []


ALONE = Way("")
"""The cloud answers without drafts."""


def ways_of(
    adapters: Sequence[str], forms: Sequence[str], across: Sequence[str] = (), drafters: Sequence[str] = ()
) -> list[Way]:
    """The drafter's own ids, and each adapter in each of `forms` that it can take (all that it can, without any).

    Behind them other drafters of the same vocabulary, by folder, and the drafter of another one, `across` in each of
    these ways.

    Raises:
        SettingsError: there is no such form, or no such way across.
        ModelError: there is no such adapter or drafter.
    """
    known = [form.value for form in DraftForm]
    for form in forms:
        if form not in known:
            raise SettingsError(f"there is no form {form!r}; there are {', '.join(known)}")
    for way in across:
        if way not in [one.value for one in AcrossWay]:
            raise SettingsError(f"there is no way across {way!r}; there are text and pieces")
    for folder in drafters:
        if not (Path(folder) / "config.json").is_file():
            raise ModelError(f"there is no drafter in {folder}: name a folder with a config.json")
    found = [Way(IDS)]
    for adapter in adapters:
        config = AdapterConfig.from_json(read_config(adapter_folder(adapter)))
        found += [Way(form, adapter) for form in _forms(config) if not forms or form in forms]
    found += [Way(IDS, drafter=folder) for folder in drafters]
    return found + [Way(IDS, across=way) for way in across]


def _forms(config: AdapterConfig) -> list[str]:
    if config.level is Level.TOKENS:
        return [DraftForm.MIRROR.value]
    forms = [DraftForm.HIDDEN.value, DraftForm.INT8.value]
    forms += [DraftForm.CODES.value] if config.level is Level.L1S else []
    return forms + ([DraftForm.MIRROR.value] if config.level is not Level.L5F else [])
