"""Lines of lists, canonical addresses, and hits, against a slow and plain twin."""

from __future__ import annotations

import dataclasses
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.folders import write_corpus
from tokenmill.pipeline.kernels.urls import lookups
from tokenmill.pipeline.stages import addresses
from tokenmill.pipeline.stages.addresses import UrlAddress, parse
from tokenmill.pipeline.stages.step import Work
from tokenmill.pipeline.stages.urls import build, column, hashes, lines
from tokenmill.pipeline.stages.urls.hits import hits
from tokenmill.pipeline.stages.urls.index import ListIndex
from tokenmill.pipeline.stages.urls.lines import MOST, candidates, keys, words_of
from tokenmill.pipeline.stages.urls.settings import UrlList

SAME = [
    ("https://www.Example.com:443/a/./b/../c%7Ed?x=%2f#part", "www.example.com/a/c~d?x=%2F"),
    ("http://user:secret@münchen.de./straße", "xn--mnchen-3ya.de/stra%C3%9Fe"),
    ("http://0x7f.1:80", "127.0.0.1/"),
    ("http://[2001:DB8:0:0::1]:8080/", "[2001:db8::1]:8080/"),
    ("//example.com\\a", "example.com/a"),
    ("example.com:80/a", "example.com/a"),
    ("http://ｅｘａｍｐｌｅ。com", "example.com/"),
    ("http://a.example./x?", "a.example/x"),
    ("http://a.example/%2e%2e/%25%37e", "a.example/%257e"),
    ("\thttp://a.exa\nmple/\n", "a.example/"),
    ("http://a_b.example/x\0y", "a_b.example/x%00y"),
]
NONE = [
    "",
    "text",
    "mailto:me@a.example",
    "file:///a.b/c",
    "http://",
    "http://..",
    "http://1../",
    "http://.a.example/",
    "http://a b.example/",
    "http://1.2.3.4.5/",
    "urn:a.b",
]


@pytest.mark.parametrize(("url", "text"), SAME)
def test_one_spelling_for_an_address(url: str, text: str) -> None:
    found = parse(url)
    assert found is not None
    assert (found.text, addresses.key(url)) == (text, text)


@pytest.mark.parametrize("url", NONE)
def test_what_is_no_address_of_a_host(url: str) -> None:
    assert parse(url) is None
    assert addresses.key(f" {url}\n") == url


def test_a_fragment_names_a_page_only_behind_an_exclamation_mark() -> None:
    assert addresses.key("http://a.example/#!/b") == "a.example/#!/b" != addresses.key("http://a.example/#b")


HOSTILE = st.text(alphabet=st.sampled_from("aZ%.:/?#@&=\\[]2e7~é漢\0 \u200b\u0301|*!😀x-n"), max_size=40)


PLAIN_URLS = st.lists(
    st.sampled_from(
        [
            *("a", "Z", "7", ".", "-", "_", "/", "?", "&", "#", "=", "'", ":", "@", "//", "/.", "..", "www.", "xn--", "0x1"),
            *("1.2", "%20", "%2E", "%c3", "%C3%A9", "%", "~", "!", "|", "^", "[", "\\", " ", "\t", "\x7f", "é", "+", "#!"),
        ]
    ),
    max_size=14,
).map("".join)


@settings(max_examples=400)
@given(st.lists(st.tuples(st.sampled_from(["http://", "https://", "HTTP://", "http:/", "", "ftp://"]), PLAIN_URLS)))
@example([("http://", "a.b/" + "x" * 300), ("http://", "a" * 300 + ".b/?"), ("http://", "a.b")])
@example([("http://", "a.b?x"), ("http://", "A.B#x"), ("https://", "a.b/%20%7E"), ("https://", "www./"), ("http", "://a.b")])
def test_a_column_of_addresses_is_each_address(urls: list[tuple[str, str]]) -> None:
    given = ["".join(one) for one in urls]
    found = column.of(pa.array([None, *given, None], pa.string()).slice(1))
    wanted = [*map(parse, given), None]
    assert [found.address(row) for row in range(len(found))] == wanted
    assert found.shown_hosts() == [lines.host_of(one) for one in wanted]
    data, starts, ends = found.words()
    texts = [data[start:end].tobytes().decode() for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
    assert [lines.WORD.findall(text.lower()) for text in texts] == [[] if one is None else words_of(one) for one in wanted]


def test_plain_addresses_need_no_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column, "parse", None)
    urls = ["http://www.Example.com", "https://a-b.example/c/d_e.html?x=1&y=%20#part", "http://a.example/~x/(1)/@b:c,d;e"]
    found = column.of(pa.array(urls))
    texts = [found.address(row).text for row in range(3)]  # type: ignore[union-attr]
    assert texts == ["www.example.com/", "a-b.example/c/d_e.html?x=1&y=%20", "a.example/~x/(1)/@b:c,d;e"]


