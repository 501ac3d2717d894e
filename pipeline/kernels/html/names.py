"""What the scan of HTML knows of tags, attributes, roles and the words in class names, as tables for kernels.

Purpose: kernels find a name by the hash of its lower-case bytes, which they compute while they read it.
Guarantee: the names in the tables have different hashes; a test compares them all.
Source: the kinds of elements are those of section 13.2.6 of the HTML standard ("special", scope, void, raw text, implied ends).
Cost: about 150 tags in 20 kB; 62 keywords in 25 kB.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

BASIS, PRIME = 0xCBF29CE484222325, 0x100000001B3
"""FNV-1a."""
MASK = (1 << 64) - 1


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Kinds of tags, as bits.
BLOCK = 1 << 0
"""Closes the block of text before it and after it."""
VOID = 1 << 1
"""Has no content and no end tag."""
RAW = 1 << 2
"""Its content holds no tags, and is no text of the page."""
RAW_TEXT = 1 << 3
"""Its content holds no tags, and is text of the page."""
SKIPPED = 1 << 4
"""Text inside it is no text of the page."""
NO_SHAPE = 1 << 10
"""The same, but in SVG and MathML alone: what describes a picture or a formula. Elsewhere these names mean nothing."""
BARRIER = 1 << 5
"""End tags and implied ends do not reach out of it ("has an element in scope")."""
ENDS_P = 1 << 6
"""Its start tag ends an open paragraph."""
TABLE_PART = 1 << 7
"""Its end tag reaches out of cells, up to the innermost table."""
IGNORED = 1 << 8
"""Tags that change nothing: the root, the head, frames."""
IMPLIES = 1 << 9
"""Its start tag ends an open element of its own kind, such as another item, even without an end tag."""

_KINDS: dict[int, str] = {
    BLOCK: "address article aside blockquote body button caption center dd details dialog dir div dl dt fieldset figcaption"
    " figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr legend li listing main menu nav ol optgroup option p plaintext pre"
    " search section select summary table tbody td textarea tfoot th thead tr ul xmp",
    VOID: "area base basefont bgsound br col embed frame hr img image input keygen link meta param source track wbr",
    RAW: "script style iframe noembed noframes title",
    RAW_TEXT: "textarea xmp plaintext",
    SKIPPED: "template rt rp rtc datalist",
    NO_SHAPE: "desc metadata annotation annotation-xml script style iframe noembed noframes title",
    BARRIER: "table td th caption template object applet marquee foreignobject desc title annotation-xml mi mo mn ms mtext",
    ENDS_P: "address article aside blockquote center dd details dialog dir div dl dt fieldset figcaption figure footer form h1"
    " h2 h3 h4 h5 h6 header hgroup hr li listing main menu nav ol p plaintext pre search section summary table ul xmp",
    TABLE_PART: "table tbody td tfoot th thead tr caption",
    IGNORED: "html head frameset colgroup",
    IMPLIES: "li dt dd td th tr tbody thead tfoot option optgroup a button h1 h2 h3 h4 h5 h6 rt rp rtc rb",
}
_INLINE = (
    "a abbr acronym applet audio b bdi bdo big canvas cite code data del dfn em font i ins kbd label map mark marquee math"
    " meter nobr noscript object output picture progress q ruby rb s samp slot small span strike strong sub sup svg time tt u"
    " var video foreignobject text mi mo mn ms mtext"
)

TAGS: tuple[str, ...] = tuple(dict.fromkeys(" ".join((*_KINDS.values(), _INLINE)).split()))
"""Known tags; the id of a tag is 1 + its index. Ids from `UNKNOWN` on are of all other names, by their hash."""
UNKNOWN = 192
IDS = 256
SLOTS = 1 << 10
ID = {name: 1 + at for at, name in enumerate(TAGS)}


def ids(tags: str) -> tuple[int, ...]:
    """The ids of tags that are named in one string."""
    return tuple(ID[name] for name in tags.split())


# Flags of elements, as bits; what is inside an element has its flags too.
FLAGS: tuple[str, ...] = _words(
    "link hidden nav aside footer header form article main list table figure button pre quote heading code label time bold"
    " section noscript sub sup kbd svg math cell"
)
(
    LINK, HIDDEN, NAV, ASIDE, FOOTER, HEADER, FORM, ARTICLE, MAIN, LIST, TABLE, FIGURE, BUTTON, PRE, QUOTE, HEADING, CODE,
    LABEL, TIME, BOLD, SECTION, NOSCRIPT, SUB, SUP, KBD, SVG, MATH, CELL,
) = (1 << bit for bit in range(len(FLAGS)))  # fmt: skip
MATHJAX = 1 << 28
"""The element shows a formula whose TeX stands in a script behind it."""
GONE = 1 << 30
"""Text inside is no text of the page."""
TEX, DISPLAY_TEX, KATEX, OPEN = (1 << bit for bit in range(32, 36))
"""Of attributes alone, and not kept. TEX: the content is TeX (`script type="math/tex"`, `annotation
encoding="application/x-tex"`). DISPLAY_TEX: a formula in a line of its own. KATEX: shows a formula whose TeX stands in an
annotation before it. OPEN: has the attribute `open`."""
_FLAGGED: dict[int, str] = {
    LINK: "a",
    NAV: "nav menu",
    ASIDE: "aside",
    FOOTER: "footer",
    HEADER: "header",
    FORM: "form select textarea option fieldset search",
    ARTICLE: "article",
    MAIN: "main",
    LIST: "ul ol dl dir",
    TABLE: "table",
    FIGURE: "figure figcaption",
    BUTTON: "button",
    PRE: "pre listing xmp plaintext textarea",
    QUOTE: "blockquote",
    HEADING: "h1 h2 h3 h4 h5 h6",
    CODE: "code samp tt",
    LABEL: "label legend",
    TIME: "time",
    BOLD: "b strong",
    SECTION: "section",
    NOSCRIPT: "noscript",
    SUB: "sub",
    SUP: "sup",
    KBD: "kbd",
    SVG: "svg",
    MATH: "math",
    CELL: "td th",
}
ROLES = {"navigation": NAV, "main": MAIN, "contentinfo": FOOTER, "banner": HEADER, "complementary": ASIDE, "article": ARTICLE,
         "search": FORM, "form": FORM, "button": BUTTON, "menu": NAV, "menubar": NAV, "heading": HEADING}  # fmt: skip
"""Values of the attribute `role` that stand for a flag."""

KEYWORDS: tuple[str, ...] = _words(
    "comment nav foot head side menu share social relat recom post article content entry body main meta author date breadcrumb"
    " cookie consent modal popup widget promo newsletter subscri tag reply message thread product descri review price cart list"
    " card grid item story text banner sponsor advert caption copyright login search pagin byline toc code spec answer question"
    " faq testimon feature hidden"
)
"""Looked for in the values of class, id, role, itemprop and data-testid. Bit k of an element's keywords is the k-th word."""
_FORMULAS = ("mathjax", "katex")
MATHJAX_WORD, KATEX_WORD = (1 << len(KEYWORDS) + at for at in range(len(_FORMULAS)))
"""Further words that the same automaton finds, which are no keywords of the element."""
WORDS_MASK = (1 << len(KEYWORDS)) - 1
LETTERS = 27
"""a to z, and all else."""


