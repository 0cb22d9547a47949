"""Settings and where each came from: argument, environment, the user's config file, default, in this order."""

from __future__ import annotations

import getpass
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import platformdirs

from asyncref.errors import OptionError

CONFIG_FILE: Final = platformdirs.user_config_path("asyncref") / "config.toml"
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # of two letters and more: C:\registry.db is a path
_PASSWORD: Final = re.compile(r"(?<=://)([^:/@]*):[^@/]*@")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as it holds now.

    Attributes:
        name: As in the config file.
        value: What holds.
        origin: `argument`, `environment NAME`, `file PATH` or `default`.
    """

    name: str
    value: str
    origin: str

    @property
    def shown(self) -> str:
        """The value fit for a screen or a log: the password of a database URL is left out."""
        return _PASSWORD.sub(r"\1:***@", self.value)


@dataclass(frozen=True, slots=True)
class _Rule:
    meaning: str
    environment: tuple[str, ...]
    default: Callable[[Mapping[str, str]], str]


def _default_home(_: Mapping[str, str]) -> str:
    return str(platformdirs.user_data_path("asyncref"))


def _default_cache(_: Mapping[str, str]) -> str:
    return str(platformdirs.user_cache_path("asyncref"))


def _default_registry(environ: Mapping[str, str]) -> str:
    return f"sqlite:///{Path(get('home', environ=environ).value).expanduser().absolute() / 'registry.db'}"


def _default_manifests(environ: Mapping[str, str]) -> str:
    registry = get("registry", environ=environ).value
    return str(manifests_beside(registry, environ=environ))


def _default_entity(_: Mapping[str, str]) -> str:
    try:
        login = getpass.getuser()
    except (OSError, KeyError, ImportError):  # no login name for this uid, as in many containers
        return "local"
    return re.sub(r"[^A-Za-z0-9_.-]", "-", login) or "local"


_RULES: Final = {
    "home": _Rule("folder of asyncref's own data", ("ASYNCREF_HOME",), _default_home),
    "cache": _Rule("folder of what can be made again", ("ASYNCREF_CACHE",), _default_cache),
    "registry": _Rule(
        "database of versions (a SQLite FILE, sqlite:///FILE or postgresql://...)",
        ("ASYNCREF_REGISTRY",),
        _default_registry,
    ),
    "manifests": _Rule(
        "folder of manifests, shared by all who share the registry", ("ASYNCREF_MANIFESTS",), _default_manifests
    ),
    "mounts": _Rule(
        "folders that lie elsewhere here: /there=/here, several divided by :", ("ASYNCREF_MOUNTS",), lambda _: "none"
    ),
    "project": _Rule("project of runs and artifacts", ("WANDB_PROJECT",), lambda _: "uncategorized"),
    "entity": _Rule("user or team that owns the project", ("WANDB_ENTITY",), _default_entity),
    "artifacts": _Rule(
        "folder that downloads land in", ("WANDB_ARTIFACT_DIR",), lambda _: str(Path("artifacts").absolute())
    ),
}


def get(
    name: str,
    argument: str | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> Setting:
    """One setting: the argument if given, else the environment, the config file, the default.

    Empty environment variables count as unset.

    Args:
        name: One of `names()`.
        argument: What the caller was given; None if nothing.
        environ: Instead of `os.environ`.
        file: Instead of `config.toml` in the user's config folder.

    Raises:
        OptionError: The config file cannot be read, or holds a setting that there is not.
    """
    found = _found(name, argument, os.environ if environ is None else environ, file or CONFIG_FILE)
    return replace(found, value=_registry_url(found.value)) if name == "registry" else found


def _found(name: str, argument: str | None, surroundings: Mapping[str, str], path: Path) -> Setting:
    rule = _RULES[name]
    if argument is not None:
        return Setting(name, argument, "argument")
    for variable in rule.environment:
        if value := surroundings.get(variable):
            return Setting(name, value, f"environment {variable}")
    if (value := _read(path).get(name)) is not None:
        return Setting(name, value, f"file {path}")
    return Setting(name, rule.default(surroundings), "default")


def _registry_url(text: str) -> str:
    """A registry's URL with its file's whole path; a path alone is a SQLite file's. What is neither stays as it is."""
    scheme, separator, path = text.partition(":///")
    if separator and scheme != "sqlite":
        return text
    if not separator:
        path = "" if _SCHEME.match(text) else text
    if path in {"", ":memory:"}:
        return text
    return f"sqlite:///{Path(path).expanduser().absolute()}"


def names() -> list[str]:
    """Every setting, in the order in which `asyncref config` prints them."""
    return list(_RULES)


def meaning(name: str) -> str:
    """What a setting is for, in half a line."""
    return _RULES[name].meaning


def variables(name: str) -> tuple[str, ...]:
    """The environment variables that a setting is read from."""
    return _RULES[name].environment


def settings() -> list[Setting]:
    """Every setting as it holds now.

    Raises:
        OptionError: The config file is malformed.
    """
    return [get(name) for name in _RULES]


def manifests_beside(registry: str, *, environ: Mapping[str, str] | None = None) -> Path:
    """Where a registry's manifests lie unless a setting says otherwise.

    Beside a SQLite file; in the data folder for a database server.
    """
    scheme, _, path = registry.partition(":///")
    if scheme.partition("+")[0] == "sqlite" and path and path != ":memory:":
        return Path(path.partition("?")[0]).expanduser().absolute().parent / "manifests"
    return Path(get("home", environ=environ).value).expanduser().absolute() / "manifests"


def _read(path: Path) -> dict[str, str]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise OptionError(f"the config file cannot be read: {error}", uri=str(path)) from error
    for name, value in values.items():
        if name not in _RULES:
            raise OptionError(f"unknown setting {name!r}", uri=str(path), hint=f"known are {', '.join(_RULES)}")
        if not isinstance(value, str):
            raise OptionError(f"{name} has to be a text", uri=str(path))
    return values
