"""Commands on the tokens of a corpus: `trace`, `forget`, `compact`, `audit`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import tokenmill as tm
from tokenmill.flows.cli import environment
from tokenmill.flows.cli.draw import terminal as draw
from tokenmill.flows.cli.options import AsJson, Corpus, CorpusOrAddress, err, out

KEPT_HOURS = 24.0
"""How long objects stay that a list of forgotten documents supersedes. They are the list before and the index."""


def trace(
    folder: Corpus,
    place: Annotated[
        str | None, Parameter(help="A token, as `SHARD:NUMBER`, counted from 0; for example `train/00000:1000`.")
    ] = None,
    /,
    *,
    sample: Annotated[
        int | None, Parameter(help="Show the documents of this sample of the training run, counted from 0.")
    ] = None,
    step: Annotated[
        int | None, Parameter(help="Show the documents of all samples of this training step, counted from 1.")
    ] = None,
    doc_id: Annotated[str | None, Parameter(help="Show the document with this id, 32 hex digits.")] = None,
    steps: Annotated[
        bool, Parameter(negative="", help="With --doc-id: also show which training steps read the document.")
    ] = False,
    reveal: Annotated[
        bool,
        Parameter(negative="", help="Show the stored text, the URL and the metadata as they came, unmasked."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find the document behind a token, a sample or a training step, and every verdict on it.

    Give exactly one of PLACE, --sample, --step and --doc-id. For a token the command shows the text around it and its
    document: id, source, URL, and for each stage the scores, the thresholds, the verdict and the evidence. For a sample or
    a step it lists the documents that it reads. What the stage `personal` masks is masked here too, but for --reveal.

    Samples and steps are those of the training run of the corpus; before any training, they are those of the run that the
    settings would start. They can only be computed from the store that the run read, so ask for the steps of a document
    before you compact it away.

    For example:

        tokenmill trace corpora/docs train/00000:1000

        tokenmill trace corpora/docs --step 120

        tokenmill trace corpora/docs --doc-id 0123456789abcdef0123456789abcdef --steps --json
    """
    from tokenmill.flows.cli.draw.trace import show as show_answer

    answer = tm.open(folder).trace(place, sample=sample, step=step, doc_id=doc_id, steps=steps, reveal=reveal)
    if as_json:
        out.out(json.dumps(dict(answer)))
        return
    show_answer(answer, out)


def forget(
    folder: CorpusOrAddress,
    /,
    *,
    doc_id: Annotated[
        list[str], Parameter(negative="", help="Forget the document with this id, 32 hex digits. Repeatable.")
    ] = [],  # noqa: B006
    url_prefix: Annotated[
        list[str], Parameter(negative="", help="Forget the documents whose URL begins with this text. Repeatable.")
    ] = [],  # noqa: B006
    source: Annotated[list[str], Parameter(negative="", help="Forget all documents of this source. Repeatable.")] = [],  # noqa: B006
    ids_file: Annotated[
        Path | None, Parameter(help="Forget the documents whose ids this file lists, separated by white space.")
    ] = None,
    dry_run: Annotated[
        bool, Parameter(negative="", help="Show how many documents and tokens would be forgotten; write nothing.")
    ] = False,
) -> None:
    """Mask documents for every reader, and keep them out of later builds.

    Choose documents with at least one of --doc-id, --url-prefix, --source and --ids-file. From now on every reader of the
    token store masks their tokens; those that have it open now, such as a training, do so when they are started again. The
    choice covers the documents that the store holds now, and ids given with them that it does not hold. It does not cover new
    documents that a later build collects from the same URL prefix or source. A request that matches nothing in the store is
    refused.

    Forgetting does not remove anything from disk. To remove the tokens, run `tokenmill compact` or build again. To remove
    the text from the tables in `documents`, take it out of the sources and build again. Earlier exports and copies of the
    store do not change: make them again after compaction.

    For example:

        tokenmill forget corpora/docs --url-prefix https://example.org/private/ --dry-run

        tokenmill forget corpora/docs --doc-id 0123456789abcdef0123456789abcdef

        tokenmill forget corpora/docs --ids-file takedown.txt --source blog
    """
    from tokenmill.flows.cli.draw.forgetting import show

    with _changing(folder, grace_hours=KEPT_HOURS) as root:
        corpus = tm.open(root)
        found = corpus.forget(doc_ids=doc_id, url_prefixes=url_prefix, sources=source, ids_file=ids_file, dry_run=dry_run)
    show(found, out, dry_run=dry_run)


