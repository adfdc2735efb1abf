"""A PostgreSQL server for tests: made anew in a folder of its own, and quick, for it need not outlive a power loss."""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest

#: Seconds that starting or stopping may take on a busy machine.
PATIENCE = 60
_USER = "darkroom"
_OPTIONS = {"max_connections": "200", "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
#: Options of a server whose data need not outlive a power loss, and of one whose data must.
QUICK = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}
DURABLE: dict[str, str] = {}


class PostgresMissing(Exception):
    """PostgreSQL's programs are not installed. Install them: `apt-get install --no-install-recommends postgresql`."""

    def __str__(self) -> str:
        return str(self.__doc__)


def programs() -> Path:
    """Return the folder of PostgreSQL's programs, of its newest version. Raises PostgresMissing."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    found = str(debian[-1]) if debian else shutil.which("postgres")
    if not found:
        raise PostgresMissing
    return Path(found).resolve().parent


class Server:
    """One server over one folder; databases are made by name, also as copies of others."""

    def __init__(self, folder: Path, options: Mapping[str, str]) -> None:
        self._folder, self._programs, self._options = folder, programs(), {**_OPTIONS, **options}
        self._password, self._port = secrets.token_hex(16), _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)

    def url(self, database: str) -> str:
        return f"postgresql://{_USER}:{self._password}@127.0.0.1:{self._port}/{database}"

    @property
    def port(self) -> int:
        return self._port

    @property
    def version(self) -> str:
        with self.connect() as connection:
            return str(connection.execute("SHOW server_version").fetchone()[0]).split()[0]  # type: ignore[index]

    def make(self) -> None:
        """Make the server's files. Where we are root they belong to `nobody`: PostgreSQL refuses to run as root."""
        password = self._folder / "password"
        password.write_text(self._password)
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            for path in (self._folder, password):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
        words = ["-D", "data", "-U", _USER, "--pwfile=password", "--auth=scram-sha-256", "--encoding=UTF8", "--no-sync"]
        with (self._folder / "log").open("ab") as log:
            made = self._run("initdb", *words, log=log.fileno()).wait(PATIENCE)
        assert made == 0, self.log()

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        options = [f"--{name}={value}" for name, value in self._options.items()]
        with (self._folder / "log").open("ab") as log:
            self._process = self._run("postgres", "-D", "data", "-p", str(self._port), *options, log=log.fileno())
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def stop(self) -> None:
        """End the server at once, and with it every connection; what has been committed stays."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(PATIENCE)

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(self.url(database), autocommit=True, connect_timeout=PATIENCE)

    def create(self, template: str = "") -> str:
        """Make a database, empty or a copy of one that nobody is connected to; return its name."""
        name = f"darkroom_{os.getpid()}_{next(self._numbers)}"
        with closing(self.connect()) as connection:
            connection.execute(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))  # type: ignore[arg-type]
        return name

    def drop(self, database: str) -> None:
        """Remove a database, whoever is connected to it."""
        with closing(self.connect()) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")  # type: ignore[arg-type]

    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-4000:]

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *words: str, log: int) -> subprocess.Popen[bytes]:
        """Run a program that ends with this process, however that ends."""
        other = ["--reuid=nobody", f"--regid={pwd.getpwnam('nobody').pw_gid}", "--clear-groups"]
        guard = ["setpriv", "--pdeathsig=INT", *(other if os.geteuid() == 0 else [])]
        return subprocess.Popen(
            [*guard, self._programs / program, *words], cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log,
            stderr=log,
            env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}, start_new_session=True,
        )  # fmt: skip


@contextmanager
def running_server(options: Mapping[str, str] = QUICK) -> Iterator[Server]:
    """Run a server in a new folder; both are gone afterwards."""
    with ExitStack() as stack:
        # A short path that others may enter, which a test's own folder is not.
        folder = Path(tempfile.mkdtemp(prefix="darkroom-pg-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        server = Server(folder, options)
        server.make()
        stack.callback(server.stop)
        server.start()
        yield server


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """A PostgreSQL server for all tests of the session."""
    with running_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: Server) -> Iterator[str]:
    """A database of the test's own, empty."""
    name = postgres_server.create()
    yield postgres_server.url(name)
    postgres_server.drop(name)
