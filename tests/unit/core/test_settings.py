"""Where settings come from, what is refused, and that credentials never show."""

from pathlib import Path

import pytest

from imgprep.core.credentials import Credentials, EnvironmentCredentials, StaticCredentials
from imgprep.core.errors import ConfigError
from imgprep.core.settings import Settings

VARIABLES = [
    "IMGPREP_OSS_ENDPOINT",
    "IMGPREP_IMAGESEARCH_ENDPOINT",
    "IMGPREP_REGION",
    "IMGPREP_BUCKET",
    "IMGPREP_PATH",
    "IMGPREP_INSTANCE",
    "IMGPREP_ROLE_ARN",
    "IMGPREP_GATEWAY_TIMEOUT",
    "IMGPREP_SANDBOX",
    "OSS_ACCESS_KEY_ID",
    "OSS_ACCESS_KEY_SECRET",
    "OSS_SESSION_TOKEN",
    "ALIBABA_CLOUD_ACCESS_KEY_ID",
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
    "ALIBABA_CLOUD_SECURITY_TOKEN",
]


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def project(tmp_path):
    def write(text):
        (tmp_path / "imgprep.toml").write_text(text, encoding="utf-8")
        return tmp_path

    return write


def test_arguments_win_over_environment_and_environment_over_file(project, monkeypatch):
    folder = project('[oss]\nbucket = "file"\npath = "/file"\n[service]\ninstance = "file"\n')
    monkeypatch.setenv("IMGPREP_BUCKET", "environment")
    monkeypatch.setenv("IMGPREP_PATH", "/environment")
    settings = Settings.load(folder, path="/argument")
    assert (settings.instance, settings.bucket, settings.path) == ("file", "environment", "/argument")


def test_paths_start_at_the_project_file(project):
    folder = project('[shop]\ncatalogue = "export.csv"\nimages = "photos"\n')
    settings = Settings.load(folder / "imgprep.toml")
    assert settings.catalogue == folder / "export.csv"
    assert settings.runs == folder / "imgprep-work" / "runs"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[oss]\nbukket = "x"\n', "did you mean bucket"),
        ("[servise]\n", "did you mean service"),
        ("[oss]\nbucket = 3\n", "must be a string"),
        ('oss = "x"\n', "must be a table"),
        ("[oss\n", "is not valid TOML"),
        ('[oss]\naccess_key_secret = "hush"\n', "secrets do not belong"),
    ],
)
def test_a_bad_project_file_is_answered_with_the_remedy(project, text, words):
    with pytest.raises(ConfigError, match=words) as caught:
        Settings.load(project(text))
    assert "hush" not in str(caught.value)


def test_a_missing_project_file_names_init(tmp_path):
    with pytest.raises(ConfigError, match="imgprep init"):
        Settings.load(tmp_path)


def test_endpoints_come_from_the_region_or_are_given():
    settings = Settings(region="cn-shanghai")
    assert settings.oss_url == "https://oss-cn-shanghai.aliyuncs.com"
    assert settings.imagesearch_url == "https://imagesearch.cn-shanghai.aliyuncs.com"
    assert Settings(oss_endpoint="http://127.0.0.1:99").oss_url == "http://127.0.0.1:99"
    with pytest.raises(ConfigError, match="IMGPREP_REGION"):
        _ = Settings().oss_url


@pytest.mark.parametrize(
    ("oss", "service", "sandbox"),
    [
        ("http://127.0.0.1:1", "http://localhost:1", True),
        ("http://127.0.0.1:1", "https://imagesearch.cn-shanghai.aliyuncs.com", False),
        ("http://127.0.0.1.evil.example", "http://127.0.0.1", False),
        ("", "", False),
    ],
)
def test_a_sandbox_is_one_only_where_both_ends_are_on_this_machine(oss, service, sandbox):
    assert Settings(region="cn-shanghai", oss_endpoint=oss, imagesearch_endpoint=service).is_sandbox is sandbox


