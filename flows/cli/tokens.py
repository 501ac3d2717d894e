"""Commands on the tokens of a corpus: `trace`, `forget`, `compact`, `audit`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import tokenmill as tm
from tokenmill.flows.cli.draw import terminal as draw
from tokenmill.flows.cli.options import Corpus, err, out


def trace(
    folder: Corpus,
    place: Annotated[str | None, Parameter(help="A token: its shard and its number there.")] = None,
    /,
    *,
    sample: Annotated[int | None, Parameter(help="The documents of this sample of the training run, counted from 0.")] = None,
    step: Annotated[int | None, Parameter(help="The documents of all samples of this training step.")] = None,
    doc_id: Annotated[str | None, Parameter(help="The document of this id.")] = None,
    steps: Annotated[bool, Parameter(negative="", help="With --doc-id: which training steps read it.")] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="Print one JSON object.")] = False,
) -> None:
    """Lead tokens back to their documents: source, URL, the text around, and every verdict the document met.

    Samples and steps are those of the training run of the corpus, or of the one that its settings would begin. They are
    told from the store that the run read: ask for the steps of a document before it is compacted away.

    For example:

        tokenmill trace corpora/docs train/00000:1000

        tokenmill trace corpora/docs --step 120

        tokenmill trace corpora/docs --doc-id 0123456789abcdef0123456789abcdef --steps --json
    """
    from tokenmill.flows.cli.draw.trace import show as show_answer

    answer = tm.open(folder).trace(place, sample=sample, step=step, doc_id=doc_id, steps=steps)
    if as_json:
        out.out(json.dumps(dict(answer)))
        return
    show_answer(answer, out)


def forget(
    folder: Corpus,
    /,
    *,
    doc_id: Annotated[list[str], Parameter(negative="", help="The document of this id.")] = [],  # noqa: B006
    url_prefix: Annotated[list[str], Parameter(negative="", help="Documents whose URL begins so.")] = [],  # noqa: B006
    source: Annotated[list[str], Parameter(negative="", help="All documents of a source.")] = [],  # noqa: B006
    ids_file: Annotated[Path | None, Parameter(help="A file of ids, separated by white space.")] = None,
    dry_run: Annotated[bool, Parameter(negative="", help="Say how much it is; write nothing.")] = False,
) -> None:
    """Forget documents: from now on every reader masks their tokens, and no later build brings them back.

    They are those that the store holds now, and ids that are named beside these even where it does not; documents that a later
    build collects from the same place are not meant. What names nothing in the store is refused. `compact`, or the next build,
    takes the tokens out of the files. The text stays in the tables below `documents`: take it out of the sources and build to
    remove it there. Exports made before, and copies of the store, stay as they are: make them again after compaction.

    For example:

        tokenmill forget corpora/docs --url-prefix https://example.org/private/ --dry-run

        tokenmill forget corpora/docs --doc-id 0123456789abcdef0123456789abcdef

        tokenmill forget corpora/docs --ids-file takedown.txt --source blog
    """
    from tokenmill.flows.cli.draw.forgetting import show

    corpus = tm.open(folder)
    found = corpus.forget(doc_ids=doc_id, url_prefixes=url_prefix, sources=source, ids_file=ids_file, dry_run=dry_run)
    show(found, out, dry_run=dry_run)


def compact(folder: Corpus, /) -> None:
    """Take forgotten documents out of the token files, and prove that nothing else changed.

    Token shards without forgotten documents keep their bytes; the others hold the same documents in the same order without
    them, as if they had been left out when the store was packed. A model in training on the old store has to begin anew.
    The text stays in the tables below `documents`, and the encoded text below `.state`. Exports made before stay as they are:
    make them again.

    For example:

        tokenmill compact corpora/docs
    """
    from tokenmill.flows import forgetting

    forgetting.compact(folder, draw.Terminal(out))


def audit(folder: Corpus, /, *, as_json: Annotated[bool, Parameter(name="--json", negative="")] = False) -> None:
    """Look at the tokens of a corpus: rare and single-byte tokens, variety, repetition, and shards unlike the rest.

    For example:

        tokenmill audit corpora/docs

        tokenmill audit corpora/docs --json | jq '.splits[].shards[] | select(.unlike != {})'
    """
    import dataclasses

    from tokenmill.flows.cli.draw.audit import show
    from tokenmill.pipeline.ask.audit import audit as look_at
    from tokenmill.pipeline.corpus import open_corpus
    from tokenmill.tokenizer.encode import of_corpus

    found = look_at(open_corpus(folder), of_corpus, draw.Terminal(err if as_json else out))
    if as_json:
        out.out(json.dumps({"splits": [dataclasses.asdict(one) for one in found]}))
        return
    show(found, out)
