"""What a page says about itself: title, author, date, site, canonical address and language, each with where it stands.

Purpose: metadata of a document from a web page, the same whatever takes out its main text.
Guarantee: sources are trusted in the order of `about`, and what is not clear is left out: dates that could mean two days, and
several articles or authors where one is asked for. Values are one line of at most `TEXT_CHARACTERS` without control characters.
Addresses are whole ones of the web, without passwords.
Cost: that of `marks`, and some 100 us a page: together a fifth of the time of a page of 17 kB.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import urljoin, urlsplit

from tokenmill.pipeline.collect.html import credits, dates, jsonld
from tokenmill.pipeline.collect.html.jsonld import JSON_LD, Thing
from tokenmill.pipeline.collect.html.marks import Marks, clean, marks
from tokenmill.pipeline.collect.urls import without_userinfo

TEXT_CHARACTERS = 300
"""Characters of a title, a site or a list of authors. Longer ones are cut."""
URL_CHARACTERS = 2_000
"""Characters of an address. A longer one is left out."""


def _names(*listed: str) -> tuple[str, ...]:
    return tuple(name for names in listed for name in names.split())


# Names of `meta`, the most trusted first; ":" is written as ".".
TITLE = _names("og.title citation_title dc.title dcterms.title twitter.title headline sailthru.title title")
AUTHOR = _names("article.author citation_author dc.creator dcterms.creator author sailthru.author parsely-author byl")
PUBLISHED = _names(
    "article.published_time citation_publication_date citation_online_date citation_date dc.date.issued dcterms.issued",
    "dcterms.created dc.date.created dc.date dcterms.date datepublished sailthru.date parsely-pub-date pubdate publishdate",
    "publish-date publish_date date",
)
SITE = _names("og.site_name application-name dc.publisher dcterms.publisher citation_journal_title")
LANGUAGE = _names("content-language og.locale dc.language dcterms.language citation_language inlanguage")
READ = frozenset((*TITLE, *AUTHOR, *PUBLISHED, *SITE, *LANGUAGE, "og.url"))
NAMES = ("property", "name", "itemprop", "http-equiv")
"""Attributes of `meta` that name its content."""

LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8}){0,4}")
"""RFC 5646, section 2.1, in short."""
NO_LANGUAGE = ("und", "mul", "zxx")
PLAIN_ADDRESS = re.compile(r"https?://[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*(?:/[A-Za-z0-9._~/%+=&?!-]*)?")
"""Whole, and without any part that could be a password; most are so."""
SEPARATOR = re.compile(r" (?:[|•·»«›—–/:-]|::|\|\|) | ?[｜|] ?|: ")
"""What may stand between the title of a page and the name of its site."""

Found = Iterator[tuple[str, str]]
"""Values of a field, the most trusted first, each with where it stands."""
Metas = dict[str, list[tuple[str, str]]]
"""Contents of `meta` by name, each with the name as the page writes it."""


def about(page: str, url: str | None = None) -> dict[str, str | int]:
    """What a decoded page says about itself; `url` is the address that it was read from.

    Keys, where the page has them: `title`, `author` (several joined by "; "), `published` (ISO 8601), `site`, `canonical_url`,
    `language` (a tag of RFC 5646); and where each was found in `title_from` and so on: "json-ld", the name of a `meta`
    ("og:title", "meta author"), "itemprop", or an element. `json_ld_broken` counts scripts of JSON-LD that could not be read.
    """
    found = marks(page)
    things, broken = jsonld.things(found.json_ld())
    metas = _metas(found)
    address = web_address(url or "", None)
    links = list(_links(found, metas, address))
    main = jsonld.main(things, {one for one in (address, *(link for link, _ in links)) if one})
    sites = list(_sites(metas, things, main))
    fields: dict[str, Found] = {
        "title": _titles(found, metas, main, {name.casefold() for name, _ in sites} | _hosts(address, links)),
        "author": _authors(found, metas, main, things),
        "published": _dates(found, metas, main),
        "site": iter(sites),
        "canonical_url": iter(links),
        "language": _languages(found, metas, main),
    }
    said: dict[str, str | int] = {}
    for name, candidates in fields.items():
        for value, source in candidates:
            if value:
                said[name] = value if name == "canonical_url" or len(value) <= TEXT_CHARACTERS else _cut(value)
                said[f"{name}_from"] = source
                break
    if broken:
        said["json_ld_broken"] = broken
    return said


def web_address(written: str, base: str | None) -> str | None:
    """An address of the web as it stands in a page, made whole; None if it is none, too long, or unclear."""
    written = clean(written)
    if not written or len(written) > URL_CHARACTERS or " " in written:
        return None
    if PLAIN_ADDRESS.fullmatch(written):
        return written
    try:
        relative = urlsplit(written)
        whole = without_userinfo(urljoin(base or "", written)) if relative.netloc or not relative.scheme else None
        parts = urlsplit(whole or "")
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        # A broken address of IPv6.
        return None
    return whole if usable and len(whole or "") <= URL_CHARACTERS else None


def _cut(value: str) -> str:
    return value[: TEXT_CHARACTERS - 1].rstrip() + "…"


def _metas(found: Marks) -> Metas:
    metas: Metas = {}
    for tag in found.named("meta"):
        for key in NAMES:
            if key in tag.attributes:
                for name in tag.attributes[key].lower().split():
                    plain = name.replace(":", ".")
                    if plain in READ and (content := clean(tag.attributes.get("content", ""))):
                        source = "itemprop" if key == "itemprop" else name if re.search("[:._]", name) else f"meta {name}"
                        metas.setdefault(plain, []).append((content, source))
    return metas


def _named(metas: Metas, names: Iterable[str]) -> Found:
    return (value for name in names for value in metas.get(name, ())[:1])


def _links(found: Marks, metas: Metas, address: str | None) -> Found:
    base = address
    for tag in found.named("base"):
        base = web_address(tag.attributes.get("href", ""), address) or base
        break
    for tag in found.named("link"):
        if "canonical" in tag.attributes.get("rel", "").lower().split():
            yield web_address(tag.attributes.get("href", ""), base) or "", "link"
    for value, source in metas.get("og.url", ()):
        yield web_address(value, base) or "", source


def _hosts(address: str | None, links: list[tuple[str, str]]) -> set[str]:
    """The names of hosts, which titles repeat as the name of the site: `example.com` and `example`."""
    known = (one for one in (address, *(link for link, _ in links)) if one)
    hosts = {one.split("/", 3)[2].partition(":")[0].lower().removeprefix("www.") for one in known}
    return {name for host in hosts for name in (host, host.partition(".")[0]) if name}


def _sites(metas: Metas, things: list[Thing], main: Thing | None) -> Found:
    yield from metas.get("og.site_name", ())[:1]
    names = {jsonld.text(thing.get("name")) for thing in things if "WebSite" in jsonld.types(thing)} - {""}
    if len(names) == 1:
        yield names.pop(), JSON_LD
    if main:
        for name in jsonld.names(main.get("publisher"), jsonld.by_id(things))[:1]:
            yield name, JSON_LD
    yield from _named(metas, SITE)


def _titles(found: Marks, metas: Metas, main: Thing | None, sites: set[str]) -> Found:
    heading = (found.heading or "").casefold()
    if main:
        headline, name = jsonld.text(main.get("headline")), jsonld.text(main.get("name"))
        title = name if not headline or (name and name.casefold() == heading) else headline
        yield _without_site(title, sites, heading), JSON_LD
    for title, source in _named(metas, TITLE):
        yield _without_site(title, sites, heading), source
    yield _without_site(found.title or "", sites, heading), "title"
    yield found.heading or "", "h1"


def _without_site(title: str, sites: set[str], heading: str) -> str:
    """The title of a page without the site's name before or behind it; all of it if neither part is clearly the site's name."""
    between = list(SEPARATOR.finditer(title)) if len(title) <= TEXT_CHARACTERS else []
    if not between:
        return title
    first, last = between[0], between[-1]
    before, after = (title[: last.start()], title[last.end() :]), (title[first.end() :], title[: first.start()])
    for kept, rest in (before, after):
        if kept and (rest.casefold() in sites or "".join(filter(str.isalnum, rest.casefold())) in sites):
            return kept
    return next((kept for kept, _ in (before, after) if kept and kept.casefold() == heading), title)


def _authors(found: Marks, metas: Metas, main: Thing | None, things: list[Thing]) -> Found:
    if main:
        by = main.get("author") or main.get("creator")
        yield _joined(jsonld.names(by, jsonld.by_id(things))), JSON_LD
    for name in AUTHOR:
        if written := metas.get(name):
            yield _joined(value for value, _ in written), written[0][1]
    yield from credits.authors(found)


def _joined(names: Iterable[str]) -> str:
    persons = dict.fromkeys(person for name in names if (person := credits.person(name)))
    return "; ".join(list(persons)[: jsonld.MOST_NAMES])


def _dates(found: Marks, metas: Metas, main: Thing | None) -> Found:
    if main:
        yield dates.iso(jsonld.text(main.get("datePublished"))) or "", JSON_LD
    for value, source in _named(metas, PUBLISHED):
        yield dates.iso(value) or "", source
    yield from credits.dated(found)


def _languages(found: Marks, metas: Metas, main: Thing | None) -> Found:
    for tag in found.named("html"):
        yield _tag(clean(tag.attributes.get("lang", "") or tag.attributes.get("xml:lang", ""))), "html"
    for value, source in _named(metas, LANGUAGE):
        yield _tag(value), source
    if main:
        yield _tag(jsonld.text(main.get("inLanguage"))), JSON_LD


def _tag(written: str) -> str:
    """A tag of a language as RFC 5646, section 2.1.1, writes it: `en`, `pt-BR`, `zh-Hant-TW`; "" if it is none."""
    first, *rest = written.replace("_", "-").split("-")
    if not LANGUAGE_TAG.fullmatch(written) or first.lower() in NO_LANGUAGE:
        return ""
    cased = [part.upper() if len(part) == 2 else part.title() if len(part) == 4 else part.lower() for part in rest]
    return "-".join([first.lower(), *cased])
