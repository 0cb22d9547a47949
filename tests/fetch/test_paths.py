"""Which file an entry becomes: what is refused, and that the escape can be read back."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncref.engine.fetch import ground
from asyncref.engine.fetch.ground import Ground, told_case
from asyncref.engine.fetch.paths import PathPlan, decode, encode
from asyncref.engine.fetch.windows import refusal

# Text made of what is special to some rule, so that rules meet each other.
PIECES = st.sampled_from(
    [
        "a",
        "A",
        "b",
        "é",
        "É",
        "\U0001f600",
        ".",
        "..",
        "/",
        "//",
        "%",
        "%2F",
        "%~",
        "%+/",
        "\0",
        " ",
        "long" * 20,
        ".asyncref-",
    ]
)
PATHS = st.lists(PIECES, min_size=1, max_size=8).map("".join)
NAME_MAX = 40


def reasons(*paths: str, **options: bool) -> dict[str, str]:
    plan = PathPlan(**options)  # type: ignore[arg-type]
    plan.add(sorted(paths))
    return {conflict.path: conflict.reason for conflict in plan.finish()}


@settings(deadline=None)
@given(PATHS, st.booleans(), st.booleans())
def test_every_escape_can_be_read_back(path: str, beside: bool, cased: bool) -> None:
    assert decode(encode(path, beside=beside, cased=cased, name_max=NAME_MAX)) == path


@settings(deadline=None)
@given(st.text(), st.booleans())
def test_any_text_can_be_escaped_and_read_back(path: str, cased: bool) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        return
    assert decode(encode(path, cased=cased)) == path


def fold(name: str) -> str:
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


@settings(deadline=None)
@given(st.sets(PATHS, min_size=1, max_size=12), st.booleans())
def test_escaped_names_can_lie_side_by_side_in_any_folder(paths: set[str], insensitive: bool) -> None:
    plan = PathPlan(escape=True, insensitive=insensitive, name_max=NAME_MAX)
    plan.add(sorted(paths))
    assert plan.finish() == []
    names = [plan.local(path) for path in paths]
    seen = [fold(name) for name in names] if insensitive else names
    assert len(set(seen)) == len(seen)
    folders = {name[:at] for name in seen for at, char in enumerate(name) if char == "/"}
    assert not folders & set(seen)
    for name in names:
        for segment in name.split("/"):
            assert segment not in ("", ".", "..")
            assert len(segment.encode()) <= NAME_MAX
            assert "\0" not in segment
            assert not segment.casefold().startswith(".asyncref-")


@settings(deadline=None)
@given(st.lists(st.text("ab.-_/ é", min_size=1), min_size=1, max_size=10, unique=True))
def test_what_passes_unescaped_is_a_plain_relative_path_that_no_other_is_a_folder_of(paths: list[str]) -> None:
    refused = reasons(*paths)
    passed = [path for path in paths if path not in refused]
    for path in passed:
        assert str(Path(path)) == path
        assert ".." not in path.split("/")
        assert not any(other.startswith(f"{path}/") for other in passed)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("a/../b", "segment '.' or '..'"),
        ("../b", "segment '.' or '..'"),
        ("./b", "segment '.' or '..'"),
        ("..", "segment '.' or '..'"),
        ("/etc/passwd", "starts with a slash"),
        ("a\0b", "NUL"),
        ("a//b", "empty segment"),
        ("x/", "ends with a slash"),
        ("d/" + "é" * 128, "longer than 255 bytes"),
        ("a/.asyncref-1.part", "temporaries"),
        ("/".join(["d" * 200] * 21), "longer than 4000 bytes"),
    ],
)
def test_a_name_that_no_file_system_holds_is_refused_with_its_reason(path: str, reason: str) -> None:
    assert reason in reasons(path)[path]


def test_plain_names_pass_and_stay_as_they_are() -> None:
    paths = [
        "a b",
        "a+b",
        "100%",
        "100%25",
        "a#b",
        "a?b",
        "é",
        "\U0001f600",
        ".hidden",
        "..a",
        "a...",
        "mnist2/x",
        "-x",
    ]
    plan = PathPlan()
    plan.add(sorted(paths))
    assert plan.finish() == []
    assert [plan.local(path) for path in paths] == paths


def test_a_file_beside_a_folder_of_its_name_is_found_past_names_that_sort_between_them() -> None:
    paths = ["mnist", "mnist-old/1", "mnist.txt", "mnist/1", "mnist/2", "mnist2/1"]
    assert reasons(*paths) == {"mnist": "a file and a folder of one name"}
    plan = PathPlan(escape=True)
    plan.add(paths)
    plan.finish()
    assert [plan.local(path) for path in paths] == ["mnist%~", *paths[1:]]


def test_names_that_differ_only_in_case_clash_where_case_is_not_told() -> None:
    assert reasons("README", "readme", "x") == {}
    assert set(reasons("README", "readme", "x", insensitive=True)) == {"README", "readme"}
    assert set(reasons("A", "a/b", insensitive=True)) == {"A"}


def test_the_escape_is_the_documented_one() -> None:
    assert encode("a//b") == "a/%2Fb"
    assert encode("/abs/x/") == "%2Fabs/x%2F"
    assert encode("a/../b") == "a/%2E%2E/b"
    assert encode("100%") == "100%25"
    assert encode("a\0b") == "a%00b"


@pytest.mark.parametrize("may_write", [True, False])
def test_this_file_system_is_probed_and_left_as_it_was(tmp_path: Path, *, may_write: bool) -> None:
    folder = tmp_path / "Folder"
    folder.mkdir()
    before = sorted(tmp_path.rglob("*"))
    tells = Ground(folder / "not" / "yet").tells_case(may_write=may_write)
    assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / "probe").write_text("")
    assert tells is not (tmp_path / "PROBE").exists()


class Folder:
    """The names of a folder, and whether it tells their case; the kernel here mounts no FAT."""

    def __init__(self, *names: str, tells: bool) -> None:
        self.names = set(names)
        self.tells = tells

    def is_same(self, one: str, other: str) -> bool:
        return one == other if self.tells else one.casefold() == other.casefold()


@pytest.mark.parametrize("tells", [True, False])
def test_names_in_a_folder_tell_whether_it_tells_case(*, tells: bool) -> None:
    for names in (["a"], ["B.txt", "1"], ["1", "ß", "x"]):
        folder = Folder(*names, tells=tells)
        assert told_case(folder.names, folder.is_same) is tells
    mute = Folder("1", "ß", "é", tells=tells)
    assert told_case(mute.names, mute.is_same) is None


def test_two_links_of_one_file_that_differ_in_case_are_two_names() -> None:
    assert told_case({"a", "A"}, lambda _one, _other: True) is True


def test_the_folders_own_name_is_not_asked_where_it_is_a_mount_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name lies in the file system above, which may tell case where the mounted one does not."""
    asked: list[str] = []

    def is_same(folder: str, one: str, _other: str) -> bool:
        asked.append(f"{folder}/{one}")
        return folder.startswith(str(tmp_path / "Mount"))  # the mounted file system does not tell case

    (tmp_path / "Mount").mkdir()
    monkeypatch.setattr(ground, "_is_same", is_same)
    monkeypatch.setattr("os.path.ismount", lambda path: str(path) == str(tmp_path / "Mount"))
    assert Ground(tmp_path / "Mount").tells_case(may_write=True) is False
    assert not any(path.endswith("/Mount") for path in asked)


