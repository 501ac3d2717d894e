"""The plain Python twin of the kernel that splits words: slow, regular expressions and sets, made without its tables."""

from __future__ import annotations

import functools
import re
from unicodedata import category

from tests.kernels import dedup_oracles

_CURRENCY = frozenset("$£€¥฿₽﷼₴₠₡₢₣₤₥₦₧₨₩₪₫₭₮₯₰₱₲₳₵₶₷₸₹₺₻₼₾₿")
_MARKS = _CURRENCY.union(",:;!?()[]{}<>_#*&'\"`…¿؟¡。？！，、；：～·।،۔؛٪”“‘´’‚„»«「」『』（）〔〕【】《》〈〉⟦⟧—–")
"""Marks that come off a chunk; so does every symbol of the class So."""
_ONLY_BEFORE = frozenset("§%=")
_QUOTES = frozenset("'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉⟦⟧")
_BEFORE_FULL_STOP = frozenset("%²-+…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪|") | _QUOTES
_UNIT = re.compile(
    r"(?<=[0-9])(?:k?m[²³]?|[dcm]m[²³]?|ha|µm|nm|yd|in|ft|[kmµ]?g|t|lb|oz|m/s|km/h|kmh|mph|h?Pa|mbar|[mkgtMKGT][bB]|[TGMK%])\Z"
)
_INSIDE = re.compile(
    r"\.\.+|…"
    r"|(?<=[0-9])[+\-*^](?=[0-9-])"
    r"|(?P<stop>\.)"
    r"|(?<=[^\W\d_]),(?=[^\W\d_])"
    r"|(?<=[^\W_])(?:-|–|——|---|--|—|~)(?=[^\W\d_])"
    r"|(?<=[^\W_])[:<>=/](?=[^\W\d_])"
    r"|(?P<symbol>[^\w\s\x00-\x7f])"
)
_ADDRESS = re.compile(
    r"(?:[\w+.-]{2,}://)?(?:[^\s/?#]+@)?"
    r"(?:(?:[1-9][0-9]{0,2}(?:\.[0-9]{1,3}){3})|(?:[A-Za-z0-9\u00a1-\uffff][A-Za-z0-9\u00a1-\uffff_-]{0,63}\.)+[a-zß-ÿ]{2,63})"
    r"(?::[0-9]{2,5})?(?:[/?#]\S*)?"
)
_CONTRACTION = re.compile(
    r"(?:ai|are|ca|could|dare|did|do|does|had|has|have|is|may|might|must|need|ought|sha|should|was|were|wo|would)(?=n['’]?t\Z)"
    r"|(?:i(?=['’]?(?:m|ll|d|ve)\Z)|(?:you|we|they)(?=['’]?(?:ll|d|ve|re)\Z)|(?:he|she|it)(?=['’]?(?:ll|d|s)\Z)"
    r"|(?:who|what|when|where|why|how|there|that|this)(?=['’]?(?:s|ll|d)\Z|['’](?:re|ve)\Z))"
    r"|(?:could|might|must|should|would)(?=['’]?ve\Z)|can(?=not\Z)|let(?=['’]?s\Z)|gon(?=na\Z)|got(?=ta\Z)",
    re.IGNORECASE | re.ASCII,
)
_NO_CONTRACTION = frozenset(["ill", "its", "hell", "shell", "shed", "were", "well", "whore"])
_ABBREVIATION = re.compile(
    r"(?:[ap]\.m|adm|bros|co|corp|d\.c|dr|e\.g|gen|gov|i\.e|inc|jr|ltd|md|messrs|mrs?|ms|mt|ph\.d|prof|rep|rev|sen|st|v\.?s"
    r"|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec"
    r"|ak|ala|ariz|ark|calif|colo|conn|del|fla|ga|ia|ill|ind|kans?|ky|la|mass|mich|minn|miss|mo|mont|nebr?|nev|okla|ore|pa"
    r"|tenn|va|wash|wis|n\.[cdhjmy]|s\.c)\."
)
_KEPT_WHOLE = frozenset(["and/or", "w/o", "'s", "'S", "‘s", "'re", "'em", "'ll", "o'clock", "ma'am"])
_SENTENCE_END = frozenset(
    "!.?։؟۔܀܁܂߹।॥၊။።፧፨᙮᜵᜶᠃᠉᥄᥅᪨᪩᪪᪫᭚᭛᭞᭟᰻᰼᱾᱿‼‽⁇⁈⁉⸮⸼꓿꘎꘏꛳꛷꡶꡷꣎꣏꤯꧈꧉꩝꩞꩟꫰꫱꯫﹒﹖﹗！．？𐩖𐩗𑁇𑁈𑂾𑂿𑃀𑃁𑅁𑅂𑅃𑇅𑇆𑇍𑇞𑇟𑈸𑈹𑈻𑈼𑊩𑑋𑑌𑗂𑗃𑗉𑗊𑗋𑗌𑗍𑗎𑗏𑗐𑗑𑗒𑗓𑗔𑗕𑗖𑗗𑙁𑙂𑜼𑜽𑜾𑩂𑩃𑪛𑪜𑱁𑱂𖩮𖩯𖫵𖬷𖬸𖭄𛲟𝪈｡。"
)


def words(text: str) -> list[str]:
    """The words of `text` in their order, punctuation marks among them."""
    found: list[str] = []
    for chunk in text.split():
        if chunk.isascii():
            found += _split(chunk)
        else:
            found += _by_letters(chunk)
    return found


