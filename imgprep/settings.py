"""Settings: what the project file, the environment and the caller say, and where credentials come from.

Credentials are never part of a settings *value*: settings hold a provider, which is asked at the moment of use.
"""

from __future__ import annotations

import difflib
import ipaddress
import logging
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from imgprep.errors import ConfigError

PROJECT_FILE = "imgprep.toml"
WORK_FOLDER = "imgprep-work"


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key, with a token where it is a temporary one. Its repr shows nothing."""

    access_key_id: str = field(repr=False)
    access_key_secret: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)


class CredentialsProvider(Protocol):
    """Anything that can be asked for credentials; asked again whenever they are needed."""

    def credentials(self) -> Credentials:
        """Return credentials that are valid now, or raise ConfigError with the remedy."""
        ...


@dataclass(frozen=True, slots=True)
class StaticCredentials:
    """A provider that always answers the same. For sandboxes and tests."""

    value: Credentials = field(repr=False)

    def credentials(self) -> Credentials:
        """Return the credentials it was made with."""
        return self.value


@dataclass(frozen=True, slots=True)
class EnvironmentCredentials:
    """The vendors' usual chain: their environment variables, then their default chain (profile file, ECS role, …).

    Parameters
    ----------
    prefer_oss : bool
        Look at ``OSS_ACCESS_KEY_ID``, ``OSS_ACCESS_KEY_SECRET`` and ``OSS_SESSION_TOKEN`` first.
        ``ALIBABA_CLOUD_ACCESS_KEY_ID``, ``ALIBABA_CLOUD_ACCESS_KEY_SECRET`` and ``ALIBABA_CLOUD_SECURITY_TOKEN``
        come next in any case.
    variables_only : bool
        Stop after the variables: the vendor's chain asks the network for a role, which a sandbox never needs.
    """

    prefer_oss: bool = False
    variables_only: bool = False

    def credentials(self) -> Credentials:
        """Return what the chain finds.

        Raises
        ------
        ConfigError
            Nothing is set, or only half of a key.
        """
        sets = [("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN")]
        if self.prefer_oss:
            sets.insert(0, ("OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN"))
        for id_name, secret_name, token_name in sets:
            key_id, secret = os.environ.get(id_name), os.environ.get(secret_name)
            if bool(key_id) != bool(secret):
                missing = secret_name if key_id else id_name
                raise ConfigError(f"credentials: {missing} is not set, though its other half is; set both or neither")
            if key_id and secret:
                return Credentials(key_id, secret, os.environ.get(token_name) or None)
        if self.variables_only:
            raise self._none_found("; `imgprep sandbox` prints the sandbox's own")
        return self._vendor_chain()

    def _none_found(self, more: str) -> ConfigError:
        names = "OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET, or " if self.prefer_oss else ""
        return ConfigError(
            f"credentials: none found. Set {names}ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET{more}"
        )

    def _vendor_chain(self) -> Credentials:
        from alibabacloud_credentials.client import Client  # noqa: PLC0415  a heavy import, needed rarely

        chatter = logging.getLogger("credentials")  # the name that the vendor's package takes
        was, chatter.disabled = chatter.disabled, True
        try:
            found = Client().get_credential()
        except Exception as error:  # the chain raises whatever its last link raised
            raise self._none_found(", or configure the vendor's credentials file or an ECS role") from error
        finally:
            chatter.disabled = was
        return Credentials(found.access_key_id, found.access_key_secret, found.security_token or None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where things are: the shop's files, the bucket and folder, the instance. Frozen; make another with `with_`.

    Parameters
    ----------
    region : str
        Region id such as ``cn-shanghai``; endpoints left empty are derived from it.
    oss_endpoint, imagesearch_endpoint : str
        Host or URL; ``http://127.0.0.1:PORT`` for a sandbox.
    bucket : str
        The bucket, in the same region as the instance.
    path : str
        The folder of images and increment.meta, as the console wants it: starts with ``/``, does not end with it.
    instance : str
        The Image Search instance's name (not its id).
    role_arn : str
        The RAM role that the service assumes to read the folder: ``acs:ram::ACCOUNT:role/NAME``.
    callback : str
        Address that the service calls after a task; usually empty.
    service : str
        Service type of the instance, see `imgprep.fields.Service`.
    project : Path
        The project's folder; relative paths of the project file start here.
    catalogue, images : Path or None
        The export and the folder of its photographs.
    preset : str
        How to read the export, see `load_catalogue`.
    columns : Mapping, Path or None
        The column map, or a TOML file of one; see `load_catalogue`.
    severity : Mapping of str to str
        Rule id → severity, where the shop wants another than the rule's own.
    limits : Mapping of str to float
        Threshold name → value, where the shop wants another than the default.
    oss_credentials, imagesearch_credentials : CredentialsProvider
        Asked when needed; never shown, never written.
    """

    region: str = ""
    oss_endpoint: str = ""
    imagesearch_endpoint: str = ""
    bucket: str = ""
    path: str = ""
    instance: str = ""
    role_arn: str = ""
    callback: str = ""
    service: str = "product"
    project: Path = Path()
    catalogue: Path | None = None
    images: Path | None = None
    preset: str = "auto"
    columns: Mapping[str, Any] | Path | None = None
    severity: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    oss_credentials: CredentialsProvider = field(default=EnvironmentCredentials(prefer_oss=True), repr=False)
    imagesearch_credentials: CredentialsProvider = field(default=EnvironmentCredentials(), repr=False)

    def __post_init__(self) -> None:
        if not self.is_sandbox:
            return
        for name in ("oss_credentials", "imagesearch_credentials"):
            provider = getattr(self, name)
            if isinstance(provider, EnvironmentCredentials):
                object.__setattr__(self, name, replace(provider, variables_only=True))

    @classmethod
    def from_env(cls, **arguments: Any) -> Settings:
        """Settings from ``IMGPREP_…`` variables; `arguments` win over them."""
        return cls(**{**_environment(), **arguments})

    @classmethod
    def load(cls, project_file: str | Path = PROJECT_FILE, /, **arguments: Any) -> Settings:
        """Settings from a project file. `arguments` win over the environment, which wins over the file.

        Parameters
        ----------
        project_file : path
            The file, or the project's folder.

        Raises
        ------
        ConfigError
            The file is missing, is no TOML, has a name it should not have, or holds a secret.
        """
        file = Path(project_file)
        if file.is_dir():
            file = file / PROJECT_FILE
        try:
            document = tomllib.loads(file.read_text(encoding="utf-8-sig"))
        except FileNotFoundError:
            raise ConfigError(f"{file}: not found; `imgprep init` makes one") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file}: is not TOML: {error}") from error
        values = {**_from_document(document, file), **_environment(), **arguments}
        return cls(**{"project": file.parent, **values})

    def with_(self, **changes: Any) -> Settings:
        """Return a copy with `changes`."""
        return replace(self, **changes)

    @property
    def oss_url(self) -> str:
        """The OSS endpoint as a URL."""
        return _url(self.oss_endpoint or (f"oss-{self.region}.aliyuncs.com" if self.region else ""), "oss_endpoint")

    @property
    def imagesearch_url(self) -> str:
        """The Image Search endpoint as a URL."""
        host = self.imagesearch_endpoint or (f"imagesearch.{self.region}.aliyuncs.com" if self.region else "")
        return _url(host, "imagesearch_endpoint")

    @property
    def is_sandbox(self) -> bool:
        """Whether both endpoints are on this machine, so that nothing real can be changed."""
        if not (self.oss_endpoint and self.imagesearch_endpoint):
            return False
        return is_loopback(self.oss_url) and is_loopback(self.imagesearch_url)

    @property
    def prefix(self) -> str:
        """What every object key of the batch starts with: the path without outer slashes, then ``/``."""
        folder = self.path.strip("/")
        return f"{folder}/" if folder else ""

    @property
    def work(self) -> Path:
        """The folder of runs, regions and caches."""
        return self.project / WORK_FOLDER

    @property
    def runs(self) -> Path:
        """The folder of run folders."""
        return self.work / "runs"

    @property
    def regions(self) -> Path:
        """The region store's file."""
        return self.work / "regions.sqlite"

    def public(self) -> dict[str, str]:
        """Return what a run folder may hold: where things were sent, without any credential or local path."""
        names = ("region", "oss_endpoint", "imagesearch_endpoint", "bucket", "path", "instance", "role_arn", "service")
        return {name: getattr(self, name) for name in names}

    def require(self, *names: str) -> None:
        """Raise ConfigError, with the remedy for each, when one of `names` is empty."""
        missing = [name for name in names if not getattr(self, name)]
        if missing:
            remedies = "; ".join(f"{name}: set {_where(name)}" for name in missing)
            raise ConfigError(f"settings incomplete: {remedies}")


