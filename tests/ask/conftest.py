"""Fixtures of the token store, which questions about tokens need too, and a corpus whose thresholds drop some documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ask.judged import SETTINGS, built, texts
from tests.tokens.conftest import byte_encoder, pack, store_of

__all__ = ["byte_encoder", "pack", "store_of"]


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    for number, text in enumerate(texts()):
        (folder / f"{number:03}.txt").write_text(text)
    # A copy that stays in the shadow of a longer document, and a document of no language.
    (folder / "copy.txt").write_text(texts()[117].replace("number117", "once more"))
    (folder / "odd.txt").write_text("\x1b]0;evil\x07\u202e[bold] " + "zzgr qwrt plmk " * 30 + texts()[119])
    return folder


@pytest.fixture(scope="session")
def corpus(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpora") / "corpus"
    stages = built(source, root, SETTINGS)
    assert stages["language"]["dropped"]["language_score"] > 3
    assert stages["quality"]["dropped"]["too_few_words"] > 3
    return root
