r"""Names of artifacts, aliases, projects and types: what they may hold, and how a typed name is read.

W&B's rules: an artifact's name has letters, digits, `-`, `_` and `.`; a project and its entity anything but
`/ \ # ? % :`; an alias and a type anything but `/` and `:`; none has control characters or more than 128
characters. `latest` and `v0`, `v1`, ... are the registry's own aliases.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from asyncref.errors import InvalidNameError

LATEST: Final = "latest"
_LONGEST: Final = 128
_STRICT: Final = (re.compile(r"[A-Za-z0-9_.-]+", re.ASCII), "letters, digits, '-', '_' and '.' are allowed")
_OWNER: Final = (re.compile(r"[^/\\#?%:\x00-\x1f\x7f]+"), "/ \\ # ? % : are not allowed")
_LABEL: Final = (re.compile(r"[^/:\x00-\x1f\x7f]+"), "/ and : are not allowed")
_RULES: Final = {"artifact": _STRICT, "project": _OWNER, "entity": _OWNER, "alias": _LABEL, "type": _LABEL}
_NUMBER: Final = re.compile(r"v(\d+)", re.ASCII)
_DIGEST: Final = re.compile(r"[0-9a-f]{32}|[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Name:
    """A typed artifact name, `[entity/][project/]name[:selector]`.

    Attributes:
        name: The artifact's name.
        project: None: the default.
        entity: None: the default.
        selector: `v3` or an alias; None if none was typed.
    """

    name: str
    project: str | None = None
    entity: str | None = None
    selector: str | None = None

    @property
    def number(self) -> int | None:
        """The version's number, if the selector is one."""
        return version_number(self.selector) if self.selector else None


def parse(text: str) -> Name:
    """Read `name`, `name:v3`, `name:alias`, `project/name:v3` or `entity/project/name:v3`.

    Raises:
        InvalidNameError: Another form, or a character that no name has.
    """
    path, colon, selector = text.partition(":")
    parts = path.split("/")
    if len(parts) > 3:  # noqa: PLR2004  entity, project, name
        raise InvalidNameError(f"{text!r} is no artifact name", hint="write [entity/]project/name:version")
    if colon and not selector:
        raise InvalidNameError(f"{text!r} ends in a colon", hint="write name:v3, name:latest or the name alone")
    *owners, name = parts
    project = check(owners[-1], "project") if owners else None
    entity = check(owners[0], "entity") if len(owners) > 1 else None
    return Name(check(name, "artifact"), project, entity, check(selector, "alias") if colon else None)


def is_digest(text: str) -> bool:
    """Whether a text has the form of a manifest's digest or identity."""
    return _DIGEST.fullmatch(text) is not None


def version_number(selector: str) -> int | None:
    """3 for `v3`; None for every other text."""
    found = _NUMBER.fullmatch(selector)
    return int(found[1]) if found else None


def check(name: str, what: str) -> str:
    """The name itself, if it is one.

    Args:
        name: What to check.
        what: `artifact`, `alias`, `project`, `entity` or `type`, for the message.

    Raises:
        InvalidNameError: Empty, too long, `.` or `..`, or a character that no name has.
    """
    if len(name) > _LONGEST:
        raise InvalidNameError(f"the {what} name {name[:40]!r}... has more than {_LONGEST} characters")
    pattern, rule = _RULES[what]
    if not pattern.fullmatch(name) or name in {".", ".."}:
        raise InvalidNameError(f"{name!r} is no {what} name", hint=f"{rule}; at most {_LONGEST} characters")
    return name


def check_aliases(aliases: Iterable[str] | str | None) -> tuple[str, ...]:
    """The aliases a user may set, each once; `latest` is left out, since the registry sets it.

    Raises:
        InvalidNameError: A malformed alias, or one such as `v3`, which is the registry's own.
    """
    given = (aliases,) if isinstance(aliases, str) else tuple(aliases or ())
    for alias in given:
        check(alias, "alias")
        if version_number(alias) is not None:
            raise InvalidNameError(f"the alias {alias!r} is reserved", hint="v0, v1, ... name versions by number")
    return tuple(alias for alias in dict.fromkeys(given) if alias != LATEST)
