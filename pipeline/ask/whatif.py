"""Computes what other thresholds would keep, from the stored scores of a corpus.

Purpose: helps to choose a threshold by its funnel, by the documents that change sides, and by the values close to it.
Guarantee: writes nothing to the corpus. If stored scores cannot answer, it refuses and says what the settings would need.
Cost: see `replay`, and for deduplication `dedup.again`, which may compare texts; then one read of the shards that hold the
documents shown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from tokenmill.pipeline.ask.replay import Change, Floats, Group, Replayed, replay
from tokenmill.pipeline.base import files, shards
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.base.shards import View
from tokenmill.pipeline.config import Config, Section
from tokenmill.pipeline.corpus import CONFIG, CorpusFolder
from tokenmill.pipeline.stages import table
from tokenmill.pipeline.stages.censor import Censor
from tokenmill.pipeline.stages.kind import Again, Rebuild
from tokenmill.pipeline.stages.limits import Limit
from tokenmill.pipeline.stages.protocols import Chooser
from tokenmill.pipeline.stages.settings import parse, plain
from tokenmill.pipeline.stages.stage import name_of
from tokenmill.pipeline.stages.step import Resolver

PREVIEW_CHARACTERS = 80
"""Characters of text to show for an example document."""
NEAREST = (1, 10, 100, 1_000)
"""The answer names the value of the n-th nearest document on each side of a threshold, for each n of these."""


def what_if(corpus: CorpusFolder, settings: Mapping[str, Any], *, samples: int = 3, seed: int = 0) -> dict[str, Any]:
    """The answer as JSON values. `samples`: number of example documents per reason and direction; `seed` draws them.

    Raises NotBuilt, CorruptFile, and ConfigError for settings that stored scores cannot answer.
    """
    old, new = corpus.settings, parse(plain(corpus.settings), where=str(corpus.root / CONFIG), overrides=settings)
    if old.collect != new.collect:
        return _other_texts(corpus, old, new, samples, seed)
    changes = _changes(corpus, old, new)
    documents = corpus.views(before=corpus.steps[1].stage)
    stages = [made for _, made in corpus.stages]
    replayed = replay(corpus.published, [view.documents[1].rows or 0 for view in documents], stages, changes)
    unknown = sum(one.not_scored + one.undecided for one in replayed)
    first = corpus.collect.counts.kept
    return {
        "settings": differences(old, new),
        "documents": {
            "before": stages[-1].counts.kept if stages else first,
            "after": replayed[-1].kept if stages else first,
            "unknown": unknown,
        },
        "stages": [_stage(before, after) for before, after in zip(stages, replayed, strict=True)],
        "changes": [entry for one in replayed for entry in _sides(one)],
        "margins": [entry for one in replayed for entry in _margins(one)],
        "samples": _samples(corpus.censor, documents, replayed, samples, seed),
    }


def _other_texts(corpus: CorpusFolder, old: Config, new: Config, samples: int, seed: int) -> dict[str, Any]:
    """The answer to other settings of collection: texts change, so stages are not replayed. `extraction` is there alone."""
    # It loads kernels.
    from tokenmill.pipeline.ask import bias

    asked = bias.questions(old.collect, new.collect)
    if asked is None:
        raise ConfigError(
            "collect: of its settings only extract_bias can be tried, by stored scores of blocks; `tokenmill build` can change "
            "the others"
        )
    if old.model_copy(update={"collect": new.collect}) != new:
        raise ConfigError(
            "extract_bias changes texts, and scores of other stages are of the texts as they are: ask about it without the "
            "other settings"
        )
    done, extraction = bias.choose_again(corpus, asked)
    counts = corpus.collect.counts
    stage = _stage(corpus.collect, done)
    for side in ("before", "after"):
        stage[side]["quarantined"] = counts.quarantined
    return {
        "settings": differences(old, new),
        "documents": {"before": counts.kept, "after": done.kept, "unknown": done.undecided + done.not_scored},
        "stages": [stage],
        "changes": [entry for entry in _sides(done) if entry["now"] == "dropped"],
        "margins": [],
        "samples": _samples(corpus.censor, shards.views(corpus.published, corpus.steps[:1]), [done], samples, seed),
        "extraction": extraction,
    }


def _changes(corpus: CorpusFolder, old: Config, new: Config) -> dict[str, Change]:
    """The stages to decide again. Raises ConfigError if the settings need more than new decisions."""
    if old.stages != new.stages:
        raise ConfigError(
            f"stages: their order decides which documents are scored (now {list(old.stages)}); `tokenmill build` can change it"
        )
    changed = [kind for kind in table.STAGES if kind.settings(old) != kind.settings(new)]
    for section in ("tokenizer", "pack", "train", "expect"):
        if getattr(old, section) != getattr(new, section):
            raise ConfigError(
                f"{section}: none of its settings is a threshold over stored scores; `tokenmill build` can change it"
            )
    for kind in changed:
        made = corpus.step(kind.name)
        if kind.needs_build is not None:
            asked = Rebuild(root=corpus.published, manifest=made, before=kind.settings(old), after=kind.settings(new))
            raise ConfigError(kind.needs_build(asked))
        if made is None:
            raise ConfigError(f"{kind.name}: this corpus was built without that stage, so it holds no scores of it")
        for later, _ in corpus.stages[[one for one, _ in corpus.stages].index(kind) + 1 :]:
            if later.counts_rows:
                raise ConfigError(
                    f"{kind.name}: the later stage `{later.name}` counts what it keeps; only `tokenmill build` can do that"
                )
    changes = {}
    for kind, made in corpus.stages:
        if kind.needs_build is not None:
            continue
        after = kind.make(new)
        # A share of the documents that pass depends on all settings, so it is chosen again even if its own did not change.
        if kind in changed or isinstance(after, Chooser):
            change = Change(before=kind.make(old), after=after)
            _check_scores(made, change, kind.settings(new))
            if kind.again is not None:
                if changes:
                    raise ConfigError(
                        f"{kind.name}: which documents it compares depends on {' and '.join(changes)}; ask about one stage "
                        "at a time, or let `tokenmill build` do both"
                    )
                change = replace(change, decided=kind.again(_asked(corpus, cast(Resolver, after), made)))
            changes[kind.name] = change
    return changes


def _asked(corpus: CorpusFolder, stage: Resolver, made: Manifest) -> Again:
    scored = [(name_of(made.stage, "scores", shard.name), shard) for shard in made.shards]
    views = corpus.views(before=made.stage)
    return Again(
        stage=stage,
        root=corpus.root,
        scored=[(view, (name, shard.files[name])) for view, (name, shard) in zip(views, scored, strict=True)],
        before=corpus.before(made.stage),
    )


def _check_scores(made: Manifest, change: Change, section: Section) -> None:
    """Check that the stored scores are the ones that the new decision needs. `section`: its settings. Raises ConfigError."""
    stored, wanted = dict(made.config["scoring"]), dict(change.after.scoring)
    missing = sorted(set(wanted.pop("statistics", ())) - set(stored.pop("statistics", ())))
    different = [
        name for name in sorted(wanted) if files.canonical_json(wanted[name]) != files.canonical_json(stored.get(name))
    ]
    needs = [f"scores that are not stored: {', '.join(missing)}"] if missing else []
    needs += [f"another {name} (now {stored.get(name)})" for name in different]
    if made.version != change.after.version:
        needs = [f"scores of version {change.after.version}; the stored ones have version {made.version}"]
    if needs:
        # What is not set follows from settings that are asked about, such as bands from a threshold.
        follow = [name for name in different if getattr(section, name, "") is None]
        stays = " ".join(f"--set {made.stage}.{name}={stored.get(name)}" for name in follow)
        keep = f", or keep what is stored: {stays}" if follow == different and follow else ""
        raise ConfigError(f"{made.stage}: these settings need {'; '.join(needs)}; `tokenmill build` can make them{keep}")


def differences(old: Config, new: Config) -> dict[str, dict[str, Any]]:
    """Every setting that differs, with both values. For thresholds, these are the values in effect.

    Of sources: their names in order, and what differs in those that both have.
    """
    return {name: {"before": before, "after": after} for name, before, after in differing(_effective(old), _effective(new))}


def differing(old: Any, new: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The values of two trees of JSON values that differ, by dotted name; None for what one lacks.

    Lists of tables with names, such as `collect.sources`, are compared by these names.
    """
    if isinstance(old, dict | None) and isinstance(new, dict | None):
        before, after = old or {}, new or {}
    elif _are_named(old) and _are_named(new):
        before, after = ({one["name"]: one for one in tables} for tables in (old, new))
        if [*before] != [*after]:
            yield name, [*before], [*after]
        both = before.keys() & after.keys()
        before, after = ({key: one for key, one in tables.items() if key in both} for tables in (before, after))
    else:
        if old != new:
            yield name, old, new
        return
    for key in {**before, **after}:
        yield from differing(before.get(key), after.get(key), f"{name}.{key}" if name else key)