@given(HOSTILE)
@example("xn--")
@example("a.%2e.b")
@example("a.b/%%32%65")
def test_a_canonical_address_is_its_own(text: str) -> None:
    found = parse("http://" + text)
    if found is not None:
        assert parse("http://" + found.text) == found
        assert found.host == found.host.lower()
        words_of(found)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("", []),
        ("  # a comment", []),
        ("Example.COM  # why", [".example.com"]),
        ("\ufeffexample.com\r", [".example.com"]),
        (".example.com", [".example.com"]),
        ("*.example.com", [".example.com"]),
        ("=example.com", ["=example.com"]),
        ("=example.com/a", None),
        ("münchen.de", [".xn--mnchen-3ya.de"]),
        ("1.2.3.4", ["=1.2.3.4"]),
        ("[::1]", ["=[::1]"]),
        ("xyz", [".xyz"]),
        ("https://www.example.com/a/", ["example.com/a"]),
        ("https://www.example.com", ["example.com/"]),
        ("example.com/a?b=/", ["example.com/a?b=/"]),
        ("example.com:8080", ["example.com:8080/"]),
        ("0.0.0.0 ads.example\tx.example #", ["=ads.example", "=x.example"]),
        ("127.0.0.1 localhost", []),
        ("fe80::1%lo0 localhost", []),
        ("::1 ip6-localhost ads.example", ["=ads.example"]),
        ("||ads.example^", None),
        ("@@||ads.example^$document", None),
        ("ads.example##.banner", None),
        ("/banner/*/ads", None),
        ("ads.*.example", None),
        ("me@example.com", None),
        ("two words", None),
        ("0.0.0.0 a/b", None),
        ("*.example.com/a", None),
        ("x" * 9_000, None),
    ],
)
def test_lines(line: str, wanted: list[str] | None) -> None:
    assert keys(line, "addresses", subdomains=True) == wanted


def test_a_host_may_stand_for_itself_alone() -> None:
    assert keys("example.com", "addresses", subdomains=False) == ["=example.com"]
    assert keys(".example.com", "addresses", subdomains=False) == [".example.com"]


def test_words_are_letters_and_digits() -> None:
    assert [keys(line, "words", subdomains=True) for line in ("Foo-Bar", "été # x", "--", "#")] == [
        ["foobar"],
        ["été"],
        None,
        [],
    ]


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return write_corpus(tmp_path / "corpus", {"a/0": ["x"]})


@pytest.fixture(scope="module")
def work_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Work, Path]:
    folder = tmp_path_factory.mktemp("lists")
    return write_corpus(folder / "corpus", {"a/0": ["x"]}), folder


def made(work: Work, folder: Path, data: bytes, **given: Any) -> ListIndex:
    """The index of a list with these bytes."""
    (folder / "list").write_bytes(data)
    one = UrlList(paths=(str(folder / "list"),), **given)
    return build.indexes([("one", one)], {"one": build.identity("one", one)}, work)[0][0]


def plainly_hit(address: UrlAddress, key: str) -> bool:
    """What the documentation says of an entry, letter by letter."""
    if key.startswith("="):
        return address.host == key[1:]
    if key.startswith("."):
        return address.host == key[1:] or (address.host.endswith(key) and not lines.is_ip(address.host))
    site, slash, path = key.partition("/")
    mine = address.text[: address.path_start].removeprefix("www.")
    if mine != site:
        return False
    begin, whole = slash + path, address.path
    rest = whole.removeprefix(begin)
    if begin == "/" or whole == begin:
        return True
    return whole.startswith(begin) and (rest[0] == "&" if "?" in begin else rest[0] in "/?")


HOSTS = st.sampled_from(["a.b.example", "www.b.example", "b.example", "c.ab.example", "1.2.3.4", "example", "b.example:81"])
PATHS = st.lists(st.sampled_from(["/", "/a", "/ab", "?x=1", "?", "&y=2", "/a/", "&"]), max_size=5).map("".join)


