"""What W&B's face has and asyncref does not: one clear error instead of a bare AttributeError."""

from __future__ import annotations

from typing import Final

from asyncref.errors import NotOfferedError

_RUN: Final = frozenset(
    [
        "alert",
        "define_metric",
        "display",
        "finish_artifact",
        "get_project_url",
        "link_artifact",
        "link_model",
        "log",
        "log_code",
        "log_model",
        "mark_preempting",
        "restore",
        "save",
        "summary",
        "to_html",
        "unwatch",
        "upsert_artifact",
        "url",
        "use_model",
        "watch",
        "write_logs",
    ]
)
_ARTIFACT: Final = frozenset(
    [
        "add",
        "add_dir",
        "add_file",
        "checkout",
        "collection",
        "delete",
        "files",
        "get",
        "get_added_local_path_name",
        "get_path",
        "history_step",
        "is_link",
        "json_encode",
        "link",
        "linked_artifacts",
        "new_file",
        "remove",
        "source_artifact",
        "source_collection",
        "tags",
        "ttl",
        "unlink",
        "url",
    ]
)
_HINTS: Final = {
    "add_file": "upload it to a bucket and add_reference its URI, or add_reference('file:///...')",
    "add_dir": "upload it to a bucket and add_reference its URI, or add_reference('file:///...')",
    "get_path": "get_entry gives the entry of a path",
    "log_model": "log_artifact an Artifact of type 'model' with a reference",
    "use_model": "use_artifact(...).download()",
}


def refuse(owner: str, name: str) -> AttributeError:
    """The error for an attribute that `owner` (`Run`, `Artifact`) does not have."""
    known = {"Run": _RUN, "Artifact": _ARTIFACT}[owner]
    if name not in known:
        return AttributeError(f"{owner!r} object has no attribute {name!r}")
    return NotOfferedError(
        f"asyncref has no {owner}.{name}: it tracks data where it lies and uploads nothing", hint=_HINTS.get(name)
    )
