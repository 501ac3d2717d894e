"""What can be set: every setting with its type, bounds, unit, default, and the sentence that stands below it in the source.

Purpose: `config show`, `config explain` and error messages say what may be written, from the same classes that check it.
Guarantee: nothing is written down twice, so nothing here can go stale. Cost: parsing the classes' sources once, 20 ms.
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from tokenmill.pipeline.config.section import About, Section

ANY = "NAME"
"""Stands for a name that the user chooses: `quality.models.NAME.path`."""
_UNITS = frozenset(
    [
        "bytes",
        "tokens",
        "characters",
        "words",
        "lines",
        "sentences",
        "documents",
        "windows",
        "steps",
        "epochs",
        "digits",
        "layers",
        "heads",
        "bands",
        "rows",
        "units",
    ]
)
_WORDS = {str: "a string", bool: "true or false", int: "a whole number", float: "a number"}
_PLURALS = {str: "strings", tuple[str, ...]: "lists of strings", bool: "true or false", int: "whole numbers", float: "numbers"}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting. `table`: the names of the tables around it, such as ("quality", "models", ANY)."""

    table: tuple[str, ...]
    key: str
    sentence: str
    kind: str
    """What may be written, in words: "a whole number", 'one of "lines", "paragraphs"'."""
    bounds: str
    """In words, such as "at least 0"; "" without bounds."""
    unit: str
    default: Any
    """None: not set."""
    required: bool
    example: Any
    """A value that may be written here."""
    type: Any
    """The annotated type, for the check of other examples."""
    source_kind: str = ""
    """Of a setting of a source: the kind of that source."""

    @property
    def name(self) -> str:
        """`quality.min_words`."""
        return ".".join((*self.table, self.key))

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that may be written, if only some may."""
        return _choices(self.type)

    @property
    def is_table(self) -> bool:
        """Whether it holds values by names that the user chooses."""
        return issubclass(_origin(_bare(self.type)[0]), Mapping)

    @property
    def accepted(self) -> str:
        """What may be written, in one phrase: "a whole number of words, at least 0"."""
        unit = f" of {self.unit}" if self.unit and self.kind == "a whole number" else f" ({self.unit})" if self.unit else ""
        return f"{self.kind}{unit}{f', {self.bounds}' if self.bounds else ''}"


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of settings: a section, a kind of source, or what stands under a name that the user chooses."""

    path: tuple[str, ...]
    sentence: str
    settings: tuple[Setting, ...]
    many: bool = False
    """True: a list of such tables, `[[collect.sources]]`."""
    source_kind: str = ""


@functools.cache
def tables(model: type[Section]) -> tuple[Table, ...]:
    """All tables of a config: first the one at the top, then each section, each followed by the tables inside it."""
    return tuple(_tables(model, ()))


def settings(model: type[Section]) -> Iterator[Setting]:
    """All settings of a config."""
    for table in tables(model):
        yield from table.settings


def _tables(model: type[Section], path: tuple[str, ...], *, many: bool = False) -> Iterator[Table]:
    kind = model.model_fields["kind"].default if many else ""
    told = sentences(model)
    own = tuple(
        _setting(name, field, told.get(name, ""), path, kind)
        for name, field in model.model_fields.items()
        if not list(_inside(field.annotation))
    )
    yield Table(path=path, sentence=_joined(model.__doc__), settings=own, many=many, source_kind=kind)
    for name, field in model.model_fields.items():
        for inner, further in _inside(field.annotation):
            yield from _tables(inner, (*path, name, *further), many=get_origin(field.annotation) is tuple)


