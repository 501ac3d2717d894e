"""What is personal data in a text and what only looks like it, by kind."""

from __future__ import annotations

import base64
import json
import zlib

import pyarrow as pa
import pytest

from tokenmill.pipeline.stages.personal.masking import Masker
from tokenmill.pipeline.stages.personal.national import NUMBERS
from tokenmill.pipeline.stages.personal.search import Sought, findings
from tokenmill.pipeline.stages.personal.settings import KINDS, Country, PersonalConfig

EVERYTHING = Sought(kinds=KINDS)
CHECKED = Sought(kinds=tuple(kind for kind in KINDS if kind != "phone"))
"""All kinds that something checks."""


def found(text: str, sought: Sought = EVERYTHING) -> list[tuple[str, str]]:
    """Kind and text of each value."""
    (values,) = findings(pa.array([text], pa.large_string()), sought)
    data = text.encode()
    return [(one.kind, data[one.start : one.end].decode()) for one in values]


def secret(characters: str, size: int) -> str:
    """Letters that look random, always the same."""
    return "".join(characters[zlib.crc32(f"{characters}{place}".encode()) % len(characters)] for place in range(size))


LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
HEX = "0123456789abcdef"
BASE64 = LETTERS + "+/"


def token(payload: dict[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Write to john.doe@example.com.", "john.doe@example.com"),
        ("<mary+lists@sub.example.co.uk>, and", "mary+lists@sub.example.co.uk"),
        ("'o'brien@example.org'", "o'brien@example.org"),
        ("(x_1-2@a-b.info)", "x_1-2@a-b.info"),
        ("mailto:a.b@c.de?subject=hi", "a.b@c.de"),
        ("https://example.org/?mail=john%40example.org&x=1", "john%40example.org"),
        ("author='me@host.museum';", "me@host.museum"),
        ("**bold@example.com**", "bold@example.com"),
        ("müller@bücher.example", "müller@bücher.example"),
        ("用户@例子.广告", "用户@例子.广告"),
        ("почта: иван@почта.рф, да", "иван@почта.рф"),
        ("联系john@example.com谢谢", "john@example.com"),
        ("x@xn--bcher-kva.xn--p1ai", "x@xn--bcher-kva.xn--p1ai"),
        ("ｊｏｈｎ＠ｅｘａｍｐｌｅ．ｃｏｍ", "ｊｏｈｎ＠ｅｘａｍｐｌｅ．ｃｏｍ"),
        ("john [at] example [dot] com", "john [at] example [dot] com"),
        ("john(at)example.com", "john(at)example.com"),
        ("john{AT}example{dot}org now", "john{AT}example{dot}org"),
        ("user@[192.168.2.1] by hand", "user@[192.168.2.1]"),
        ("john@example.com:8080", "john@example.com"),
        ("a@b.co", "a@b.co"),
        ("john&#64;example.com", "john&#64;example.com"),
        ("<b>john&#x40;example.com</b>", "john&#x40;example.com"),
        ("?q=%22john%40example%2Ecom%22", "john%40example%2Ecom"),
        (r'"a\njohn@example.com\n"', "john@example.com"),
        ("\u200bjohn@example.com\u200b", "john@example.com"),
        ("x" * 64 + "@" + "y" * 60 + ".com", "x" * 64 + "@" + "y" * 60 + ".com"),
    ],
)
def test_addresses_of_people_are_found_whole(text: str, address: str) -> None:
    assert found(text) == [("email", address)]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "icon@2x.png",
            "logo@3x.jpg",
            "getty@tty1.service",
            "lodash@4.17.21",
            "npm i @angular/core@12.0.0",
            "git@github.com:a/b",
        ),
        *(
            "@Override",
            "@param x",
            "a @ b",
            "C = A@B",
            "A@B.T",
            "m @ n.inverse()",
            "a@b.inverse()",
            "user@localhost",
            "a@b",
            "@",
            "@@",
        ),
        *("john at example dot com", "x(at)y", "[at]", "jump (at) will.", "e@.com", "a@-.-", "foo@bar.", "%40"),
        *("nginx/1.2.3.4", "v1.2.3.4", "version 1.2.3.4", "release 10.20.30.40", "1.2.3.4.5", "1.3.6.1.4.1", "01.02.03.04"),
        *("file-1.2.3.4-rc1", "lib-11.22.33.44.tar.gz", "see § 4.3.2.1", "11.1.2.3. Title", "\n4.3.2.1 Title", "256.1.1.1"),
        *("10.0.0.1", "192.168.1.1", "127.0.0.1", "172.16.3.4", "203.0.113.7", "255.255.255.0", "224.0.0.1", "0.0.0.0"),
        *(
            "::1",
            "fe80::1%eth0",
            "2001:db8::1",
            "std::vector",
            "12:34:56",
            "aa:bb:cc:dd:ee:ff",
            "dead::beef",
            "x::y",
            "::",
            "a::1",
        ),
        "43:51:43:a1:b5:fc:8b:b7:0a:3a:a9:b1:0f:66:73:a8",
        *("2026-11-27T12:34:56.789Z", "20261127123456", "1732712345678", "1732712345678901", "3.14159265358979323846"),
        *("ISBN 978-3-16-148410-0", "ISBN 9783161484100", "0-306-40615-2", "doi:10.1000/182", "ISSN 2049-3630"),
        *(
            "d41d8cd98f00b204e9800998ecf8427e",
            "550e8400-e29b-41d4-a716-446655440000",
            "0x4111111111111111",
            "sha1:4111111111111111a",
        ),
        *(
            "4111 1111 1111 1112",
            "587428561654",
            "4111-1111 1111-1111",
            "1234 5678 9012 3456",
            "0.4111111111111111",
            "14111111111111111111",
        ),
        *("GB57HXDO88167774656119", "GB56HXDO8816777465611", "XX56HXDO88167774656119", "DE00 0000 0000", "AB12 CD34"),
        *("000-12-3456", "666-12-3456", "900-12-3456", "123-00-4567", "123-45-0000", "078-05-1120", "123 45 6789", "123456789"),
        *("1-123-45-6789", "123-45-6789-0", "x123-45-6789", "12345678901", "111222333", "943 476 5919"),
        *(
            "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "sk-some-long-class-name-of-a-page",
            "AKIA",
            "hf_token",
            "sk_live_",
            "eyJ.eyJ.",
        ),
        *("-----BEGIN CERTIFICATE-----\n" + secret(BASE64, 64), "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----"),
        *("https://user:password@example/", "ssh://git@example.org/x", "postgresql://user@host", "smb://me:@host"),
        "Smith, J. (2004). On numbers. Journal 12(3), 123-145. doi:10.1016/S0166-5316(97)00003-5",
        "for i in range(1000000): x[i] = 123456789 * 3 + 4.5e10 # 2**31 - 1 = 2147483647",
    ],
)
def test_what_only_looks_like_personal_data_stays(text: str) -> None:
    assert found(text, CHECKED) == []
    assert found(f"Look: {text} and so on", CHECKED) == []