ODD_ON_WINDOWS = [
    "C:\\x",
    "a\\b",
    "a:stream",
    "what?",
    "a*",
    "<a>",
    'a"b',
    "a|b",
    "tab\t",
    "end.",
    "end ",
    "con",
    "d/NUL.txt",
    "com1",
    "Aux .x",
]


@pytest.mark.parametrize("path", ODD_ON_WINDOWS)
def test_what_windows_takes_otherwise_is_refused_there_and_escaped(path: str) -> None:
    plan = PathPlan(windows=True)
    plan.add([path])
    assert [conflict.path for conflict in plan.finish()] == [path]
    plan = PathPlan(windows=False)
    plan.add([path])
    assert plan.finish() == []
    local = encode(path, windows=True)
    assert not any(refusal(segment) for segment in local.split("/"))
    assert decode(local) == path
    assert encode(path, windows=False) == path


@pytest.mark.parametrize("path", ["a/b", "é", "console", "comx", "a.b", ".hidden", "a b", "%41", "nul1", "xcon"])
def test_what_windows_takes_as_it_is_stays_so(path: str) -> None:
    assert not any(refusal(segment) for segment in path.split("/"))
    assert encode(path, windows=True) == path.replace("%", "%25")


@given(st.text("aA.%/\\: \0cCoOnN", max_size=40), st.booleans(), st.booleans())
def test_every_name_has_one_form_on_windows_that_it_takes(path: str, beside: bool, cased: bool) -> None:
    local = encode(path, beside=beside, cased=cased, name_max=20, windows=True)
    assert decode(local) == path
    assert not any(refusal(segment) for segment in local.split("/"))
    assert all(len(segment.encode()) <= 20 for segment in local.split("/"))