def _effective(config: Config) -> dict[str, Any]:
    """The config as JSON values, with presets and recipes replaced by the values that they stand for."""
    return {**config.model_dump(mode="json"), **{kind.name: kind.effective(kind.settings(config)) for kind in table.STAGES}}


def _are_named(value: Any) -> bool:
    """Whether a value is a list of tables with names."""
    return isinstance(value, list) and all(isinstance(one, dict) and "name" in one for one in value)


def _stage(before: Manifest, after: Replayed) -> dict[str, Any]:
    counts = before.counts
    return {
        "stage": after.stage,
        "before": {"read": counts.read, "kept": counts.kept, "dropped": dict(counts.dropped)},
        "after": {
            "read": after.read,
            "kept": after.kept,
            "dropped": dict(sorted(after.dropped.items())),
            "not_scored": after.not_scored,
            "undecided": after.undecided,
        },
    }


def _by_side(one: Replayed) -> dict[tuple[bool, str], list[Group]]:
    """Groups by direction and reason. Documents that are dropped now come first; reasons are sorted by name."""
    sides: dict[tuple[bool, str], list[Group]] = defaultdict(list)
    for group in one.groups:
        sides[group.kept, group.reason].append(group)
    return dict(sorted(sides.items()))


def _sides(one: Replayed) -> Iterator[dict[str, Any]]:
    for (kept, reason), groups in _by_side(one).items():
        number = sum(len(group.rows) for group in groups)
        yield {"stage": one.stage, "now": "kept" if kept else "dropped", "reason": reason, "documents": number}


