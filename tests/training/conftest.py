from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from tests.training.samples import micro_data
from training.tokenizer import pair_tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return pair_tokenizer()


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    return micro_data(tmp_path_factory.mktemp("data"), tokenizer)