#: Table and key of the project file → name in Settings.
_FILE_KEYS: dict[str, dict[str, str]] = {
    "shop": {"catalogue": "catalogue", "images": "images", "preset": "preset", "columns": "columns"},
    "service": {
        "region": "region",
        "instance": "instance",
        "type": "service",
        "endpoint": "imagesearch_endpoint",
        "role_arn": "role_arn",
        "callback": "callback",
    },
    "oss": {"bucket": "bucket", "path": "path", "endpoint": "oss_endpoint"},
    "checks": {"severity": "severity", "limits": "limits"},
}

#: Environment variable → name in Settings.
_VARIABLES: dict[str, str] = {
    "IMGPREP_OSS_ENDPOINT": "oss_endpoint",
    "IMGPREP_IMAGESEARCH_ENDPOINT": "imagesearch_endpoint",
    "IMGPREP_REGION": "region",
    "IMGPREP_BUCKET": "bucket",
    "IMGPREP_PATH": "path",
    "IMGPREP_INSTANCE": "instance",
    "IMGPREP_ROLE_ARN": "role_arn",
}

_SECRETS = ("secret", "accesskey", "access_key", "password", "token")
_TABLES = ("columns", "severity", "limits")


def _environment() -> dict[str, Any]:
    return {name: os.environ[variable] for variable, name in _VARIABLES.items() if os.environ.get(variable)}