@given(st.lists(st.tuples(HOSTS, PATHS), min_size=1, max_size=4), st.lists(st.tuples(HOSTS, PATHS), min_size=1, max_size=4))
def test_candidates_are_what_is_hit(urls: list[tuple[str, str]], entries: list[tuple[str, str]]) -> None:
    for host, path in urls:
        address = parse(f"http://{host}{path if path.startswith('/') else '/' + path}")
        assert address is not None
        for other, begin in entries:
            for key in keys(other + begin, "addresses", subdomains=True) or []:
                assert (key in candidates(address)) == plainly_hit(address, key), (address, key)


def test_a_long_path_has_few_borders() -> None:
    address = parse("http://a.example" + "/x" * 100_000)
    assert address is not None
    found = candidates(address)
    assert found[0] == address.text
    assert len(found) < MOST
    assert candidates(UrlAddress("a." * 1000 + "b/", 2001, 2001)) == [
        f"{'a.' * 1000}b/",
        f"={'a.' * 1000}b",
        f".{'a.' * 1000}b",
    ]


def test_all_hits_are_told_where_there_are_more_than_expected(work: Work, tmp_path: Path) -> None:
    index = made(work, tmp_path, b".example\na.example\na.example/x\n")
    found = column.of(pa.array(["http://a.example/x"] * 500))
    ((counts, entries),) = hits(found, [index])
    assert counts.tolist() == [3] * 500
    assert set(entries) == {"a.example/x"}
    for kind in ("words", "subwords"):
        ((counts, entries),) = hits(found, [made(work, tmp_path, b"a\nx\nexample\n", kind=kind)])
        assert (counts.tolist(), set(entries)) == ([3] * 500, {"a example x"})


def equal_hashes() -> list[str]:
    """Texts that share a hash, whatever the base of its powers: the word of Thue and Morse, and with its letters exchanged."""
    word = "".join("ab"[at.bit_count() % 2] for at in range(2048))
    return [word, word.translate(str.maketrans("ab", "ba"))]


def test_keys_are_compared_where_hashes_are_equal(work: Work, tmp_path: Path) -> None:
    one, other = (f"x.example/{text}" for text in equal_hashes())
    assert len(set(hashes.of_keys([one.encode(), other.encode()]).tolist())) == 1
    found = column.of(pa.array([f"http://{one}", f"http://{other}"]))
    for listed, wanted in ((f"{one}\n", [1, 0]), (f"{other}\n", [0, 1]), (f"{one}\n{other}\n", [1, 1])):
        ((counts, entries),) = hits(found, [made(work, tmp_path, listed.encode())])
        assert counts.tolist() == wanted
        assert entries == [text if count else None for text, count in zip((one, other), wanted, strict=True)]


URLS = st.tuples(HOSTS, PATHS).map(lambda one: f"http://{one[0]}{one[1] if one[1].startswith('/') else '/' + one[1]}")


@given(st.lists(st.one_of(st.none(), URLS, HOSTILE.map("http://a.b/".__add__)), max_size=8), st.data())
def test_hits_are_those_of_single_addresses(work_once: tuple[Work, Path], urls: list[str | None], data: st.DataObject) -> None:
    found = [None if url is None else parse(url) for url in urls]
    every = sorted({key for one in found if one is not None for key in candidates(one)})
    listed = data.draw(st.lists(st.sampled_from(every), unique=True)) if every else []
    index = made(*work_once, "\n".join([*listed, "z.example"]).encode())
    held = {line for path in index.keys for line in path.read_text().split("\n")}
    ((counts, entries),) = hits(column.of(pa.array(urls, pa.string())), [index])
    mine = [[] if one is None else [key for key in candidates(one) if key in held] for one in found]
    assert counts.tolist() == list(map(len, mine))
    assert entries == [(one or [None])[0] for one in mine]