@pytest.mark.parametrize(("path", "prefix"), [("/a/b", "a/b/"), ("/a/", "a/"), ("/", ""), ("", "")])
def test_keys_never_start_with_a_slash(path, prefix):
    assert Settings(path=path).prefix == prefix


def test_what_is_missing_is_reported_with_every_place_to_set_it():
    with pytest.raises(ConfigError, match=r"bucket under \[oss\] in imgprep.toml, or the variable IMGPREP_BUCKET"):
        Settings().require("bucket")
    Settings(bucket="b").require("bucket")


def test_credentials_come_from_the_vendors_variables(monkeypatch):
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "both-id")
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "both-secret")
    assert EnvironmentCredentials(prefer_oss=True).credentials() == Credentials("both-id", "both-secret")
    monkeypatch.setenv("OSS_ACCESS_KEY_ID", "oss-id")
    with pytest.raises(ConfigError, match="OSS_ACCESS_KEY_SECRET is not set"):
        EnvironmentCredentials(prefer_oss=True).credentials()
    monkeypatch.setenv("OSS_ACCESS_KEY_SECRET", "oss-secret")
    monkeypatch.setenv("OSS_SESSION_TOKEN", "token")
    assert EnvironmentCredentials(prefer_oss=True).credentials() == Credentials("oss-id", "oss-secret", "token")
    assert EnvironmentCredentials().credentials() == Credentials("both-id", "both-secret")


def test_no_repr_shows_a_credential():
    secret = Credentials("the-id", "the-secret", "the-token")
    settings = Settings(oss_credentials=StaticCredentials(secret), imagesearch_credentials=StaticCredentials(secret))
    shown = f"{secret!r} {secret} {StaticCredentials(secret)!r} {settings!r} {settings.public()}"
    assert "the-" not in shown


@pytest.mark.parametrize("endpoint", ["ftp://oss.example", "http://127.0.0.1:port", "https://", "http://[::1", "a b:c"])
def test_what_is_no_endpoint_is_named(endpoint):
    with pytest.raises(ConfigError, match="oss_endpoint"):
        _ = Settings(oss_endpoint=endpoint).oss_url


@pytest.mark.parametrize("value", ["two\nlines", "with space", "密", "tab\t"])
def test_credentials_that_no_header_can_hold_are_refused_without_being_shown(value):
    for fields in ((value, "s", None), ("i", value, None), ("i", "s", value)):
        with pytest.raises(ConfigError, match="line break") as caught:
            Credentials(*fields)
        assert value not in str(caught.value)


def test_the_line_break_that_a_file_of_a_secret_ends_with_is_taken_off(monkeypatch):
    for name, value in (("ID", "id\n"), ("SECRET", " secret\r\n")):
        monkeypatch.setenv(f"OSS_ACCESS_KEY_{name}", value)
    monkeypatch.setenv("OSS_SESSION_TOKEN", "\n")
    found = EnvironmentCredentials(prefer_oss=True).credentials()
    assert (found.access_key_id, found.access_key_secret, found.security_token) == ("id", "secret", None)


def test_paths_may_be_given_as_text():
    settings = Settings(project="shop", catalogue="export.csv")
    assert settings.runs == Path("shop") / "imgprep-work" / "runs"
    assert settings.catalogue == Path("export.csv")


def test_the_gateway_timeout_is_a_positive_number_wherever_it_is_set(project, monkeypatch):
    assert Settings().gateway_timeout == 120
    folder = project("[service]\ngateway_timeout = 300\n")
    assert Settings.load(folder).gateway_timeout == 300
    monkeypatch.setenv("IMGPREP_GATEWAY_TIMEOUT", "7.5")
    assert Settings.load(folder).gateway_timeout == 7.5
    for wrong in ("soon", "0", "-1", "inf", "nan"):
        monkeypatch.setenv("IMGPREP_GATEWAY_TIMEOUT", wrong)
        with pytest.raises(ConfigError, match=r"not a positive number of seconds; set gateway_timeout under .service."):
            Settings.load(folder)
    with pytest.raises(ConfigError, match="gateway_timeout = '300': must be a number"):
        Settings.load(project('[service]\ngateway_timeout = "300"\n'))
