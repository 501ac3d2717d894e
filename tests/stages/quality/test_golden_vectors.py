"""For every threshold of every recipe: a text that is at it, and passes, and one that is just beyond it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import ceil
from typing import Any

import pyarrow as pa
import pytest

from tokenmill.pipeline.base.edits import Edit, apply
from tokenmill.pipeline.stages.quality.lines import LineRules, removed
from tokenmill.pipeline.stages.quality.recipes import RECIPES
from tokenmill.pipeline.stages.quality.rules import RULES, first_failing
from tokenmill.pipeline.stages.quality.settings import QualityConfig, Thresholds
from tokenmill.pipeline.stages.quality.stage import Quality
from tokenmill.pipeline.stages.quality.statistics import measure

LETTERS = "abcdefghijklmnopqrstuvwxyz"
Pair = tuple[str, str]


def different(count: int, characters: int = 6, first: int = 0) -> list[str]:
    """So many different words of letters."""

    def word(number: int) -> str:
        return "".join(LETTERS[number // 26**place % 26] for place in range(characters))

    return [word(first + number) for number in range(count)]


def part_of_ten(threshold: float) -> int:
    assert threshold * 10 == round(threshold * 10)
    return round(threshold * 10)


def least(part: int, threshold: float) -> int:
    """The smallest whole of which `part` is at most the share `threshold`."""
    return ceil(part / Fraction(str(threshold)))


def filled(text: str, characters: int) -> str:
    assert len(text) < characters
    return text + "z" * (characters - len(text))


def shorter_whole(repetitive: str, repeated: int, threshold: float) -> Pair:
    """A repetition in the longest text where it is too much, and in one that is a character longer."""
    whole = least(repeated, threshold)
    return filled(repetitive, whole), filled(repetitive, whole - 1)


def repeated(separator: str) -> Callable[[float], Pair]:
    def build(threshold: float) -> Pair:
        part, units = part_of_ten(threshold), different(10)
        return (
            separator.join(units[: 10 - part] + units[:1] * part),
            separator.join(units[: 9 - part] + units[:1] * (part + 1)),
        )

    return build


def top_ngram(n: int) -> Callable[[float], Pair]:
    ngram = " ".join(LETTERS[:n])
    return lambda threshold: shorter_whole(f"{ngram} x {ngram} ", 2 * len(ngram), threshold)


def duplicate_ngram(n: int) -> Callable[[float], Pair]:
    ngram = " ".join(LETTERS[:n])
    return lambda threshold: shorter_whole(f"{ngram} x {ngram} ", n, threshold)


def mark_per_word(mark: str) -> Callable[[float], Pair]:
    def build(threshold: float) -> Pair:
        whole = least(1, threshold)  # words, with the mark
        return " ".join([*different(whole - 1), mark]), " ".join([*different(whole - 2), mark])

    return build


def share_of_lines(special: str, plain: str, of: int) -> Callable[[float], Pair]:
    def build(threshold: float) -> Pair:
        part = round(threshold * of)
        assert part / of == threshold
        return (
            "\n".join([special] * part + [plain] * (of - part)),
            "\n".join([special] * (part + 1) + [plain] * (of - part - 1)),
        )

    return build


def joined(words: Sequence[str]) -> str:
    return " ".join(words)


def some_alphabetic(threshold: float) -> Pair:
    part = part_of_ten(threshold)
    return joined(different(part) + ["12"] * (10 - part)), joined(different(part - 1) + ["12"] * (11 - part))


def newlines(threshold: float) -> Pair:
    part = part_of_ten(threshold)

    def lines(words: list[str]) -> str:
        return "\n".join([*words[:part], joined(words[part:])])

    return lines(different(10)), lines(different(9))


def punctuated(threshold: float) -> Pair:
    part = round(threshold * 100)
    return (
        "\n".join(["It ends."] * part + ["It does not"] * (100 - part)),
        "\n".join(["It ends."] * (part - 1) + ["It does not"] * (101 - part)),
    )


PAGES: dict[str, Callable[[Any], Pair]] = {
    "max_duplicate_paragraphs": repeated("\n\n"),
    "max_duplicate_paragraph_characters": lambda t: shorter_whole("aaaa\n\naaaa\n\n", 4, t),
    "max_duplicate_lines": repeated("\n"),
    "max_duplicate_line_characters": lambda t: shorter_whole("aaaa\naaaa\n", 4, t),
    **{f"max_top_{n}gram": top_ngram(n) for n in range(2, 5)},
    **{f"max_duplicate_{n}gram": duplicate_ngram(n) for n in range(5, 11)},
    "min_words": lambda t: (joined(different(t)) + " ! ! !", joined(different(t - 1)) + " ! ! !"),
    "max_words": lambda t: ("ab " * t + "!", "ab " * (t + 1) + "!"),
    "min_mean_word_characters": lambda t: (joined(["a" * int(t)] * 9), joined(["a" * int(t)] * 8 + ["a" * (int(t) - 1)])),
    "max_mean_word_characters": lambda t: (joined(["a" * int(t)] * 9), joined(["a" * int(t)] * 8 + ["a" * (int(t) + 1)])),
    "max_hashes_per_word": mark_per_word("#"),
    "max_ellipses_per_word": mark_per_word("..."),
    "max_bullet_lines": share_of_lines("  - item", "no item", 10),
    "max_ellipsis_lines": share_of_lines("and so on ...", "and no further", 10),
    "min_alphabetic_words": some_alphabetic,
    "min_stop_words": lambda t: (
        joined(["the", "of", "and", "to"][:t]),
        joined(["The", "OF", *["the", "of", "and", "to"][: t - 1]]),
    ),
    "max_lorem_ipsum_lines": lambda t: ("Lorem\nipsum dolor", "A Lorem Ipsum dolor.\n" * (t + 1)),
    "max_curly_bracket_lines": lambda t: ("a } alone", "a {} pair\n" * (t + 1)),
    "min_sentences": lambda t: ("It ends. " * t, "It ends. " * (t - 1)),
    "min_punctuated_lines": punctuated,
    "max_short_lines": share_of_lines("x" * 30, "x" * 31, 100),
    "max_duplicate_characters": lambda t: (filled("a\na\n", least(1, t) + 2), filled("a\na\n", least(1, t) + 1)),
    "max_newlines_per_word": newlines,
}

LINES: dict[str, Callable[[Any], Pair]] = {
    "max_line_word_characters": lambda t: ("Is " + "a" * t, "Is " + "a" * (t + 1)),
    "min_line_words": lambda t: (joined(different(t)), joined(different(t - 1))),
    "terminal_punctuation": lambda _: ('He said "No."', "He said and so on..."),
    "no_javascript": lambda _: ("Enable Java Script", "Enable JAVAscript"),
    "no_policy": lambda _: ("No policy on privacy", "Our Privacy Policy"),
}
"""A line that stays, and one that goes."""

CASES = [
    (recipe, name, getattr(thresholds, name))
    for recipe, thresholds in RECIPES.items()
    for name in Thresholds.model_fields
    if getattr(thresholds, name) is not None
]


def reason_of(text: str, name: str, threshold: float) -> str:
    """What the rule of one threshold says of a text that no line was removed from."""
    rule = next(rule for rule in RULES if rule.setting == name)
    (scores,), _ = measure(pa.array([text], pa.large_string()), [rule.column], LineRules())
    reason = first_failing({rule.column: scores.to_numpy()}, Thresholds(**{name: threshold}))
    return str(reason[0])


def left(text: str, rules: LineRules) -> str:
    """What the line rules leave."""
    _, edits = measure(pa.array([text], pa.large_string()), [], rules)
    return apply(text.encode(), [Edit(start, end, new.encode()) for start, end, new in removed(edits)[0]]).decode()


@pytest.mark.parametrize(("recipe", "name", "threshold"), [case for case in CASES if case[1] in PAGES])
def test_at_the_threshold_a_page_passes_and_just_beyond_it_fails(recipe: str, name: str, threshold: float) -> None:
    at, beyond = PAGES[name](threshold)
    expected = next(rule.reason for rule in RULES if rule.setting == name)
    assert (reason_of(at, name, threshold), reason_of(beyond, name, threshold)) == ("", expected)


@pytest.mark.parametrize(("recipe", "name", "threshold"), [case for case in CASES if case[1] in LINES])
def test_at_the_threshold_a_line_stays_and_just_beyond_it_goes(recipe: str, name: str, threshold: Any) -> None:
    stays, goes = LINES[name](threshold)
    rules = LineRules(**{name: threshold})
    page = f"{stays}\n{goes}\n{stays}"
    expected = page if threshold is False else f"{stays}\n{stays}"
    assert left(page, rules) == expected


def test_citations() -> None:
    page = "Water[1] is wet.[23][edit] It boils[citation needed] at [a] 100 degrees[]."
    assert left(page, LineRules(no_citations=True)) == "Water is wet. It boils at [a] 100 degrees."
    assert left(page, LineRules()) == page


def test_every_threshold_of_every_recipe_has_its_vectors() -> None:
    assert (
        {name for _, name, _ in CASES} - {"no_citations"}
        == set(PAGES) | set(LINES)
        == set(Thresholds.model_fields) - {"no_citations"}
    )
    assert {rule.setting for rule in RULES} == set(PAGES)


# Ten sentences of different words, so that no rule of repetition has anything to say.
GOOD = " ".join(
    f"All the {' '.join(different(5, first=1_000 + 31 * number))} have {' '.join(different(3, first=9_000 + 17 * number))}."
    for number in range(10)
)


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_a_good_page_is_kept(recipe: str) -> None:
    assert judge(recipe, GOOD) == ""


@pytest.mark.parametrize(
    ("recipe", "text", "reason"),
    [
        ("gopher@1", f"{GOOD}\n\n{GOOD}", "duplicate_paragraphs"),
        ("gopher@1", "", "too_few_words"),
        ("gopher@1", GOOD.replace("the ", "").replace("have ", ""), "too_few_stop_words"),
        ("c4@1", "", "too_few_sentences"),
        ("c4@1", f"{GOOD}\nfunction of x is {{ x }}.", "curly_bracket_lines"),
        ("c4@1", f"{GOOD}\nLorem ipsum dolor sit amet.", "lorem_ipsum_lines"),
        ("c4@1", GOOD.replace(".", ""), "too_few_sentences"),
        ("fineweb@1", GOOD.replace(".", ""), "too_few_sentences"),
        ("fineweb@1", "\n".join(different(20, first=77)) + "\n" + GOOD, ""),
        ("fineweb@1", GOOD.replace(" ", "\n"), "too_few_sentences"),
        ("docs@1", "\n".join(different(200, first=77)) + "\nthe of", "too_few_punctuated_lines"),
        ("docs@1", GOOD.replace(".", ".\n").replace("have", "have\n"), ""),
        ("docs@1", GOOD.replace(" ", "\n"), "short_lines"),
        ("dclm@1", f"{GOOD}\n\n{GOOD}", "duplicate_paragraphs"),
        ("dclm@1", GOOD.replace("the ", "").replace("have ", ""), "too_few_stop_words"),
        ("dclm@1", GOOD.replace(".", ""), ""),
    ],
)
def test_the_first_rule_that_fails_names_the_drop(recipe: str, text: str, reason: str) -> None:
    assert judge(recipe, text) == reason


def judge(recipe: str, text: str) -> str:
    stage = Quality(config=QualityConfig(recipe=recipe))
    scores = stage.score(pa.record_batch({"text": pa.array([text], pa.large_string())}))
    return str(stage.decide(scores)["reason"].to_pylist()[0])
