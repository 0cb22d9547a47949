"""Settings: the order of where they come from, and what is said of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from asyncref import config
from asyncref.config import Setting
from asyncref.errors import OptionError


def test_an_argument_goes_before_the_environment_the_file_and_the_default(tmp_path: Path):
    file = tmp_path / "config.toml"
    file.write_text('project = "from-file"\n')
    given = {"WANDB_PROJECT": "from-env"}
    assert config.get("project", "mine", environ=given, file=file) == Setting("project", "mine", "argument")
    assert config.get("project", environ=given, file=file) == Setting(
        "project", "from-env", "environment WANDB_PROJECT"
    )
    assert config.get("project", environ={}, file=file) == Setting("project", "from-file", f"file {file}")
    assert config.get("project", environ={}, file=tmp_path / "none") == Setting("project", "uncategorized", "default")


def test_an_empty_variable_counts_as_unset(tmp_path: Path):
    assert config.get("project", environ={"WANDB_PROJECT": ""}, file=tmp_path / "none").value == "uncategorized"


def test_the_registry_and_its_manifests_follow_the_data_folder(tmp_path: Path):
    given = {"ASYNCREF_HOME": str(tmp_path)}
    assert config.get("registry", environ=given).value == f"sqlite:///{tmp_path}/registry.db"
    assert config.get("manifests", environ=given).value == f"{tmp_path}/manifests"
    shared = {**given, "ASYNCREF_REGISTRY": "sqlite:////shared/registry.db"}
    assert config.get("manifests", environ=shared).value == "/shared/manifests"
    server = {**given, "ASYNCREF_REGISTRY": "postgresql://host/db"}
    assert config.get("manifests", environ=server).value == f"{tmp_path}/manifests"


def test_every_setting_has_a_value_a_meaning_and_an_origin():
    for setting in config.settings():
        assert setting.value
        assert setting.origin
        assert config.meaning(setting.name)
        assert config.variables(setting.name)


@pytest.mark.parametrize("text", ["project = ", "color = 'red'", "project = 3"])
def test_a_malformed_config_file_is_one_line_that_names_it(tmp_path: Path, text: str):
    file = tmp_path / "config.toml"
    file.write_text(text)
    with pytest.raises(OptionError) as caught:
        config.get("project", environ={}, file=file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_password_of_a_registry_is_not_shown():
    setting = Setting("registry", "postgresql://user:secret@host/db", "argument")
    assert setting.shown == "postgresql://user:***@host/db"
