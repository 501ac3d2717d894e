"""Evaluation items of our own, the ways in which they come into a corpus, and phrases that everybody writes."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ITEMS: tuple[Mapping[str, Any], ...] = (
    {
        "id": "ferry",
        "question": "The ferry leaves the island every 45 minutes, the first one at 6:15. How many ferries leave before noon?",
        "choices": ["seven of them", "eight of them", "nine of them"],
        "answer": "eight of them",
    },
    {"id": "short", "question": "Which metal melts in your hand?", "choices": ["gallium", "iron"], "answer": "gallium"},
    {
        "id": "story",
        "question": "Mira's grandmother said, \"Don't touch the blue kettle,\" so when the kettle fell, nobody believed that "
        "the cat had done it. Who did Mira's family suspect when the blue kettle fell from the shelf?",
        "answer": "Mira",
    },
    {
        "id": "code",
        "question": "def below_zero(balance, operations):\n    for one in operations:\n        balance += one\n"
        "        if balance < 0:\n            return True\n    return False",
    },
    {"id": "french", "question": "Pourquoi l'eau de la rivière gèle-t-elle d'abord à la surface, et non pas au fond du lit ?"},
    {"id": "russian", "question": "Какая из перечисленных ниже рек впадает в Каспийское море, а не в Чёрное?"},
    {"id": "arabic", "question": "ما هو العنصر الكيميائي الذي رمزه الذري هو الزئبق، وما لونه في الحالة السائلة؟"},
    {"id": "chinese", "question": "小明有十二个苹果，他给了妹妹一半，又吃了两个，请问他现在还剩下几个苹果？"},
    {"id": "japanese", "question": "次のうち、江戸時代に書かれた作品ではないものはどれですか。一つ選びなさい。"},
    {"id": "thai", "question": "ข้อใดต่อไปนี้เป็นเมืองหลวงของประเทศไทยในสมัยกรุงธนบุรี"},
    {"id": "korean", "question": "다음 중 물의 끓는점에 가장 큰 영향을 주는 것은 무엇입니까? 하나만 고르십시오."},
)

COMMON = (
    "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated files.",
    "All rights reserved. Which of the following is true? None of the above. Choose the correct answer to each question.",
    "Monday, January 1, 1990. The quick brown fox jumps over the lazy dog. Better late than never, as they say.",
    "At the end of the day, it goes without saying that a stitch in time saves nine, and so on and so forth.",
    "The first one at noon. How many ferries are there? Don't touch it. Who did it, and why did the cat do it?",
    "What is the capital of France? One of the following rivers flows into the sea. Eight of them, nine of them, ten of them.",
    "下列哪一项是正确的？请选择一个答案。他现在还剩下什么？",
    "for one in operations:\n    if balance < 0:\n        return True\nreturn False",
)
"""Sentences that share much with items, and hold none."""

FULL_WIDTH = str.maketrans(
    {",": "\uff0c", "?": "\uff1f", ".": "\u3002", ":": "\uff1a", '"': "\u201d", "'": "\u2019", "-": "\u2010"}
)
ARABIC = str.maketrans({",": "\u060c", "?": "\u061f", ";": "\u061b", ".": "\u06d4", "\uff0c": "\u060c", "\uff1f": "\u061f"})
FILLER = "Ships came and went in the grey harbour while the men talked about the price of rope and the weather.\n"


def embedded(text: str) -> str:
    return f"{FILLER * 300}On the way home he asked himself: {text} Then it rained. {FILLER * 300}"


def soft(text: str) -> str:
    """Soft hyphens within words, as a browser copies them."""
    return " ".join(f"{word[:3]}\u00ad{word[3:]}" if len(word) > 5 and word.isalpha() else word for word in text.split(" "))


WAYS: Mapping[str, Callable[[str], str]] = {
    "exact": lambda text: text,
    "wrapped": lambda text: "\n".join(textwrap.wrap(text, 24)),
    "quoted": lambda text: "\n".join(f"> {line}" for line in textwrap.wrap(text, 40)),
    "embedded": embedded,
    "full width": lambda text: text.translate(FULL_WIDTH),
    "Arabic punctuation": lambda text: text.translate(ARABIC),
    "no punctuation": lambda text: "".join(one if one.isalnum() or one.isspace() or ord(one) > 127 else " " for one in text),
    "capitals": str.upper,
    "spaces": lambda text: text.replace(" ", " \u00a0 "),
    "soft hyphens": soft,
    "JSON": lambda text: json.dumps("\n".join(textwrap.wrap(text, 24))),
}


def write(folder: Path) -> Path:
    """The items as JSON Lines."""
    path = folder / "planted.jsonl"
    path.write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in ITEMS), encoding="utf-8")
    return path