def sentences(words: list[str]) -> int:
    """How many sentences the words of one line make; a line has at least one.

    A sentence begins with the first word, and with each word that follows an end mark and is no punctuation. Source: spaCy's
    `sentencizer` (https://spacy.io/api/sentencizer).
    """
    count, ended = 1, False
    for word in words:
        if word in _SENTENCE_END:
            ended = True
        elif ended and not all(category(character).startswith("P") for character in word):
            count, ended = count + 1, False
    return count


def _by_letters(chunk: str) -> list[str]:
    """In scripts written without spaces each letter, with its marks, is a word; what stands between is split."""
    found: list[str] = []
    start = at = 0
    while at < len(chunk):
        if not is_unspaced(chunk[at]):
            at += 1
            continue
        found += _split(chunk[start:at])
        start = at
        at += 1
        while at < len(chunk) and category(chunk[at])[0] == "M":
            at += 1
        found.append(chunk[start:at])
        start = at
    return found + _split(chunk[start:])


@functools.cache
def is_unspaced(character: str) -> bool:
    """Letters and letter-like numerals of Chinese, Japanese, Thai, Lao, Khmer and Burmese."""
    kind = category(character)
    return (kind[0] == "L" or kind == "Nl") and dedup_oracles.is_unspaced(character)


def _split(chunk: str) -> list[str]:
    """The words of one chunk without white space."""
    start, end = 0, len(chunk)
    front: list[str] = []
    back: list[str] = []
    while start < end and not _is_whole(chunk, start, end):
        if before := _at_front(chunk, start, end):
            front.append(chunk[start : start + before])
            start += before
        elif after := _at_end(chunk, start, end):
            back.append(chunk[end - after : end])
            end -= after
        else:
            return front + _cut(chunk[start:end]) + back[::-1]
    return front + ([chunk[start:end]] if start < end else []) + back[::-1]


def _is_whole(chunk: str, start: int, end: int) -> bool:
    """Whether no mark comes off any more: an abbreviation, a letter with its full stop, a fixed expression."""
    if end - start > 8:
        return False
    rest = chunk[start:end]
    if rest.endswith("."):
        return (len(rest) == 2 and rest[0].isalpha()) or _is_abbreviation(rest)
    return rest in _KEPT_WHOLE


def _is_abbreviation(rest: str) -> bool:
    """Abbreviations are known in lower case, in capitals, with one capital and with one in each part."""
    lower = rest.lower()
    forms = (lower, lower.upper(), lower.capitalize(), lower.title())
    return rest.isascii() and rest in forms and _ABBREVIATION.fullmatch(lower) is not None


def _at_front(chunk: str, start: int, end: int) -> int:
    """The number of characters that come off the front."""
    first = chunk[start]
    if first == ".":
        dots = start
        while dots < end and chunk[dots] == ".":
            dots += 1
        return dots - start if dots - start > 1 else 0
    if first == "+":
        return int(not (start + 1 < end and chunk[start + 1] in "0123456789"))
    return int(first in _MARKS or first in _ONLY_BEFORE or _is_symbol(first))


def _at_end(chunk: str, start: int, end: int) -> int:
    """The number of characters that come off the end."""
    last = chunk[end - 1]
    if last == ".":
        dots = end
        while dots > start and chunk[dots - 1] == ".":
            dots -= 1
        if end - dots > 1:
            return end - dots
        return int(_full_stop_comes_off(chunk, start, end))
    if last in _CURRENCY or last == "+":
        return int(end - start > 1 and chunk[end - 2] in "0123456789")
    if last in "sS" and end - start > 2 and chunk[end - 2] in "'’":
        return 2
    if last in _MARKS or _is_symbol(last):
        return 1
    unit = _UNIT.search(chunk, max(start, end - 5), end)
    return end - unit.start() if unit else 0


def _full_stop_comes_off(chunk: str, start: int, end: int) -> bool:
    if end - start < 2:
        return False
    before = chunk[end - 2]
    if before in "0123456789" or before in _BEFORE_FULL_STOP or (before.isalpha() and not before.isupper()):
        return True
    return end - start > 2 and before.isupper() and chunk[end - 3].isalpha() and not chunk[end - 3].islower()


def _cut(core: str) -> list[str]:
    """A chunk without the marks around it, cut at marks inside it. An address stays whole."""
    if core.isalpha() or "'" in core or "’" in core:
        contraction = _CONTRACTION.match(core)
        if contraction and core.lower() not in _NO_CONTRACTION and _one_case(core):
            return [core[: contraction.end()], core[contraction.end() :]]
        if core.isalpha():
            return [core]
    if _ADDRESS.fullmatch(core):
        return [core]
    found: list[str] = []
    start = 0
    for mark in _INSIDE.finditer(core):
        place = mark.start()
        if (mark["stop"] and not _ends_a_sentence(core, place)) or (mark["symbol"] and not _is_symbol(core[place])):
            continue
        if place > start:
            found.append(core[start:place])
        found.append(mark[0])
        start = mark.end()
    if start < len(core):
        found.append(core[start:])
    return found


def _one_case(core: str) -> bool:
    """Contractions are known in lower case, and with a capital first letter."""
    return core[1:] == core[1:].lower()


def _ends_a_sentence(core: str, place: int) -> bool:
    """A full stop inside a chunk counts where two sentences touch: after a small letter, before a capital one."""
    if not 0 < place < len(core) - 1:
        return False
    before, after = core[place - 1], core[place + 1]
    small = before in _QUOTES or (before.isalpha() and not before.isupper())
    return small and (after in _QUOTES or (after.isalpha() and not after.islower()))


def _is_symbol(character: str) -> bool:
    return character > "\x7f" and category(character) == "So"