def _from_document(document: Mapping[str, Any], file: Path) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for table, entries in document.items():
        keys = _FILE_KEYS.get(table)
        if keys is None:
            raise ConfigError(f"{file}: {_unknown(f'[{table}]', table, _FILE_KEYS)}")
        if not isinstance(entries, Mapping):
            raise ConfigError(f"{file}: {table} must be a table: write [{table}] and its keys below it")
        for key, value in entries.items():
            if any(secret in key.lower() for secret in _SECRETS):
                raise ConfigError(
                    f"{file}: [{table}] {key}: secrets never belong in this file; take it out, change the key, and "
                    "set the vendors' environment variables"
                )
            if key not in keys:
                raise ConfigError(f"{file}: [{table}] {_unknown(key, key, keys)}")
            name = keys[key]
            wanted: type = dict if name in _TABLES else str
            if not isinstance(value, wanted):
                kind = "a table" if wanted is dict else "a text"
                raise ConfigError(f"{file}: [{table}] {key} = {value!r}: must be {kind}")
            if value != "":
                values[name] = file.parent / str(value) if name in ("catalogue", "images") else value
    return values


def _unknown(shown: str, name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"{shown}: unknown{f'; did you mean {close[0]}?' if close else ''} Known: {', '.join(known)}"


def _where(name: str) -> str:
    variable = next((variable for variable, value in _VARIABLES.items() if value == name), None)
    place = next(
        (
            f"{key} under [{table}]"
            for table, keys in _FILE_KEYS.items()
            for key, value in keys.items()
            if value == name
        ),
        f"the argument {name}",
    )
    return f"{place} in {PROJECT_FILE}" + (f", or the variable {variable}" if variable else "")


def _url(endpoint: str, name: str) -> str:
    if not endpoint:
        raise ConfigError(f"settings incomplete: region or {name}: set {_where('region')}")
    return endpoint if "://" in endpoint else f"https://{endpoint}"


def is_loopback(url: str) -> bool:
    """Whether `url` leads to this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
