"""How does a table of the TOML tree become a frozen value, and how is every mistake in it told with its key path?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import attrs
from cattrs import BaseValidationError, Converter, ForbiddenExtraKeysError, IterableValidationError
from cattrs.errors import AttributeValidationNote, IterableValidationNote
from cattrs.gen import make_dict_structure_fn, override

from sipdispatch import readers
from sipdispatch.consistency import Finding
from sipdispatch.readers import BadValueError
from sipdispatch.toml_positions import KeyPath

T = TypeVar("T")
Read = Callable[[Any], Any]


@attrs.frozen(kw_only=True)
class Table:
    """How a class stands in the file.

    `reads` has a reader for each field; `names` are the keys that differ from their fields; `extra` are keys that
    somebody else reads; `hint` says what to write where something else than a table stands; `missing` and `meant` say
    what to write for a key that must be there, and for what people write instead.
    """

    cls: type
    reads: Mapping[str, Read]
    hint: str
    names: Mapping[str, str] = attrs.field(factory=dict)
    extra: tuple[str, ...] = ()
    missing: Mapping[str, str] = attrs.field(factory=dict)
    meant: Mapping[str, str] = attrs.field(factory=dict)

    def key(self, field: str) -> str:
        """The key of a field."""
        return self.names.get(field, field)

    @property
    def keys(self) -> tuple[str, ...]:
        """Every key that the table may have."""
        return (*(self.key(field.name) for field in attrs.fields(self.cls) if field.init), *self.extra)


class Tables:
    """Reads tables as values of the classes that it has been taught."""

    def __init__(self) -> None:
        self._converter = Converter()
        self._taught: dict[type, Table] = {}

    def teach(self, table: Table) -> None:
        """Read tables of this kind from now on."""
        overrides = {
            name: override(rename=table.key(name), struct_hook=_ignoring_type(read))
            for name, read in table.reads.items()
        }
        make: Any = make_dict_structure_fn  # its keyword arguments are flags and overrides both, which no type tells
        read_table = make(table.cls, self._converter, _cattrs_forbid_extra_keys=True, **overrides)

        def read(value: Any, _: Any) -> Any:
            if not isinstance(value, dict):
                raise BadValueError(f"must be a table, not {readers.kind(value)}", table.hint)
            return read_table(value, table.cls)

        self._taught[table.cls] = table
        self._converter.register_structure_hook(table.cls, read)

    def read(self, value: Any, cls: type[T]) -> T:
        """The value of a table; raises what `findings_of` tells."""
        return self._converter.structure(value, cls)

    def try_read(self, value: Any, cls: type[T], at: KeyPath) -> tuple[T | None, list[Finding]]:
        """The value of a table, or None and everything that is wrong with it; `at` is the way to it."""
        try:
            return self.read(value, cls), []
        except (BaseValidationError, BadValueError) as error:
            return None, list(self.findings_of(error, at))

    def findings_of(self, error: Exception, at: KeyPath) -> Iterator[Finding]:
        """The findings in what reading raised; `at` is the way to the value that it was raised for."""
        match error:
            case BaseValidationError():
                for inner in error.exceptions:
                    yield from self.findings_of(inner, (*at, *self._step(inner, error.cl)))
            case ForbiddenExtraKeysError():
                table = self._taught[error.cl]
                for key in sorted(error.extra_fields):
                    hint = table.meant.get(key) or readers.suggestion(key, table.keys)
                    yield Finding((*at, key), "there is no such key", hint, of_key=True)
            case BadValueError():
                yield Finding(at, error.message, error.hint)
            case KeyError():
                key = str(at[-1])
                hint = next(table.missing[key] for table in self._taught.values() if key in table.missing)
                yield Finding(at, "is missing", hint)
            case _:
                raise error

    def _step(self, error: Exception, cls: type) -> KeyPath:
        """The key or index that cattrs noted on an error while it passed through a table or a list."""
        note = error.__notes__[-1] if getattr(error, "__notes__", None) else None
        match note:
            case AttributeValidationNote():
                return (self._taught[cls].key(note.name),)
            case IterableValidationNote():
                return (note.index,)
            case _:
                return ()


def _ignoring_type(read: Read) -> Callable[[Any, Any], Any]:
    return lambda value, _: read(value)


def many(read: Read, collect: Callable[[list[Any]], Any], *, may_be_empty: bool = True) -> Read:
    """A reader of a list, or of one value in place of a list of one; every wrong element is told."""

    def read_all(value: object) -> Any:
        if value == [] and not may_be_empty:
            raise BadValueError("is empty", "write at least one value, or leave the key out")
        values: list[Any] = []
        wrong: list[Exception] = []
        for index, element in enumerate(value if isinstance(value, list) else [value]):
            try:
                values.append(read(element))
            except (BadValueError, BaseValidationError) as error:
                if isinstance(value, list):
                    error.add_note(IterableValidationNote("", index, object))
                wrong.append(error)
        if wrong:
            raise IterableValidationError("", wrong, list)
        return collect(values)

    return read_all
