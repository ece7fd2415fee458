"""Settings of a shop, from arguments, the environment, or imgprep.toml."""

from __future__ import annotations

import ipaddress
import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from imgprep.core.credentials import CredentialsProvider, EnvironmentCredentials
from imgprep.core.errors import ConfigError
from imgprep.core.service_facts import FACTS_FILE, ServiceFacts, load_facts
from imgprep.core.text import did_you_mean

PROJECT_FILE = "imgprep.toml"
#: Languages of panels, pages and labels; see `imgprep.core.language`.
LANGUAGES = ("en", "zh")

#: Table and key in the project file → name in Settings.
_FILE_KEYS: dict[str, dict[str, str]] = {
    "shop": {
        name: name
        for name in (
            *("catalogue", "earlier", "images", "preset", "columns", "sheet", "where", "one_product"),
            *("images_endpoint", "causes", "private_hosts", "language"),
        )
    },
    "service": {
        **{name: name for name in ("region", "instance", "role_arn", "role_policy", "role_trust", "callback")},
        **{name: name for name in ("gateway_timeout", "status_timeout")},
        **{"type": "service", "endpoint": "imagesearch_endpoint"},
    },
    "oss": {"bucket": "bucket", "path": "path", "endpoint": "oss_endpoint", "policy": "uploader_policy"},
    "cluster": {"address": "cluster"},
    "checks": {"severity": "severity", "limits": "limits"},
}

#: Environment variable → name in Settings.
_VARIABLES: dict[str, str] = {
    f"IMGPREP_{name.upper()}": name
    for name in (
        *("region", "bucket", "path", "instance", "role_arn"),
        *("oss_endpoint", "imagesearch_endpoint", "images_endpoint", "gateway_timeout"),
        *("status_timeout", "sandbox", "cluster", "language"),
    )
}

_SECRETS = ("secret", "accesskey", "access_key", "password", "token")
_PATHS = ("catalogue", "earlier", "images", "causes", "role_policy", "role_trust", "uploader_policy")
_TABLES = ("columns", "severity", "limits")
_NUMBERS = ("gateway_timeout", "status_timeout")
#: Name → types of its value in the project file, and their description; every other value is a string.
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(_TABLES, ((dict,), "a table")),
    **dict.fromkeys(_NUMBERS, ((int, float), "a number")),
    "sheet": ((str, int), "the name or number of a sheet"),
    **dict.fromkeys(("one_product", "private_hosts"), ((bool,), "true or false")),
}
#: Settings recorded in a run folder: neither credentials nor local paths.
_PLACE = ("region", "oss_endpoint", "imagesearch_endpoint", "bucket", "path", "instance")
PUBLIC = (*_PLACE, "role_arn", "service", "sandbox")


WORK_FOLDER = "imgprep-work"
#: Default gateway timeout, longer than the usual timeouts of proxies and load balancers (60 s).
GATEWAY_SECONDS = 120.0
#: Seconds after which an unchanged undocumented task status is considered final.
STATUS_SECONDS = 600.0


#: The address of images in OSS. A Path merges slashes, and on Windows turns them into backslashes.
_OSS = re.compile(r"oss:[/\\]+(?P<bucket>[^/\\]+)(?:[/\\]+(?P<prefix>.*))?", re.DOTALL)


def is_oss(root: object) -> bool:
    """Return whether `root` is an address in OSS: ``oss://BUCKET/PREFIX``."""
    return isinstance(root, str | os.PathLike) and os.fspath(root).startswith(("oss:/", "oss:\\"))