def name_hash(name: str) -> int:
    """The hash of a name in lower case, as kernels compute it."""
    value = BASIS
    for byte in name.encode():
        value = (value ^ byte) * PRIME & MASK
    return value


# Attributes whose values the scan looks at.
(
    CLASS, ID_, ROLE, ITEMPROP, TESTID, HIDDEN_, STYLE, TYPE, ENCODING, ARIA_HIDDEN, OPEN_, ALT, DISPLAY, HREF, START, VALUE,
    COLSPAN, ROWSPAN, REVERSED, DATA_LANG, LANG,
) = (
    np.uint64(name_hash(name))
    for name in (
        "class", "id", "role", "itemprop", "data-testid", "hidden", "style", "type", "encoding", "aria-hidden", "open", "alt",
        "display", "href", "start", "value", "colspan", "rowspan", "reversed",
        "data-lang", "lang",
    )
)  # fmt: skip

# What bytes are, as bits.
WORD, NEUTRAL, LEAD = (1 << bit for bit in range(3))
"""WORD: a letter or a digit. NEUTRAL: goes on with a word, and begins none. LEAD: the first byte of a longer character."""
FIELD = 10
"""Bits of each count in `Names.counted`."""


class Names(NamedTuple):
    """The tables.

    hashes: uint64 [SLOTS], of tags and roles, 0 where there is none. values: int64 [SLOTS], the id of a tag, or minus the flags
    of a role. kinds, flags: int64 [IDS], of a tag. moves: uint16 [states, LETTERS], the automaton that finds keywords. found:
    uint64 [states], the keywords that end in a state. letters: uint8 [256], the column of a byte in `moves`. bytes_: uint8
    [256], what a byte is. counted: uint64 [256], what a byte counts for, in fields of `FIELD` bits: characters, sentence marks,
    commas, digits, capitals, bars.
    """

    hashes: npt.NDArray[np.uint64]
    values: npt.NDArray[np.int64]
    kinds: npt.NDArray[np.int64]
    flags: npt.NDArray[np.int64]
    moves: npt.NDArray[np.uint16]
    found: npt.NDArray[np.uint64]
    letters: npt.NDArray[np.uint8]
    bytes_: npt.NDArray[np.uint8]
    counted: npt.NDArray[np.uint64]