def _inside(annotation: Any) -> Iterator[tuple[type[Section], tuple[str, ...]]]:
    """The sections that a field holds, each with the further names in its path."""
    annotation, _ = _bare(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation, ()
    elif get_origin(annotation) is tuple:
        for inner in get_args(annotation)[:1]:
            inner, _ = _bare(inner)
            alternatives = get_args(inner) if get_origin(inner) in (Union, types.UnionType) else (inner,)
            for one in alternatives:
                yield from _inside(one)
    elif get_origin(annotation) is not None and issubclass(_origin(annotation), Mapping):
        for inner, further in _inside(get_args(annotation)[1]):
            yield inner, (ANY, *further)


def _origin(annotation: Any) -> type:
    found = get_origin(annotation)
    return found if isinstance(found, type) else object


def _setting(name: str, field: FieldInfo, sentence: str, table: tuple[str, ...], source_kind: str) -> Setting:
    annotation, inner = _bare(field.annotation)
    notes = [*field.metadata, *inner]
    about = next((note for note in notes if isinstance(note, About)), About())
    default = None if field.is_required() else field.default
    kind = about.kind or _kind(annotation)
    numeric = annotation in (int, float)
    return Setting(
        table=table,
        key=name,
        sentence=sentence,
        kind=kind,
        bounds=_bounds(notes) if numeric else "",
        unit=(about.unit or _unit(name)) if numeric else "",
        default=default,
        required=field.is_required(),
        example=_example(annotation, default, about, notes),
        type=Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation,
        source_kind=source_kind,
    )


def _bare(annotation: Any) -> tuple[Any, list[Any]]:
    """A type without `Annotated` and without None, and the notes that stood around it."""
    notes: list[Any] = []
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            for one in more:
                notes += one.metadata if isinstance(one, FieldInfo) else [one]
            continue
        left = [one for one in get_args(annotation) if one is not type(None)]
        if get_origin(annotation) in (Union, types.UnionType) and len(left) < len(get_args(annotation)):
            annotation = left[0] if len(left) == 1 else Union[tuple(left)]  # noqa: UP007 -- made of a list
            continue
        return annotation, notes


def _kind(annotation: Any) -> str:
    annotation, _ = _bare(annotation)
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return f"one of {_listed(inner)}"
    if origin is tuple:
        inside, _ = _bare(inner[0])
        return (
            f"a list of {_listed(get_args(inside))}"
            if get_origin(inside) is Literal
            else f"a list of {_PLURALS.get(inside, 'values')}"
        )
    if origin in (Union, types.UnionType):
        return " or ".join(_kind(one).removeprefix("one of ") for one in inner).replace("true or false or", "true, false or")
    if issubclass(_origin(annotation), Mapping):
        return f"a table of {_PLURALS.get(_bare(inner[1])[0], 'values')} by name"
    return _WORDS.get(annotation, "a value")


def _choices(annotation: Any) -> tuple[str, ...]:
    annotation, _ = _bare(annotation)
    inner = get_args(annotation)
    return inner if get_origin(annotation) is Literal else tuple(word for one in inner for word in _choices(one))


def _listed(values: tuple[Any, ...]) -> str:
    return ", ".join(f'"{one}"' for one in values)


def _bounds(notes: list[Any]) -> str:
    found: dict[str, Any] = {}
    for note in notes:
        for kind, words, name in ((Ge, "at least", "ge"), (Gt, "above", "gt"), (Le, "at most", "le"), (Lt, "below", "lt")):
            if isinstance(note, kind):
                found[words] = getattr(note, name)
    return ", ".join(f"{words} {limit:,}" for words, limit in found.items())


def _unit(name: str) -> str:
    *before, last = name.split("_")
    if "per" in before:
        return "per word"
    if last in ("share", "fraction"):
        return "share"
    return last if last in _UNITS else ""


def _example(annotation: Any, default: Any, about: About, notes: list[Any]) -> Any:
    if default not in (None, (), {}):
        return default
    if about.example is not None:
        return about.example
    annotation, _ = _bare(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is Literal:
        return get_args(annotation)[0]
    if annotation is bool:
        return True
    least: Any = next((note.ge for note in notes if isinstance(note, Ge)), 0)
    return {int: max(least, 1), float: 0.1, str: "name"}.get(annotation, default)


@functools.cache
def sentences(model: type[Section]) -> Mapping[str, str]:
    """The docstring below each setting of a section, in one line each. Without the source of a class it has none."""
    found: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if not issubclass(each, Section):
            continue
        try:
            source = textwrap.dedent(inspect.getsource(each))
        except (OSError, TypeError):
            continue
        (body,) = ast.parse(source).body
        assert isinstance(body, ast.ClassDef)
        for line, below in zip(body.body, body.body[1:], strict=False):
            named = isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.target.id
            if named and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                found[named] = _joined(str(below.value.value))
    return found


def _joined(text: str | None) -> str:
    return " ".join((text or "").split())
