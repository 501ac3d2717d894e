"""The exceptions of `tokenizers` become ours; no other exception does."""

from __future__ import annotations

import pytest
import tokenizers

from tokenmill.pipeline.base.errors import ConfigError, InputError
from tokenmill.tokenizer.refusals import giving_up, loading

CATASTROPHE = "(x+x+)+y"


@pytest.mark.parametrize("pattern", ["(", "[", r"\p{Foo}", "\ud800"])
def test_a_regular_expression_that_the_library_refuses_is_a_config_error(pattern: str) -> None:
    with pytest.raises(ConfigError, match=r"^mine: no \("), loading("mine: no"):
        tokenizers.Regex(pattern)


@pytest.mark.parametrize("content", ["", "{", "{}", '{"version": "1.0"}'])
def test_a_file_that_the_library_refuses_is_a_config_error(content: str) -> None:
    with pytest.raises(ConfigError, match=r"^mine: no \("), loading("mine: no"):
        tokenizers.Tokenizer.from_str(content)


@pytest.mark.parametrize("error", [ZeroDivisionError, MemoryError, OSError, ValueError, KeyboardInterrupt])
def test_an_error_of_another_kind_passes_unchanged(error: type[BaseException]) -> None:
    for guard in (loading("mine"), giving_up()):
        with pytest.raises(error) as found, guard:
            raise error("something else")
        assert type(found.value) is error


def test_a_pattern_that_gives_up_on_a_text_is_an_input_error() -> None:
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(CATASTROPHE), behavior="isolated")
    with pytest.raises(InputError, match="gives up on a text"), giving_up():
        split.pre_tokenize_str("x" * 60)