@pytest.mark.parametrize(
    "text",
    [
        *(
            "1 000 000",
            "2 147 483 648",
            "IEEE 754-2019",
            "2004-2010",
            "12/30/1899",
            "30.12.1899",
            "2021-07-25 20:43",
            "1234567",
        ),
        *("1.2.3.4", "192.168.0.0/16", "page 12345678", "3.1415926", "1,234,567", "$1234567.00", "12345678%", "807 2021-07-25"),
        *("2026-11-27T12:34:56.789Z", "1732712345678", "9.2.1.1 Title", "v123 4567", "0.0000001", "254 192 1"),
    ],
)
def test_what_is_no_telephone_number_stays(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("ip", "from 93.184.216.34.", "93.184.216.34"),
        ("ip", "http://93.184.216.34:80/x", "93.184.216.34"),
        ("ip", "nameserver 8.8.8.8", "8.8.8.8"),
        ("ip", "93.184.216.34/24,", "93.184.216.34"),
        ("ip", "::ffff:93.184.216.34", "93.184.216.34"),
        ("ip", "2606:2800:220:1:248:1893:25c8:1946", "2606:2800:220:1:248:1893:25c8:1946"),
        ("ip", "[2606:2800:220::1946]:443", "2606:2800:220::1946"),
        ("ip", "at 2A00:1450:4001:81B::200E, port", "2A00:1450:4001:81B::200E"),
        ("ip", "9３.184.216.34".replace("３", "3"), "93.184.216.34"),
        ("ip", "IP地址8.8.4.4的服务器", "8.8.4.4"),
        ("ip", "地址2A00:1450:4001:81B::200E的", "2A00:1450:4001:81B::200E"),
        ("ip", "addr:2a00:1450:4001:81b::200e", "2a00:1450:4001:81b::200e"),
        ("ip", "node:2a00:1450:4001:81b::200e", "2a00:1450:4001:81b::200e"),
        ("ip", "?ip%3D93.184.216.34%26", "93.184.216.34"),
        ("ip", r"\n93.184.216.34\n", "93.184.216.34"),
        ("ip", "_93.184.216.34_", "93.184.216.34"),
        ("ip", "版本21.3.4.5", ""),
        ("ip", "버전 99.3.4.5", ""),
        ("ip", "x_93.184.216.34", ""),
        ("ip", "93.184.216.34_x", ""),
        ("card", "card 4111111111111111", "4111111111111111"),
        ("card", "卡号4111111111111111。", "4111111111111111"),
        ("card", "n%3A4111111111111111%2C", "4111111111111111"),
        ("card", r"\t4111 1111 1111 1111\n", "4111 1111 1111 1111"),
        ("card", "__4111111111111111__", "4111111111111111"),
        ("card", "4111-1111-1111-1111;", "4111-1111-1111-1111"),
        ("card", "Nr. 4111 1111 1111 1111, 12/29", "4111 1111 1111 1111"),
        ("card", "99 4111 1111 1111 1111 1234", "4111 1111 1111 1111"),
        ("card", "3782 822463 10005", "3782 822463 10005"),
        ("card", "5555\u00a05555\u00a05555\u00a04444", "5555\u00a05555\u00a05555\u00a04444"),
        ("card", "４１１１１１１１１１１１１１１１", "４１１１１１１１１１１１１１１１"),
        ("card", "۴۱۱۱-۱۱۱۱-۱۱۱۱-۱۱۱۱", "۴۱۱۱-۱۱۱۱-۱۱۱۱-۱۱۱۱"),
        ("card", "my card 587428561654", "587428561654"),
        ("iban", "IBAN: GB56HXDO88167774656119.", "GB56HXDO88167774656119"),
        ("iban", "DE89 3704 0044 0532 0130 00", "DE89 3704 0044 0532 0130 00"),
        ("iban", "账号DE89370400440532013000的", "DE89370400440532013000"),
        ("iban", r"iban%3DDE89370400440532013000\n", "DE89370400440532013000"),
        ("iban", "it is DE89\n3704 0044 0532\r\n0130 00.", "DE89\n3704 0044 0532\r\n0130 00"),
        ("iban", "gb42nawi04454264788619", "gb42nawi04454264788619"),
        ("iban", "FR14-2004-1010-0505-0001-3M02-606", "FR14-2004-1010-0505-0001-3M02-606"),
        ("ssn", "123-45-6789", "123-45-6789"),
        ("ssn", "SSN 123 45 6789", "123 45 6789"),
        ("ssn", "123456789 (SSN)", "123456789"),
        ("ssn", "123‐45‐6789", "123‐45‐6789"),
        ("national_id", "TFN 123 456 782", "123 456 782"),
        ("national_id", "85.07.30-033.28", "85.07.30-033.28"),
        ("national_id", "529.982.247-25", "529.982.247-25"),
        ("national_id", "SIN: 123 456 782", "123 456 782"),
        ("national_id", "11010519491231002X", "11010519491231002X"),
        ("national_id", "IdNr 86 095 742 719", "86 095 742 719"),
        ("national_id", "DNI 12345678Z", "12345678Z"),
        ("national_id", "X-1234567-L", "X-1234567-L"),
        ("national_id", "131052-308T", "131052-308T"),
        ("national_id", "2 55 08 14 168 025 38", "2 55 08 14 168 025 38"),
        ("national_id", "NHS number 943 476 5870", "943 476 5870"),
        ("national_id", "AB 12 34 56 C", "AB 12 34 56 C"),
        ("national_id", "Aadhaar 2341 2341 2346", "2341 2341 2346"),
        ("national_id", "RSSMRA85T10A562S", "RSSMRA85T10A562S"),
        ("national_id", "971013-9019902".replace("9019902", "2019902"), ""),
        ("national_id", "BOXW310820HNERXN09", "BOXW310820HNERXN09"),
        ("national_id", "BSN 111222333", "111222333"),
        ("national_id", "151086 95088", "151086 95088"),
        ("national_id", "PESEL 44051401359", "44051401359"),
        ("national_id", "CNP 1630615123457", "1630615123457"),
        ("national_id", "811218-9876", "811218-9876"),
        ("national_id", "TC kimlik 17291716060", "17291716060"),
        ("national_id", "ID number 7503305044089", "7503305044089"),
        ("phone", "+1-984-182-0190", "+1-984-182-0190"),
        ("phone", "call (415) 555-1212!", "(415) 555-1212"),
        ("phone", "+46 (0)8 928 571 38", "+46 (0)8 928 571 38"),
        ("phone", "01.84.17.61.18", "01.84.17.61.18"),
        ("phone", "Tel. 467 3395", "467 3395"),
        ("phone", "00442079460958", ""),
        ("key", "AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
        ("key", "key%3DAKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
        ("key", "密钥AKIAIOSFODNN7EXAMPLE的", "AKIAIOSFODNN7EXAMPLE"),
        ("key", f"token=ghp_{secret(LETTERS, 36)}\n", f"ghp_{secret(LETTERS, 36)}"),
        (
            "key",
            f"github_pat_{secret(LETTERS, 22)}_{secret(LETTERS, 59)}",
            f"github_pat_{secret(LETTERS, 22)}_{secret(LETTERS, 59)}",
        ),
        ("key", f"'glpat-{secret(LETTERS, 20)}'", f"glpat-{secret(LETTERS, 20)}"),
        ("key", f"xoxb-123456789012-{secret(LETTERS, 24)}", f"xoxb-123456789012-{secret(LETTERS, 24)}"),
        ("key", f"sk_live_{secret(LETTERS, 24)}", f"sk_live_{secret(LETTERS, 24)}"),
        ("key", f"AIza{secret(LETTERS, 35)}", f"AIza{secret(LETTERS, 35)}"),
        ("key", f"sk-proj-{secret(LETTERS, 48)}", f"sk-proj-{secret(LETTERS, 48)}"),
        ("key", f"sk-ant-api03-{secret(LETTERS, 90)}", f"sk-ant-api03-{secret(LETTERS, 90)}"),
        ("key", f"npm_{secret(LETTERS, 36)}", f"npm_{secret(LETTERS, 36)}"),
        ("key", f"hf_{secret(LETTERS[:52], 34)}", f"hf_{secret(LETTERS[:52], 34)}"),
        ("key", f"dapi{secret(HEX, 32)}", f"dapi{secret(HEX, 32)}"),
        ("key", f"SG.{secret(LETTERS, 22)}.{secret(LETTERS, 43)}", f"SG.{secret(LETTERS, 22)}.{secret(LETTERS, 43)}"),
        ("key", "https://john:hunter2@db.example.org/x", "john:hunter2"),
    ],
)
def test_values_are_found_with_their_ends(kind: str, text: str, value: str) -> None:
    expected = [(kind, value)] if value else []
    assert found(text) == expected
    assert [one for one in found(f"Es heißt: {text} – so") if one[0] == kind] == expected


def test_tokens_and_private_keys_are_found_whole() -> None:
    jwt = f"{token({'alg': 'HS256', 'typ': 'JWT'})}.{token({'sub': '1234567890'})}.{secret(LETTERS, 43)}"
    assert found(f"Authorization: Bearer {jwt}\n") == [("key", jwt)]
    body = "\n".join(secret(BASE64 + str(line), 64) for line in range(26))
    for name in ("PRIVATE KEY", "RSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "EC PRIVATE KEY", "PGP PRIVATE KEY BLOCK"):
        pem = f"-----BEGIN {name}-----\n{body}\n-----END {name}-----"
        assert found(f"é\n{pem}\nnext") == [("key", pem)]
        in_json = pem.replace("\n", "\\n")
        assert found(f'"{in_json}"') == [("key", in_json)]
    cut = f"-----BEGIN PRIVATE KEY-----\n{body}\n"
    assert found(cut) == [("key", cut)]


def test_private_addresses_are_found_on_request() -> None:
    sought = Sought(kinds=("ip",), public_only=False)
    for text in ("10.0.0.1", "192.168.1.1", "2001:db8::1", "fe80::1", "::1", "fd00::1:2"):
        assert found(text, sought) == [("ip", text)]
    assert found("std::1 a::1 0::0 12:34:56", sought) == []


def test_only_the_countries_asked_for_count() -> None:
    text = "DNI 12345678Z, RSSMRA85T10A562S, 529.982.247-25"
    assert found(text, Sought(kinds=("national_id",), countries=("it",))) == [("national_id", "RSSMRA85T10A562S")]
    assert set(NUMBERS) == set(Country.__args__)  # type: ignore[attr-defined]


def test_of_values_that_overlap_one_is_taken() -> None:
    assert found("xoxb-4111111111111111-4111111111111111-abcdef") == [("key", "xoxb-4111111111111111-4111111111111111-abcdef")]
    assert found("4111 1111 1111 1111 @ john@93.184.216.com") == [
        ("card", "4111 1111 1111 1111"),
        ("email", "john@93.184.216.com"),
    ]


def test_what_is_shown_is_masked() -> None:
    masker = Masker.of(PersonalConfig(iban="remove", phone="keep", replacements={"email": "<mail>"}))
    text = "é: a@b.org (+1-984-182-0190), DE89 3704 0044 0532 0130 00 und 93.184.216.34 für b@c.de"
    assert masker.mask(text) == "é: <mail> (+1-984-182-0190),  und [IP] für <mail>"
    assert masker.mask(masker.mask(text)) == masker.mask(text)
    assert masker.mask("") == ""
    keyed = PersonalConfig(key_file="nowhere", replacements={"card": "card {id}."})
    assert Masker.of(keyed).mask("4111111111111111 a@b.org") == "card . [EMAIL]"