def _margins(one: Replayed) -> Iterator[dict[str, Any]]:
    """For each limit that moved, the nearest values on both sides."""
    for limit, parts in one.margins.items():
        values = np.concatenate([np.empty(0), *parts])
        values = values[~np.isnan(values)]
        fails = limit.fails(values)
        yield {
            "stage": one.stage,
            "setting": f"{one.stage}.{limit.setting}",
            "column": limit.column,
            "threshold": limit.threshold,
            "fails": {"documents": int(fails.sum()), "nearest": nearest(values[fails], limit)},
            "passes": {"documents": int((~fails).sum()), "nearest": nearest(values[~fails], limit)},
        }


def nearest(values: Floats, limit: Limit) -> dict[str, float]:
    """The value of the n-th nearest document, for each n of NEAREST up to the number of documents."""
    distances = np.abs(values - limit.threshold)
    wanted = [number for number in NEAREST if number <= len(values)]
    if not wanted:
        return {}
    order = np.argpartition(distances, [number - 1 for number in wanted])
    return {str(number): float(values[order[number - 1]]) for number in wanted}


def _samples(
    censor: Censor, documents: Sequence[View], replayed: Sequence[Replayed], samples: int, seed: int
) -> list[dict[str, Any]]:
    """Example documents that change sides, drawn by `seed` for each reason and direction, in document order."""
    found: list[dict[str, Any]] = []
    for one in replayed:
        for number, ((kept, reason), groups) in enumerate(_by_side(one).items()):
            ends = np.cumsum([len(group.rows) for group in groups])
            draw = np.random.default_rng([seed, number])
            for pick in sorted(draw.choice(ends[-1], size=min(samples, ends[-1]), replace=False).tolist()):
                at = int(np.searchsorted(ends, pick, side="right"))
                group = groups[at]
                place = int(pick - (ends[at - 1] if at else 0))
                found.append(
                    {
                        "stage": one.stage,
                        "now": "kept" if kept else "dropped",
                        "reason": reason,
                        "shard": group.shard,
                        "row": int(group.rows[place]),
                        **_distance(group, place),
                    }
                )
    # Hold one shard of text in memory at a time.
    for shard in sorted({sample["shard"] for sample in found}):
        table = shards.read(documents[shard].root, documents[shard].documents, ["doc_id", "source", "url", "text"])
        for sample in found:
            if sample["shard"] == shard:
                row = table.slice(sample["row"], 1).to_pylist()[0]
                sample |= {"doc_id": row["doc_id"].hex(), "source": row["source"], "url": censor.value(row["url"])}
                sample["preview"] = preview(censor.text(row["text"]))
    for sample in found:
        del sample["shard"], sample["row"]
    return found


def _distance(group: Group, place: int) -> dict[str, Any]:
    """The value, the new threshold and their distance; nulls if the reason compares no number. Or characters of texts."""
    if group.characters is not None:
        before, after = group.characters[place].tolist()
        return {"now": "changed" if group.kept else "dropped", "characters": {"before": before, "after": after}}
    if group.limit is None or np.isnan(group.values[place]):
        return {"column": None, "value": None, "threshold": None, "distance": None}
    value, threshold = float(group.values[place]), group.limit.threshold
    return {"column": group.limit.column, "value": value, "threshold": threshold, "distance": value - threshold}


def preview(text: str, characters: int | None = PREVIEW_CHARACTERS) -> str:
    """The first `characters` of a text (None: all) on one line. Characters that could control a terminal are escaped."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text[:characters]
    )
