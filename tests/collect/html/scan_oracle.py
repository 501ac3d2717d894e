"""A slow, plain twin of the scan: regular expressions for the tokens, and a stack of open elements that is searched."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tokenmill.pipeline.kernels.html import names as n

SPACE = "\t\n\f\r "
ATTRIBUTE = re.compile(
    r"[\t\n\f\r /]*([^\t\n\f\r />][^\t\n\f\r />=]*)"
    r"(?:[\t\n\f\r ]*=[\t\n\f\r ]*(?:\"([^\"]*)\"|'([^']*)'|((?![\"'])[^\t\n\f\r >]*)))?"
)
TAG_END = re.compile(r"[\t\n\f\r /]*>")
NAME = re.compile(r"[A-Za-z][^\t\n\f\r />]*")
RAW = set("script style iframe noembed noframes title".split())  # noqa: SIM905 -- a list reads worse
BLOCKS = {name for name in n.TAGS if n.names().kinds[n.ID[name]] & n.BLOCK}
ENDS_P = {name for name in n.TAGS if n.names().kinds[n.ID[name]] & n.ENDS_P}
NO_SHAPE = {name for name in n.TAGS if n.names().kinds[n.ID[name]] & n.NO_SHAPE}
VOID = {name for name in n.TAGS if n.names().kinds[n.ID[name]] & n.VOID}
BARRIERS = {name for name in n.TAGS if n.names().kinds[n.ID[name]] & n.BARRIER}
HOLD_HTML = ("foreignobject", "desc", "title", "annotation-xml", "mi", "mo", "mn", "ms", "mtext")
TABLE_PARTS = ("table", "tbody", "td", "tfoot", "th", "thead", "tr", "caption")
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")


@dataclass
class Element:
    name: str
    number: int
    gone: bool = False
    pre: bool = False


@dataclass
class Scan:
    """`blocks`: for each block the name of its element and its pieces: text, or "\\n" for a line break."""

    page: str
    blocks: list[tuple[str, list[str]]] = field(default_factory=list)
    parents: list[int] = field(default_factory=lambda: [0])
    stack: list[Element] = field(default_factory=lambda: [Element("", 0)])
    open: bool = False
    breaks: int = 0
    body: bool = False

    def close(self) -> None:
        self.open, self.breaks = False, 0

    def innermost(self, names: object) -> int:
        """The place in the stack of the innermost element with one of these names; 0 if there is none."""
        wanted = (names,) if isinstance(names, str) else names
        return max((at for at, one in enumerate(self.stack) if at and one.name in wanted), default=0)  # type: ignore[operator]

    def pop(self, at: int) -> None:
        """Close the elements from place `at` of the stack on."""
        if at > 0:
            if any(one.name in BLOCKS for one in self.stack[at:]):
                self.close()
            del self.stack[at:]

    def foreign(self) -> bool:
        return self.innermost(("svg", "math")) > self.innermost(HOLD_HTML)

    def text(self, text: str) -> None:
        top = self.stack[-1]
        if top.gone or not text:
            return
        blank = not text.strip(SPACE)
        if not self.open or (self.breaks >= 2 and not top.pre):
            if blank and not top.pre:
                return
            self.blocks.append((self.stack[self.innermost(BLOCKS)].name, []))
            self.open, self.breaks = True, 0
        if not blank:
            self.breaks = 0
        self.blocks[-1][1].append(text)

    def line_break(self) -> None:
        if self.open:
            self.breaks += 1
            self.blocks[-1][1].append("\n")

    def end(self, name: str) -> None:
        at = self.innermost(HEADINGS if name in HEADINGS else name)
        if name in BLOCKS:
            self.close()
        if not at:
            return
        barrier = self.innermost(BARRIERS)
        if name in TABLE_PARTS:
            barrier = self.innermost("table")
        elif name == "li":
            barrier = max(barrier, self.innermost(("ul", "ol")))
        elif name not in BLOCKS:
            barrier = max(barrier, self.innermost(BLOCKS))
        if at > barrier or (at == barrier and name in BARRIERS):
            self.pop(at)

    def imply(self, name: str) -> None:
        barrier = self.innermost(BARRIERS)
        rules = {
            "li": ("li", ("ul", "ol", "dir", "menu"), True),
            "dt": (("dt", "dd"), "dl", True),
            "dd": (("dt", "dd"), "dl", True),
            "td": (("td", "th"), ("table", "tr"), False),
            "th": (("td", "th"), ("table", "tr"), False),
            "tr": ("tr", "table", False),
            "tbody": (("tbody", "thead", "tfoot"), "table", False),
            "thead": (("tbody", "thead", "tfoot"), "table", False),
            "tfoot": (("tbody", "thead", "tfoot"), "table", False),
            "option": ("option", "select", True),
            "optgroup": (("option", "optgroup"), "select", True),
            "a": ("a", BLOCKS, True),
            "button": ("button", (), True),
        }
        if name in ENDS_P and self.innermost("p") > max(barrier, self.innermost("button")):
            self.pop(self.innermost("p"))
        if name in rules:
            closed, limits, scoped = rules[name]
            # The barrier is that of the element in which the start tag stands, before anything was closed.
            if (at := self.innermost(closed)) > max(self.innermost(limits), barrier if scoped else 0):
                self.pop(at)
        elif name in HEADINGS and self.stack[-1].name in HEADINGS:
            self.pop(len(self.stack) - 1)
        elif name in ("rt", "rp", "rtc", "rb"):
            inside = self.stack[-1].name
            if inside in ("rt", "rp", "rb") or (inside == "rtc" and name != "rt"):
                self.pop(len(self.stack) - 1)

    def begin(self, name: str, gone: bool) -> None:
        if name in BLOCKS:
            self.close()
        kinds, flags = n.names().kinds, n.names().flags
        number = n.ID.get(name, 0)
        top = self.stack[-1]
        self.parents.append(top.number)
        gone = gone or top.gone or bool(number and kinds[number] & n.SKIPPED)
        pre = top.pre or bool(number and flags[number] & n.PRE)
        self.stack.append(Element(name, len(self.parents) - 1, gone, pre))


def attributes(page: str, at: int) -> tuple[int, bool]:
    """Where the tag ends whose name ends at `at`, -1 if it does not; and whether it ends in "/>"."""
    while True:
        if end := TAG_END.match(page, at):
            return end.end(), page[end.end() - 2] == "/" and end.end() - 2 >= at
        found = ATTRIBUTE.match(page, at)
        if not found:
            return -1, False
        at = found.end()
        if re.compile(r"[\t\n\f\r ]*=[\t\n\f\r ]*[\"']").match(page, at) and not found[0].endswith(("'", '"')):
            return -1, False


def scan(page: str) -> Scan:
    """The blocks and elements of a page without formulas."""
    s = Scan(page)
    at, size = 0, len(page)
    while at < size:
        markup = re.compile(r"<(?:[A-Za-z!?]|/(?=.))", re.DOTALL).search(page, at)
        s.text(page[at : markup.start() if markup else size])
        if not markup:
            break
        at = markup.start()
        if page.startswith("</", at):
            name = NAME.match(page, at + 2)
            if not name:
                at = behind(page, ">", at + 2)
                continue
            at, _ = attributes(page, name.end())
            if at < 0:
                break
            lower = ascii_lower(name[0])
            if lower == "br":
                s.line_break()
            elif lower in VOID or lower in ("html", "head", "frameset", "colgroup", "body"):
                s.close()
            else:
                s.end(lower)
        elif page[at + 1] == "!":
            at = declaration(s, at)
        elif page[at + 1] == "?":
            at = behind(page, ">", at + 2)
        else:
            at = start_tag(s, at)
            if at < 0:
                break
    return s


def ascii_lower(name: str) -> str:
    return re.sub("[A-Z]", lambda letter: letter[0].lower(), name)


def behind(page: str, mark: str, at: int) -> int:
    found = page.find(mark, at)
    return len(page) if found < 0 else found + len(mark)


def declaration(s: Scan, at: int) -> int:
    page = s.page
    if page.startswith("<!--", at):
        found = re.compile(r"<!--(?:>|->|(?s:.*?)(?:--!?>|\Z))").match(page, at)
        assert found is not None
        return found.end()
    if page[at : at + 9].lower() == "<![cdata[" and s.foreign():
        stop = page.find("]]>", at + 9)
        stop = len(page) if stop < 0 else stop
        s.text(page[at + 9 : stop])
        return stop + 3
    return behind(page, ">", at + 2)


def start_tag(s: Scan, at: int) -> int:
    page = s.page
    found = NAME.match(page, at + 1)
    assert found is not None
    name = ascii_lower(found[0])
    at, closed = attributes(page, found.end())
    if at < 0:
        return -1
    foreign = s.foreign()
    if foreign and name in BLOCKS:
        s.pop(min(place for place, one in enumerate(s.stack) if one.name in ("svg", "math") and place > s.innermost(HOLD_HTML)))
        foreign = False
    if name in VOID:
        if name == "br":
            s.line_break()
        elif name == "hr":
            s.imply("hr")
            s.close()
        return at
    if name in RAW and not foreign:
        stop = script_end(page, at) if name == "script" else raw_end(page, at, name)
        return behind(page, ">", stop)
    if name in ("html", "head", "frameset", "colgroup") or (name == "body" and s.body):
        return at
    s.body = s.body or name == "body"
    s.imply(name)
    s.begin(name, gone=foreign and name in NO_SHAPE)
    if name in ("textarea", "xmp", "plaintext"):
        stop = len(page) if name == "plaintext" else raw_end(page, at, name)
        s.text(page[at:stop])
        return stop
    if closed and foreign:
        s.pop(len(s.stack) - 1)
    return at


def raw_end(page: str, at: int, name: str) -> int:
    found = re.compile(rf"</{re.escape(name)}(?=[\t\n\f\r />]|\Z)", re.IGNORECASE | re.ASCII).search(page, at)
    return found.start() if found else len(page)


def script_end(page: str, at: int) -> int:
    """The end tag of the script whose content begins at `at`."""
    tokens = re.compile(r"<!--(-?>)?|-->|<(/?)script(?=[\t\n\f\r />])|</script\Z", re.IGNORECASE)
    comment = inner = False
    for token in tokens.finditer(page, at):
        if token[0].startswith("<!--"):
            comment = comment or not token[1]
            if comment and token[1]:
                comment = inner = False
        elif token[0] == "-->":
            comment = inner = False
        elif token[0].startswith("</"):
            if not inner:
                return token.start()
            inner = False
        elif comment:
            inner = True
    return len(page)
