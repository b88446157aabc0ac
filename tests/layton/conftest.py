"""A small whole tokenizer with random weights that make every part matter."""

import pytest
from tiny_layton import CONFIG, random_tokenizer

from layton.config import TokenizerConfig
from layton.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def tiny_config() -> TokenizerConfig:
    return CONFIG


@pytest.fixture
def tiny_tokenizer() -> Tokenizer:
    return random_tokenizer()
