"""A small whole tokenizer with random weights that make every part matter."""

import pytest
from tiny_layton import CONFIG, random_tokenizer

from layton.tokenizer.config import TokenizerConfig
from layton.tokenizer.model import Tokenizer


@pytest.fixture(scope="session")
def tiny_config() -> TokenizerConfig:
    return CONFIG


@pytest.fixture
def tiny_tokenizer() -> Tokenizer:
    return random_tokenizer()
