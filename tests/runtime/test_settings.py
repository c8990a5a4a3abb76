"""Settings come from one TOML file and WARDROUND_ variables; whatever is wrong is named with file, key and way out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from runtime.settings import load_settings, strange_variables
from schemas.errors import LocalError


@dataclass(frozen=True, slots=True)
class Kafka:
    bootstrap: str
    fetch_bytes: int = 100


@dataclass(frozen=True, slots=True)
class Study:
    plan: str
    data: Path
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settings:
    name: str
    data_dir: Path
    kafka: Kafka
    period_s: float = 300.0
    share: bool = True
    proxy: str | None = None
    labels: tuple[str, ...] = ()
    studies: tuple[Study, ...] = ()

    def __post_init__(self) -> None:
        if self.period_s <= 0:
            raise ValueError("period_s must be above 0")


GOOD = """
name = "aachen"
data_dir = "data"
[kafka]
bootstrap = "localhost:9092"
"""


def _load(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> Settings:
    path = folder / "site.toml"
    path.write_text(text, encoding="utf-8")
    return load_settings(Settings, path, environ or {})


def _refused(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> LocalError:
    with pytest.raises(LocalError) as refused:
        _load(folder, text, environ)
    return refused.value


def test_what_is_not_said_has_its_default(tmp_path: Path) -> None:
    settings = _load(tmp_path, GOOD)
    assert settings == Settings("aachen", tmp_path / "data", Kafka("localhost:9092"))


def test_tables_lists_and_lists_of_tables_are_read(tmp_path: Path) -> None:
    studies = (
        '[[studies]]\nplan = "a"\ndata = "x"\n[studies.options]\nfold = "1"\n[[studies]]\nplan = "b"\ndata = "y"\n'
    )
    settings = _load(tmp_path, 'labels = ["q", "r"]\nproxy = "p"\n' + GOOD + studies)
    assert (settings.labels, settings.proxy) == (("q", "r"), "p")
    assert settings.studies == (Study("a", tmp_path / "x", {"fold": "1"}), Study("b", tmp_path / "y"))


def test_relative_paths_count_from_the_files_folder_wherever_the_service_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert _load(tmp_path, GOOD).data_dir == tmp_path / "data"
    assert _load(tmp_path, GOOD.replace('"data"', '"../data"')).data_dir == tmp_path.parent / "data"
    assert _load(tmp_path, GOOD.replace('"data"', '"/srv/data"')).data_dir == Path("/srv/data")
    assert _load(tmp_path, GOOD.replace('"data"', '"~/data"')).data_dir == Path("/home/somebody/data")


def test_a_whole_number_is_fine_where_a_fraction_is_meant(tmp_path: Path) -> None:
    period_s = _load(tmp_path, "period_s = 5\n" + GOOD).period_s
    assert (period_s, type(period_s)) == (5.0, float)


@pytest.mark.parametrize(
    ("text", "key", "near"),
    [
        ('nme = "x"\n' + GOOD, "nme", "name"),
        (GOOD + 'bootstrp = "x"\n', "kafka.bootstrp", "bootstrap"),
        (GOOD + '[[studies]]\nplan = "a"\ndata = "x"\nplann = "b"\n', "studies[0].plann", "plan"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(tmp_path: Path, text: str, key: str, near: str) -> None:
    error = _refused(tmp_path, text)
    assert f"unknown key `{key}`" in str(error)
    assert str(tmp_path / "site.toml") in str(error)
    assert near in error.hint


def test_an_unknown_key_that_is_near_to_nothing_lists_what_there_is(tmp_path: Path) -> None:
    hint = _refused(tmp_path, "zzz = 1\n" + GOOD).hint
    assert "data_dir" in hint
    assert "kafka" in hint


@pytest.mark.parametrize(
    ("text", "key", "wanted"),
    [
        (GOOD.replace('"aachen"', "5"), "name", "str"),
        (GOOD.replace('"data"', "true"), "data_dir", "Path"),
        (GOOD + "fetch_bytes = true\n", "kafka.fetch_bytes", "int"),
        (GOOD + "fetch_bytes = 1.5\n", "kafka.fetch_bytes", "int"),
        (GOOD + 'fetch_bytes = "5"\n', "kafka.fetch_bytes", "int"),
        ("share = 1\n" + GOOD, "share", "bool"),
        ('period_s = "long"\n' + GOOD, "period_s", "float"),
        ("period_s = true\n" + GOOD, "period_s", "float"),
        ('labels = "q"\n' + GOOD, "labels", "list"),
        ("labels = [1]\n" + GOOD, "labels[0]", "str"),
        ("studies = [1]\n" + GOOD, "studies[0]", "table"),
        (GOOD + '[[studies]]\nplan = "a"\ndata = "x"\noptions = {fold = 1}\n', "studies[0].options", "table of texts"),
        ('name = "x"\ndata_dir = "y"\nkafka = "localhost:9092"\n', "kafka", "table"),
        ('name = "x"\ndata_dir = "y"\nkafka = 5\n', "kafka", "table"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_key_and_type(
    tmp_path: Path, text: str, key: str, wanted: str
) -> None:
    message = str(_refused(tmp_path, text))
    assert f"`{key}` must be" in message
    assert wanted in message


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (GOOD.replace('name = "aachen"\n', ""), "name"),
        (GOOD.replace('bootstrap = "localhost:9092"\n', ""), "kafka.bootstrap"),
        ('name = "x"\ndata_dir = "y"\n', "kafka"),
        (GOOD + '[[studies]]\nplan = "a"\n', "studies[0].data"),
    ],
)
def test_a_missing_key_is_named(tmp_path: Path, text: str, key: str) -> None:
    assert f"`{key}` is missing" in str(_refused(tmp_path, text))


def test_a_rule_of_the_settings_themselves_is_a_setup_error_too(tmp_path: Path) -> None:
    assert "period_s must be above 0" in str(_refused(tmp_path, "period_s = 0\n" + GOOD))


def test_variables_override_the_file_in_the_type_of_their_key(tmp_path: Path) -> None:
    environ = {
        "WARDROUND_NAME": "bonn",
        "WARDROUND_KAFKA_BOOTSTRAP": "broker:1",
        "WARDROUND_KAFKA_FETCH_BYTES": "7",
        "WARDROUND_PERIOD_S": "2.5",
        "WARDROUND_SHARE": "False",
        "WARDROUND_PROXY": "p",
        "WARDROUND_LABELS": "a,b",
        "WARDROUND_DATA_DIR": "elsewhere",
    }
    assert _load(tmp_path, GOOD, environ) == Settings(
        "bonn", tmp_path / "elsewhere", Kafka("broker:1", 7), 2.5, False, "p", ("a", "b")
    )


def test_variables_alone_can_make_a_table_that_the_file_lacks(tmp_path: Path) -> None:
    environ = {"WARDROUND_KAFKA_BOOTSTRAP": "broker:1"}
    assert _load(tmp_path, 'name = "x"\ndata_dir = "y"\n', environ).kafka == Kafka("broker:1")


@pytest.mark.parametrize(
    ("variable", "value"),
    [("WARDROUND_KAFKA_FETCH_BYTES", "many"), ("WARDROUND_SHARE", "yes"), ("WARDROUND_PERIOD_S", "")],
)
def test_a_variable_of_the_wrong_type_is_named(tmp_path: Path, variable: str, value: str) -> None:
    assert variable in str(_refused(tmp_path, GOOD, {variable: value}))


def test_variables_that_are_not_ours_are_nobodys_business(tmp_path: Path) -> None:
    assert _load(tmp_path, GOOD, {"NAME": "x", "WARDROUND_REQUIRE_DATA": "1"}).name == "aachen"


def test_a_misspelt_variable_is_found_with_the_one_that_was_meant_and_those_of_others_are_left_alone() -> None:
    environ = {
        "WARDROUND_KAFKA_BOOTSTRP": "broker:1",
        "WARDROUND_STUDIES": "a",
        "WARDROUND_XYZZY": "1",
        "WARDROUND_KAFKA_BOOTSTRAP": "broker:1",
        "WARDROUND_KAFKA_HOME": "/opt/kafka",
        "WARDROUND_HEART_DATA": "/data",
        "HOME": "/root",
    }
    found = dict(strange_variables(Settings, environ))
    assert found.keys() == {"WARDROUND_KAFKA_BOOTSTRP", "WARDROUND_STUDIES", "WARDROUND_XYZZY"}
    assert found["WARDROUND_KAFKA_BOOTSTRP"] == "WARDROUND_KAFKA_BOOTSTRAP"
    assert found["WARDROUND_XYZZY"] == ""


def test_a_file_that_is_absent_says_how_to_name_it(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="no such settings file") as refused:
        load_settings(Settings, tmp_path / "none.toml", {})
    assert "--config" in refused.value.hint


def test_bad_toml_is_refused_with_its_line(tmp_path: Path) -> None:
    message = str(_refused(tmp_path, 'name = "x"\ndata_dir = = 3\n'))
    assert "not valid TOML" in message
    assert "line 2" in message


@pytest.mark.parametrize("content", [b"\xff\xfe\x00n", b'name = "\xe4"'])
def test_a_file_that_is_no_utf8_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "site.toml").write_bytes(content)
    with pytest.raises(LocalError, match="cannot be read"):
        load_settings(Settings, tmp_path / "site.toml", {})


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="cannot be read"):
        load_settings(Settings, tmp_path, {})
