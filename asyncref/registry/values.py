"""What callers hand in, in the form that the registry keeps: JSON values, and the place of a name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from asyncref import config
from asyncref.errors import UsageError
from asyncref.registry import names


def place(entity: str | None, project: str | None) -> tuple[str, str]:
    """Entity and project: those given, else what the settings say.

    Raises:
        InvalidNameError: A name with characters that it may not have.
    """
    owner, where = config.get("entity", entity).value, config.get("project", project).value
    return names.check(owner, "entity"), names.check(where, "project")


def json_values(values: Mapping[str, Any] | None, what: str) -> dict[str, Any]:
    """A copy as JSON has it; numpy values become numbers and lists.

    Raises:
        UsageError: Something in it is no JSON value.
    """
    try:
        encoded = orjson.dumps(dict(values or {}), option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the {what} cannot be kept as JSON: {error}") from error
    copy: dict[str, Any] = orjson.loads(encoded)
    return copy
