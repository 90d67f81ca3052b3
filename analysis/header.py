"""What a recording says of itself, read with care: anybody may have written it."""

import datetime
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tcptrace.analysis.observed import ALWAYS, NEVER
from tcptrace.tracer.errors import RecordingError
from tcptrace.tracer.schema import FORMAT, METADATA_KEY, SCHEMA

#: ns since 1970 (to 2116): so that no difference of two times overflows.
EARLIEST, LATEST = 0, 1 << 62

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def check_header(path: Path, schema: pa.Schema) -> dict[str, Any]:
    """Check that this is a recording we can read; give its header.

    A field of another type than it should have is left out, as if it were not there.
    Raises :class:`RecordingError`.
    """
    header = _json((schema.metadata or {}).get(METADATA_KEY))
    version = header.get("format") if isinstance(header, dict) else None
    if type(version) is not int:
        raise RecordingError(f"{path}: an Arrow file, but no tcptrace recording")
    if version != FORMAT:
        raise RecordingError(
            f"{path}: recording format {version}, this tcptrace reads {FORMAT}: "
            "use the version that recorded it"
        )
    wrong = [
        wanted.name
        for wanted in SCHEMA
        if schema.get_field_index(wanted.name) < 0 or schema.field(wanted.name).type != wanted.type
    ]
    if wrong:
        raise RecordingError(f"{path}: damaged: wrong columns: {', '.join(wrong)}")
    return _well_typed(header)


def check_batch(batch: pa.RecordBatch) -> None:
    """Check that a batch is what it claims to be; raises ``pa.ArrowInvalid``."""
    batch.validate()
    for field in SCHEMA:
        column = batch[field.name]
        if not field.nullable and column.null_count:
            raise pa.ArrowInvalid(f"{field.name}: null")
        if pa.types.is_dictionary(field.type):
            _check_words(column)
        else:
            column.validate(full=True)
        # Arrow is content with more than enough, numpy is not.
        _, data = column.buffers()[:2]
        if data is not None and data.size % (field.type.bit_width // 8):
            raise pa.ArrowInvalid(f"{field.name}: part of a value")
    if len(batch):
        times = pc.min_max(batch["time"].view(pa.int64())).as_py()
        if not EARLIEST <= times["min"] <= times["max"] <= LATEST:
            raise pa.ArrowInvalid("time: out of range")


def _check_words(column: pa.DictionaryArray) -> None:
    """Check a dictionary column, its nulls apart.

    Arrow's own full validation looks at index after index: 3 % of a report.
    """
    words, indices = column.dictionary, column.indices.to_numpy(zero_copy_only=False)
    words.validate(full=True)
    if words.null_count:
        raise pa.ArrowInvalid("a null among the words")
    if len(indices) and not 0 <= indices.min() <= indices.max() < len(words):
        raise pa.ArrowInvalid("an index without a word")


def decode_metadata(raw: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    """Decode a batch's metadata; every value is JSON. What is not is left out."""
    decoded = {key.decode(errors="replace"): _json(value) for key, value in dict(raw or {}).items()}
    return _well_typed(decoded)


def nanoseconds(value: object) -> int | None:
    """Read a time in ISO 8601, UTC if it does not say; ns since 1970, None if it is none."""
    if not isinstance(value, str):
        return None
    try:
        at = datetime.datetime.fromisoformat(value)
        since = (at if at.tzinfo else at.replace(tzinfo=datetime.UTC)) - _EPOCH
    except (ValueError, OverflowError):
        return None
    at_ns = since // datetime.timedelta(microseconds=1) * 1000
    return at_ns if EARLIEST <= at_ns <= LATEST else None


def _json(text: bytes | None) -> Any:
    try:
        return json.loads(text or b"null")
    except (ValueError, RecursionError):
        return None


def _integer(value: object) -> bool:
    return type(value) is int and NEVER < value < ALWAYS


def _text(value: object) -> bool:
    return isinstance(value, str)


def _mapping_of(fits: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, dict) and all(map(fits, value.values()))


def _names(value: object) -> bool:
    return _mapping_of(_mapping_of(_text))(value)


def _probe(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("attached"), bool)


def _part_of_set(value: object) -> bool:
    return (
        isinstance(value, dict)
        and _text(value.get("id"))
        and all(_integer(value.get(name)) for name in ("number", "events", "lost"))
    )


#: What of the header and of the batches' metadata is relied on, and what it must be.
_TYPES: dict[str, Callable[[object], bool]] = {
    "host": _text,
    "kernel": _text,
    "version": _text,
    "started": _text,
    "settling": _text,
    "ended": _text,
    "reason": _text,
    "hz": _integer,
    "netns": _integer,
    "events": _integer,
    "lost": _integer,
    "probes": _mapping_of(_probe),
    "lacks": lambda value: isinstance(value, list) and all(map(_text, value)),
    "reset_reasons": _mapping_of(_text),
    "sysctl": _mapping_of(lambda value: value is None or isinstance(value, str | int)),
    "mib": _mapping_of(_mapping_of(_integer)),
    "names": _names,
    "filters": lambda value: isinstance(value, dict),
    "set": _part_of_set,
}


def _well_typed(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value for name, value in fields.items() if name not in _TYPES or _TYPES[name](value)
    }