@given(
    st.lists(st.one_of(st.none(), HOSTILE), max_size=6), st.lists(st.sampled_from(["a", "z", "2e", "é", "漢字", "za7", "n1x"]))
)
@example(["\u00e9\u0301", "%C3%A9%CC%81a", "_a_"], ["\u00e9", "a"])
def test_words_are_those_of_single_addresses(urls: list[str | None], listed: list[str]) -> None:
    given = [None if url is None else f"http://a.b/{url}" for url in urls]
    found = [None if url is None else parse(url) for url in given]
    index = ListIndexOfWords(frozenset(listed))
    for kind in ("words", "subwords"):
        ((counts, entries),) = hits(column.of(pa.array(given, pa.string())), [dataclasses.replace(index, kind=kind)])  # type: ignore[list-item]
        for one, count, entry in zip(found, counts.tolist(), entries, strict=True):
            words = [] if one is None else words_of(one)
            mine = [word for word in sorted(index.held) if (word in words if kind == "words" else word in "".join(words))]
            assert (count, entry) == (len(mine), " ".join(mine) or None)


@dataclasses.dataclass(frozen=True)
class ListIndexOfWords:
    """Words that stand in no file."""

    held: frozenset[str]
    kind: str = "words"

    def words(self) -> frozenset[bytes]:
        return frozenset(word.encode() for word in self.held)


@pytest.mark.parametrize("gzipped", [False, True])
def test_parts_and_blocks_change_nothing(work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gzipped: bool) -> None:
    data = b"\xef\xbb\xbf" + b"".join(b"host%d.example%s" % (at, (b"\n", b"\r\n", b"\n\n")[at % 3]) for at in range(500))
    data += b"long" * 100_000 + b".example\n" + "größe.example".encode() + b"\nlatin\xe9.example"
    data = gzip.compress(data) if gzipped else data
    whole = made(work, tmp_path, data)
    hashes, places = whole.run.columns()
    words = b"".join(path.read_bytes() for path in whole.keys)
    monkeypatch.setattr(build, "PART_BYTES", 300)
    monkeypatch.setattr(build, "BLOCK_BYTES", 64)
    monkeypatch.setattr(build, "VERSION", 2)
    cut = made(dataclasses.replace(work, memory_bytes=2000, fan_in=2), tmp_path, data)
    assert len(cut.keys) == 1 if gzipped else len(cut.keys) > 20
    assert b"".join(path.read_bytes() for path in cut.keys) == words
    assert np.array_equal(cut.run.columns()[0], hashes)
    assert words.split(b"\n")[:2] == [b".host0.example", b".host1.example"]
    assert words.split(b"\n")[-2:] == [b".xn--gre-6ka8i.example", b""]
    assert len(places) == 501


def test_folders_hold_what_ut1_calls_domains_and_urls(tmp_path: Path) -> None:
    for name in ("adult/domains", "adult/urls", "adult/expressions", "games/urls.gz", "games/very/domains", "domains"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    found = build.paths_of("one", UrlList(paths=(str(tmp_path),)))
    assert [str(path.relative_to(tmp_path)) for path in found] == ["domains", "adult/domains", "adult/urls", "games/urls.gz"]


def test_words_and_subwords(work: Work, tmp_path: Path) -> None:
    urls = [
        "http://Big-Casino.example/a",
        "http://cas.example/ino",
        "http://xn--t-9fa.example/%C3%A9t%c3%a9",
        "http://x.example/",
    ]
    found = column.of(pa.array([*urls, None]))
    (counts, entries) = hits(found, [made(work, tmp_path, "casino\nété\nbig\n".encode(), kind="words")])[0]
    assert entries == ["big casino", None, "été", None, None]
    assert counts.tolist() == [2, 0, 1, 0, 0]
    (counts, entries) = hits(found, [made(work, tmp_path, b"casino\nexampleino\nx\n", kind="subwords")])[0]
    assert entries == ["casino x", "exampleino x", "x", "x", None]
    assert counts.tolist() == [2, 2, 1, 1, 0]
    (counts, entries) = hits(column.of(pa.array([None], pa.string())), [made(work, tmp_path, b"a.example\n")])[0]
    assert (counts.tolist(), entries) == ([0], [None])


def test_a_hash_is_that_of_the_part_alone() -> None:
    keys = [b"=b.example", b"a.b.example", b".b.example", b"b.example"]
    found = hashes.of_keys(keys).tolist()
    assert len(set(found)) == 4
    # Lists that were made elsewhere, or before, hold these.
    assert found[3] == plain_hash(b"b.example", 0)


def plain_hash(part: bytes, mark: int) -> int:
    """In Python's integers."""
    whole = sum((byte + 1) * pow(int(lookups.BASE), at, 2**64) for at, byte in enumerate(part))
    return whole * int(lookups.MARKS[mark]) % 2**64