@dataclass(frozen=True, slots=True)
class OssRoot(os.PathLike[str]):
    """A folder of images in OSS, and how to reach it. Pickled without credentials: a process uses its own."""

    bucket: str
    prefix: str = ""  #: empty, or ends with ``/``
    endpoint: str = ""
    region: str = ""
    credentials: CredentialsProvider = field(default=EnvironmentCredentials(prefer_oss=True), repr=False, compare=False)

    @classmethod
    def parse(cls, address: str | os.PathLike[str], settings: Settings | None = None) -> OssRoot:
        """Return the root at ``oss://BUCKET/PREFIX``, with access from `settings` (default: the environment)."""
        match = _OSS.fullmatch(os.fspath(address))
        if match is None:
            raise ConfigError(f"images {os.fspath(address)}: is not an address in OSS; use oss://BUCKET/FOLDER")
        prefix = (match["prefix"] or "").rstrip("/")
        if {".", ".."} & set(prefix.split("/")):
            raise ConfigError(f"images {os.fspath(address)}: . and .. are not folders in OSS; use the folder's name")
        settings = settings or Settings.from_env()
        endpoint = settings.images_endpoint or settings.oss_endpoint
        region = settings.region
        if settings.images_endpoint:
            named = _REGION_OF.match(endpoint.rpartition("://")[2])
            region = named[1] if named else ""
        prefix = f"{prefix}/" if prefix else ""
        return cls(match["bucket"], prefix, endpoint, region, settings.oss_credentials)

    @property
    def settings(self) -> Settings:
        """The settings of a client for the bucket."""
        credentials = self.credentials
        settings = Settings(region=self.region, oss_endpoint=self.endpoint, bucket=self.bucket)
        if isinstance(credentials, EnvironmentCredentials) and is_loopback(settings.oss_url):
            credentials = replace(credentials, variables_only=True)
        return settings.with_(oss_credentials=credentials)

    def __fspath__(self) -> str:
        return f"oss://{self.bucket}/{self.prefix}".rstrip("/")

    def __str__(self) -> str:
        return self.__fspath__()

    def __reduce__(self) -> tuple[type[OssRoot], tuple[str, ...]]:
        return OssRoot, (self.bucket, self.prefix, self.endpoint, self.region)


