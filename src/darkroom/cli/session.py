"""Where the service is and who asks: from the command line, the environment, or what a service left in its folder."""

import json
import os
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from darkroom.cli import output
from darkroom.cli.client import ANSWER_TIMEOUT, Api
from darkroom.cli.failures import Failure, NoService
from darkroom.settings import Settings


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """The part of the service's `credentials.json` that signing in by AK/SK needs."""

    access_key: str
    secret_key: str
    project_id: str
    project: str = ""
    user: str = ""


class Session:
    """The root options, and what follows from them once a command asks."""

    def __init__(
        self,
        *,
        data: Path | None = None,
        endpoint: str | None = None,
        credentials: Path | None = None,
        verbose: bool = False,
    ) -> None:
        self.given_data, self._endpoint, self._credentials = data, endpoint, credentials
        self.verbose = verbose
        self._opened = ExitStack()
        self._who: Credentials | None = None

    def settings(self, **given: Any) -> Settings:
        """Return the settings with what was given on the command line; options that are None do not count."""
        values = {name: value for name, value in given.items() if value is not None}
        if self.given_data:
            values.setdefault("data", self.given_data)
        try:
            return Settings(**values)
        except ValueError as error:
            raise Failure(f"The settings are wrong: {_settings_problem(error)}") from error
        except OSError as error:
            raise Failure(f"The settings file cannot be read: {error}") from error

    @property
    def data(self) -> Path:
        """The service's folder."""
        return self.given_data or self.settings().data

    @property
    def credentials_file(self) -> Path:
        return self._credentials or self.data / "credentials.json"

    @property
    def service_file(self) -> Path:
        return self.data / "service.json"

    def endpoint(self) -> str:
        """Return the service's base URL. Raises NoService where none is known."""
        if self._endpoint:
            return _checked_url(self._endpoint)
        try:
            found = json.loads(self.service_file.read_text())["endpoint"]
        except FileNotFoundError:
            raise NoService(
                "No Darkroom service is running here.",
                hint=f"Start one with `darkroom serve`, or name one with --endpoint. (No {self.service_file}.)",
            ) from None
        except PermissionError:
            raise NoService(
                f"You may not read {self.service_file}: the service there belongs to another user.",
                hint="Name the service with --endpoint and your own credentials file with --credentials.",
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NoService(f"{self.service_file} is damaged ({error}); restart the service.") from error
        return _checked_url(str(found))

    def credentials(self) -> Credentials:
        """Read the credentials file; warns when others may read it too. Raises Failure."""
        path = self.credentials_file
        try:
            mode, text = path.stat().st_mode, path.read_bytes()
        except FileNotFoundError:
            raise Failure(
                f"There are no credentials: {path} does not exist.",
                hint="A service writes this file into its folder when it first starts; "
                "name another one with --credentials.",
            ) from None
        except OSError as error:
            raise Failure(f"The credentials in {path} cannot be read: {error.strerror or error}.") from error
        if stat.S_IMODE(mode) & 0o077 and os.name == "posix":
            output.warn(f"Others can read {path}, which holds a secret key; run `chmod 600 {path}`.")
        try:
            return msgspec.json.decode(text, type=Credentials)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Failure(f"The credentials file {path} is damaged: {error}.") from error

    def api(self, *, patience: float = ANSWER_TIMEOUT) -> Api:
        """Return a client of the service that signs as the user of the credentials, open until `close`.

        Each answer may take `patience` seconds.
        """
        endpoint = self.endpoint()
        who = self._who = self._who or self.credentials()
        api = Api(
            endpoint,
            access_key=who.access_key,
            secret_key=who.secret_key,
            project_id=who.project_id,
            patience=patience,
        )
        return self._opened.enter_context(api)

    def close(self) -> None:
        """Close the connections of every client made here."""
        self._opened.close()


def _checked_url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise NoService(f"The endpoint must begin with http:// or https://, not {text!r}.")
    return text.rstrip("/")


def _settings_problem(error: ValueError) -> str:
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc'])}: {item['msg'].removeprefix('Value error, ')}"
        for item in error.errors()
    )