@functools.cache
def names() -> Names:
    """The tables, made once for each process."""
    hashes, values = np.zeros(SLOTS, np.uint64), np.zeros(SLOTS, np.int64)
    for name, value in [*ID.items(), *((role, -flag) for role, flag in ROLES.items() if role not in ID)]:
        slot = name_hash(name) % SLOTS
        while hashes[slot]:
            slot = (slot + 1) % SLOTS
        hashes[slot], values[slot] = name_hash(name), value
    kinds, flags = np.zeros(IDS, np.int64), np.zeros(IDS, np.int64)
    for table, into in ((_KINDS, kinds), (_FLAGGED, flags)):
        for bit, listed in table.items():
            for name in listed.split():
                into[ID[name]] |= bit
    for name in _KINDS[SKIPPED].split():
        flags[ID[name]] |= GONE
    made = Names(hashes, values, kinds, flags, *_automaton(), *_letters(), _counted())
    for array in made:
        array.flags.writeable = False
    return made


def _automaton() -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint64]]:
    """A. Aho, M. Corasick, "Efficient string matching" (1975)."""
    trie: list[dict[int, int]] = [{}]
    found = [0]
    for bit, word in enumerate((*KEYWORDS, *_FORMULAS)):
        state = 0
        for letter in word:
            at = ord(letter) - ord("a")
            if at not in trie[state]:
                trie[state][at] = len(trie)
                trie.append({})
                found.append(0)
            state = trie[state][at]
        found[state] |= 1 << bit
    moves = np.zeros((len(trie), LETTERS), np.uint16)
    fails = [0] * len(trie)
    queue = list(trie[0].values())
    for at, state in trie[0].items():
        moves[0, at] = state
    for state in queue:
        found[state] |= found[fails[state]]
        moves[state, :-1] = moves[fails[state], :-1]
        for at, after in trie[state].items():
            fails[after] = int(moves[fails[state], at])
            moves[state, at] = after
            queue.append(after)
    return moves, np.array(found, np.uint64)


def _letters() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    letters, kinds = np.full(256, LETTERS - 1, np.uint8), np.zeros(256, np.uint8)
    for byte in range(256):
        character = chr(byte) if byte < 0x80 else ""
        if character.isalpha():
            letters[byte] = ord(character.lower()) - ord("a")
        neutral = character == "'" or 0x80 <= byte < 0xC0
        kinds[byte] = WORD * character.isalnum() | NEUTRAL * neutral | LEAD * (byte >= 0xC0)
    return letters, kinds


def _counted() -> npt.NDArray[np.uint64]:
    counted = np.zeros(256, np.uint64)
    fields = (".!?", ",;", "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "|")
    for byte in range(256):
        begins = byte > 0x20 and not 0x80 <= byte < 0xC0
        counts = [begins, *(byte in field.encode() for field in fields)]
        counted[byte] = sum(count << FIELD * at for at, count in enumerate(counts))
    return counted
