"""Settings: what the project file, the environment and the caller say, and where credentials come from.

Credentials are never part of a settings *value*: settings hold a provider, which is asked at the moment of use.
"""

from imgprep.settings.credentials import Credentials, CredentialsProvider, EnvironmentCredentials, StaticCredentials
from imgprep.settings.endpoints import certificates, is_loopback
from imgprep.settings.model import WORK_FOLDER, Settings
from imgprep.settings.sources import PROJECT_FILE

__all__ = [
    "PROJECT_FILE",
    "WORK_FOLDER",
    "Credentials",
    "CredentialsProvider",
    "EnvironmentCredentials",
    "Settings",
    "StaticCredentials",
    "certificates",
    "is_loopback",
]