#: Settings needed to reach images in OSS.
_REACHES = frozenset({"region", "oss_endpoint", "images_endpoint", "oss_credentials"})
#: Source: OSS, endpoints: oss-REGION.aliyuncs.com, oss-REGION-internal.aliyuncs.com.
_REGION_OF = re.compile(r"oss-([a-z0-9-]+?)(?:-internal)?\.aliyuncs\.com")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A shop's files, bucket, folder, instance and rules. Frozen; `with_` returns a changed copy.

    Parameters
    ----------
    region : str
        Region id such as ``cn-shanghai``; empty endpoints are derived from it.
    oss_endpoint, imagesearch_endpoint : str
        Host or URL; ``http://127.0.0.1:PORT`` for a sandbox.
    bucket : str
        Bucket, in the same region as the instance.
    path : str
        Folder in the bucket for the images and increment.meta; starts with ``/`` and does not end with it.
    instance : str
        Name of the Image Search instance (not its id).
    role_arn : str
        RAM role that the service assumes to read the folder: ``acs:ram::ACCOUNT:role/NAME``.
    role_policy, role_trust, uploader_policy : Path or None
        RAM documents as shown in the console (JSON files), for `preflight` to evaluate: what the role may read, who
        may assume it, and what the uploader may do.
    callback : str
        URL that the service calls after a task; usually empty.
    gateway_timeout : float
        Longest time, in seconds, for which a gateway may delay a request. If the response to a request for a batch
        task is lost, `submit` waits this long before it sends another request.
    status_timeout : float
        Seconds for which an undocumented task status must stay unchanged before the run ends.
    service : str
        Service type of the instance; see `imgprep.core.fields.Service`.
    sandbox : str
        Identity of the sandbox behind the endpoints (`Sandbox.identity`); every sandbox has its own gallery.
    project : Path
        Project folder; relative paths in the project file are resolved against it.
    catalogue : Path or None
        The catalogue export.
    images : Path, OssRoot or None
        The folder or zip archive of its images, or their address in OSS: ``oss://BUCKET/FOLDER``.
    images_endpoint : str
        Endpoint of the bucket in `images`, if it is not in `region`: ``oss-cn-beijing.aliyuncs.com``.
    earlier : Path or None
        The previous export, for comparison; by default the catalogue of the newest run.
    preset : str
        Preset for reading the export; see `load_catalogue`.
    columns : Mapping, Path or None
        Column map, or a TOML file that contains one; see `load_catalogue`.
    sheet, where, one_product
        The workbook sheet, the row filter, and whether to keep one product per image; see `load_catalogue`.
    cluster : str
        What does the work on images instead of processes on this machine: a Dask scheduler's address, such as
        ``tcp://HOST:8786``, or ``local:N`` for N workers on this machine.
    causes : Path or None
        TOML file of failure causes added by the shop; see `load_causes`.
    private_hosts : bool
        Whether the export may refer to images on this machine and in private networks; see `fetch_images`.
    language : str
        Language of panels, pages, causes, rule titles and remedies: ``en`` or ``zh``. Values in frames stay English.
    severity : Mapping of str to str
        Rule id → severity, for rules whose default severity the shop overrides.
    limits : Mapping of str to float
        Threshold name → value, for defaults that the shop overrides.
    oss_credentials, imagesearch_credentials : CredentialsProvider
        Providers, called when credentials are needed; never shown or written.

    Examples
    --------
    >>> settings = ip.Settings(region="cn-shanghai", bucket="shop-pictures", path="/increment", instance="shop")
    >>> settings.path
    '/increment'
    >>> settings.prefix
    'increment/'
    >>> settings.rules
    {'service': 'product', 'severity': {}, 'limits': {}}
    """

    region: str = ""
    oss_endpoint: str = ""
    imagesearch_endpoint: str = ""
    bucket: str = ""
    path: str = ""
    instance: str = ""
    role_arn: str = ""
    role_policy: Path | None = None
    role_trust: Path | None = None
    uploader_policy: Path | None = None
    callback: str = ""
    gateway_timeout: float = GATEWAY_SECONDS
    status_timeout: float = STATUS_SECONDS
    service: str = "product"
    sandbox: str = ""
    project: Path = Path()
    catalogue: Path | None = None
    earlier: Path | None = None
    images: Path | OssRoot | None = None
    images_endpoint: str = ""
    preset: str = "auto"
    columns: Mapping[str, Any] | Path | None = None
    sheet: str | int | None = None
    where: str | None = None
    one_product: bool = False
    cluster: str = ""
    causes: Path | None = None
    private_hosts: bool = False
    language: str = "en"
    severity: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    oss_credentials: CredentialsProvider = field(default=EnvironmentCredentials(prefer_oss=True), repr=False)
    imagesearch_credentials: CredentialsProvider = field(default=EnvironmentCredentials(), repr=False)

    def __post_init__(self) -> None:
        if is_oss(self.images) and not isinstance(self.images, OssRoot):
            object.__setattr__(self, "images", OssRoot.parse(self.images, self))  # type: ignore[arg-type]  # see is_oss
        for name in (*_PATHS, "project", "columns"):
            if isinstance(value := getattr(self, name), str):
                object.__setattr__(self, name, Path(value))
        if self.language not in LANGUAGES:
            hint = did_you_mean(self.language, LANGUAGES, cutoff=0.5)
            place = where_to_set("language")
            raise ConfigError(f"language {self.language!r}: unknown{hint}; known: {', '.join(LANGUAGES)}; set {place}")
        for name in _NUMBERS:
            object.__setattr__(self, name, _seconds(name, getattr(self, name)))
        if not self.is_sandbox:
            return
        for name in ("oss_credentials", "imagesearch_credentials"):
            provider = getattr(self, name)
            if isinstance(provider, EnvironmentCredentials):
                object.__setattr__(self, name, replace(provider, variables_only=True))

    @classmethod
    def from_env(cls, **arguments: Any) -> Settings:
        """Return settings from ``IMGPREP_…`` variables; `arguments` take precedence."""
        return cls(**{**from_environment(), **arguments})

    @classmethod
    def load(cls, project_file: str | Path = PROJECT_FILE, /, **arguments: Any) -> Settings:
        """Load settings from a project file. Precedence: `arguments`, then the environment, then the file.

        Parameters
        ----------
        project_file : path
            The project file, or the project folder.

        Raises
        ------
        ConfigError
            The file is missing, is not TOML, or contains an unknown key or a secret.
        """
        file = Path(project_file)
        if file.is_dir():
            file = file / PROJECT_FILE
        try:
            document = tomllib.loads(file.read_text(encoding="utf-8-sig"))
        except FileNotFoundError:
            raise ConfigError(f"{file}: not found; `imgprep init` creates one") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{file}: is not valid TOML: {error}; put text in quotes, and use each key only once"
            ) from error
        values = {**from_document(document, file), **from_environment(), **arguments}
        return cls(**{"project": file.parent, **values})

    def with_(self, **changes: Any) -> Settings:
        """Return a copy with `changes` applied."""
        if isinstance(self.images, OssRoot) and not _REACHES.isdisjoint(changes):
            changes = {"images": os.fspath(self.images), **changes}
        return replace(self, **changes)

    @property
    def oss_url(self) -> str:
        """The OSS endpoint as a URL."""
        return endpoint_url(
            self.oss_endpoint or (f"oss-{self.region}.aliyuncs.com" if self.region else ""), "oss_endpoint"
        )

    @property
    def imagesearch_url(self) -> str:
        """The Image Search endpoint as a URL."""
        host = self.imagesearch_endpoint or (f"imagesearch.{self.region}.aliyuncs.com" if self.region else "")
        return endpoint_url(host, "imagesearch_endpoint")

    @property
    def is_sandbox(self) -> bool:
        """Whether both endpoints are on this machine, so that no real gallery can be changed."""
        if not (self.oss_endpoint and self.imagesearch_endpoint):
            return False
        return is_loopback(self.oss_url) and is_loopback(self.imagesearch_url)

    @property
    def gallery(self) -> str:
        """The gallery's identity: instance and region, or the sandbox. Runs with the same identity are combined."""
        name = self.instance or "no instance"
        if self.is_sandbox:
            return f"{name} (sandbox {self.sandbox or urlsplit(self.imagesearch_url).netloc})"
        return f"{name} in {self.region}" if self.region else name

    @property
    def prefix(self) -> str:
        """Prefix of every object key in the batch: the path without outer slashes, followed by ``/``."""
        folder = self.path.strip("/")
        return f"{folder}/" if folder else ""

    @property
    def target(self) -> str | None:
        """The address in OSS that batches are uploaded to; None without a bucket."""
        return f"oss://{self.bucket}/{self.prefix}".rstrip("/") if self.bucket else None

    @property
    def work(self) -> Path:
        """The folder for runs, regions and caches."""
        return self.project / WORK_FOLDER

    @property
    def runs(self) -> Path:
        """The folder that contains the run folders."""
        return self.work / "runs"

    @property
    def regions(self) -> Path:
        """The file of the region store."""
        return self.work / "regions.sqlite"

    @property
    def reading(self) -> dict[str, Any]:
        """The arguments for `load_catalogue` to read the shop's exports."""
        return {name: getattr(self, name) for name in ("preset", "columns", "sheet", "where", "one_product")}

    @property
    def facts_file(self) -> Path:
        """The file of what `calibrate` measured."""
        return self.project / FACTS_FILE

    @property
    def measured(self) -> ServiceFacts | None:
        """What `calibrate` measured on this instance, if anything; another instance's file does not count."""
        facts = load_facts(self.facts_file) if self.instance and self.facts_file.is_file() else None
        return facts if facts is not None and facts.gallery == self.gallery else None

    @property
    def rules(self) -> dict[str, Any]:
        """The shop's ``service``, ``severity`` and ``limits``, as arguments for `check` and `Rules`.

        If `calibrate` has measured the instance, its severities and limits apply where the shop sets none.
        """
        own = {"service": self.service, "severity": self.severity, "limits": self.limits}
        if (facts := self.measured) is None:
            return own
        severity, limits = {**facts.severity, **self.severity}, {**facts.limits, **self.limits}
        return {**own, "severity": severity, "limits": limits, "measured": tuple(facts.severity)}

    def public(self) -> dict[str, str]:
        """Return the settings recorded in a run folder, without credentials and local paths."""
        return {name: getattr(self, name) for name in PUBLIC}

    def require(self, *names: str) -> None:
        """Raise ConfigError if one of `names` is empty."""
        missing = [name for name in names if not getattr(self, name)]
        if missing:
            remedies = "; ".join(f"{name}: set {where_to_set(name)}" for name in missing)
            raise ConfigError(f"settings incomplete: {remedies}")