def compact(
    folder: CorpusOrAddress,
    /,
    *,
    personal: Annotated[
        bool, Parameter(negative="", help="Also write the documents masked, as the stage `personal` masks what is read.")
    ] = False,
) -> None:
    """Remove forgotten documents from the token files, and prove that nothing else changed.

    Token shards without forgotten documents keep their bytes. The other shards keep their remaining documents in the same
    order, as if the forgotten ones had been left out when the store was packed. A model that is being trained on the old
    store has to start again: `tokenmill train --restart-if-stale`.

    If a build has failed, the last finished version is compacted and put in its place. The next build begins from there.

    The text stays in the tables in `documents`, and the encoded text in `.state`. Earlier exports do not change: make them
    again.

    With --personal, which needs the stage `personal`, all that is kept of the text as it came is masked too: the texts, URLs
    and metadata in `documents`, also of dropped documents, and the beginnings of rejected records. Tokens stay valid, and
    what readers see stays the same. A build that collects the sources again brings their text back.

    For example:

        tokenmill compact corpora/docs

        tokenmill compact corpora/docs --personal
    """
    from tokenmill.flows import forgetting

    # What was forgotten must be in no version that stays, so none stays.
    with _changing(folder, grace_hours=0) as root:
        forgetting.compact(root, draw.Terminal(out), personal=personal)


@contextlib.contextmanager
def _changing(folder: Path | str, *, grace_hours: float) -> Iterator[Path]:
    """The folder to change: the one that was given, or, for an address, a working folder that is published after the block."""
    if isinstance(folder, Path):
        yield folder
        return
    from tokenmill.flows import remote

    with remote.changing(folder, environment.cache_folder(), draw.Terminal(out), grace_hours=grace_hours) as root:
        yield root


def audit(folder: Corpus, /, *, as_json: AsJson = False) -> None:
    """Measure the tokens of a corpus: rare and single-byte tokens, entropy, repetition, and outlier shards.

    The table has a row for each token shard. A shard is an outlier if one of its measures is far from the median of the
    shards of its source (robust z-score beyond 3.5). If a source has fewer than 5 shards, they are compared with all shards
    of the split; a split with fewer than 5 shards has no outliers. Many single-byte tokens mean text that the tokenizer does
    not know. `tokenmill trace` shows the place of a repeated window. The last lines compare what the encoder gives now with the
    ids of difficult texts that were kept when the tokenizer was made, and with a sample of the documents in the store.

    For example:

        tokenmill audit corpora/docs

        tokenmill audit corpora/docs --json | jq '.splits[].shards[] | select(.unlike != {})'
    """
    import dataclasses

    from tokenmill.flows.cli.draw.audit import show
    from tokenmill.pipeline.ask.audit import audit as look_at
    from tokenmill.pipeline.ask.encoding import encoding
    from tokenmill.pipeline.corpus import open_corpus
    from tokenmill.tokenizer.encode import of_corpus

    corpus = open_corpus(folder)
    found = look_at(corpus, of_corpus, draw.Terminal(err if as_json else out))
    encoded = encoding(corpus, of_corpus)
    if as_json:
        out.out(json.dumps({"splits": [dataclasses.asdict(one) for one in found], "encoding": dataclasses.asdict(encoded)}))
        return
    show(found, encoded, out)