class HasSettings(Protocol):
    """An object with settings, such as a project."""

    @property
    def settings(self) -> Settings:
        """The settings."""


def settings_of(owner: Settings | HasSettings) -> Settings:
    """Return the settings of a project; settings are returned unchanged."""
    return owner if isinstance(owner, Settings) else owner.settings


def from_environment() -> dict[str, Any]:
    """Return the settings from the ``IMGPREP_…`` variables."""
    return {name: os.environ[variable] for variable, name in _VARIABLES.items() if os.environ.get(variable)}


def from_document(document: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Return the settings from a project file; relative paths are resolved against the folder of `file`."""
    values: dict[str, Any] = {}
    for table, entries in document.items():
        if table == "language":  # this key may also be above the tables, because it is not about the shop alone
            table, entries = "shop", {table: entries}  # noqa: PLW2901
        keys = _FILE_KEYS.get(table)
        if keys is None:
            raise ConfigError(f"{file}: {_unknown(f'[{table}]', table, _FILE_KEYS)}")
        if not isinstance(entries, Mapping):
            raise ConfigError(f"{file}: {table} must be a table: start it with [{table}], and put its keys below")
        for key, value in entries.items():
            if any(secret in key.lower() for secret in _SECRETS):
                raise ConfigError(
                    f"{file}: [{table}] {key}: secrets do not belong in this file; remove this line, replace the key, "
                    "and set the vendor's environment variables"
                )
            if key not in keys:
                raise ConfigError(f"{file}: [{table}] {_unknown(key, key, keys)}")
            name = keys[key]
            types, kind = _KINDS.get(name, ((str,), "a string"))
            if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
                raise ConfigError(f"{file}: [{table}] {key} = {value!r}: must be {kind}")
            if value != "":
                values[name] = file.parent / str(value) if name in _PATHS and not is_oss(value) else value
    return values


def _unknown(shown: str, name: str, known: Mapping[str, Any]) -> str:
    return f"{shown}: unknown{did_you_mean(name, known)}; known: {', '.join(known)}"


def where_to_set(name: str) -> str:
    """Describe where a setting can be set, for messages."""
    variable = next((variable for variable, value in _VARIABLES.items() if value == name), None)
    names = {value: f"{key} under [{table}]" for table, keys in _FILE_KEYS.items() for key, value in keys.items()}
    place = names.get(name, f"the argument {name}")
    return f"{place} in {PROJECT_FILE}" + (f", or the variable {variable}" if variable else "")


def endpoint_url(endpoint: str, name: str) -> str:
    """Return an endpoint as a URL; `name` is the setting that contains it."""
    if not endpoint:
        raise ConfigError(f"settings incomplete: region or {name}: set {where_to_set('region')}")
    url = endpoint if "://" in endpoint else f"https://{endpoint}"
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is not a number, a broken IPv6 address
        good = False
    if not good:
        raise ConfigError(f"{name} {endpoint!r}: is not an endpoint; use a host, or http(s)://HOST[:PORT]")
    return url


#: The random part of a sandbox's identity.
_RANDOM = re.compile(r"-[0-9a-f]{8}(?=\))")


def gallery_name(gallery: str) -> str:
    """Return a gallery's display name: its identity without a sandbox's random part.

    Examples
    --------
    >>> gallery_name("demo (sandbox rehearsal-3f2a91c0)")
    'demo (sandbox rehearsal)'
    """
    return _RANDOM.sub("", gallery)


def is_loopback(url: str) -> bool:
    """Return whether `url` is on this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


#: Source: the vendor's lists of OSS and Image Search endpoints. Other aliyuncs.com hosts may belong to customers.
_VENDORS_HOST = re.compile(r"(oss-[a-z0-9-]+|imagesearch(-vpc)?\.[a-z0-9-]+)\.aliyuncs\.com(:443)?", re.IGNORECASE)


def is_vendors(url: str) -> bool:
    """Return whether `url` is an https endpoint of the vendor."""
    parts = urlsplit(url)
    return parts.scheme == "https" and _VENDORS_HOST.fullmatch(parts.netloc) is not None


def certificates() -> str | None:
    """Return the certificate file or folder set in the environment, if any."""
    for variable in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        path = os.environ.get(variable)
        if not path:
            continue
        if not os.path.exists(path):  # noqa: PTH110  passed on unchanged
            raise ConfigError(f"{variable}: {path} does not exist; use a certificate file (PEM), or unset the variable")
        return path
    return None


def _seconds(name: str, value: object) -> float:
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ConfigError(f"{name} {value!r} is not a positive number of seconds; set {where_to_set(name)}")
    return seconds


def find_project(start: Path | None = None) -> Path | None:
    """Return the nearest folder with a project file, from `start` (default: the current folder) upward."""
    start = start or Path.cwd()
    return next((folder for folder in (start, *start.parents) if (folder / PROJECT_FILE).is_file()), None)
