"""Migrations bring any database to the tables as they are written down, and back."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from darkroom.store.migrate import FOLDER, TooNew, migrate
from darkroom.store.tables import metadata


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    # Per cent signs and blanks are allowed in a folder's name.
    folder = tmp_path / "100% data"
    folder.mkdir()
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(folder / "darkroom.db")))
    yield engine
    engine.dispose()


def config(connection: sa.Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def differences(engine: sa.Engine) -> list[object]:
    with engine.connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))


def described(engine: sa.Engine) -> dict[str, object]:
    """Return all that the database says of its tables: columns with types and defaults, keys, indexes."""
    inspector = sa.inspect(engine)
    return {
        table: (
            [{**column, "type": str(column["type"])} for column in inspector.get_columns(table)],
            inspector.get_pk_constraint(table),
            sorted(inspector.get_unique_constraints(table), key=str),
            sorted(inspector.get_indexes(table), key=str),
        )
        for table in metadata.tables
    }


def tables(engine: sa.Engine) -> set[str]:
    return set(sa.inspect(engine).get_table_names()) - {"alembic_version", "sqlite_sequence"}


def test_a_fresh_database_has_the_tables_as_they_are_written_down(engine: sa.Engine) -> None:
    migrate(engine)
    assert differences(engine) == []
    assert tables(engine) == set(metadata.tables)
    made_directly = sa.create_engine("sqlite://")
    metadata.create_all(made_directly)
    assert described(engine) == described(made_directly)
    made_directly.dispose()


def test_numbers_of_events_are_never_given_twice(engine: sa.Engine) -> None:
    """The last number stays taken although its row has gone: a reader goes on after the last one it has seen."""
    migrate(engine)
    insert = sa.text("INSERT INTO events (at, project_id, kind) VALUES (1, 'p', 'k') RETURNING seq")
    with engine.begin() as connection:
        first = connection.execute(insert).scalar_one()
        connection.execute(sa.text("DELETE FROM events"))
        assert connection.execute(insert).scalar_one() == first + 1


def test_a_table_too_few_would_be_noticed(engine: sa.Engine) -> None:
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE access_keys"))
        connection.execute(sa.text("ALTER TABLE jobs ADD COLUMN surplus TEXT"))
    assert len(differences(engine)) == 2


def test_migrating_again_changes_nothing(engine: sa.Engine) -> None:
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO accounts (id, name) VALUES ('a', 'acme')"))
    migrate(engine)
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT name FROM accounts")).scalars().all() == ["acme"]


def test_a_database_goes_back_to_nothing_and_forth_again(engine: sa.Engine) -> None:
    migrate(engine)
    with engine.begin() as connection:
        command.downgrade(config(connection), "base")
    assert tables(engine) == set()
    migrate(engine)
    assert differences(engine) == []


def test_every_migration_can_be_undone_and_done_again(engine: sa.Engine) -> None:
    script = ScriptDirectory(str(FOLDER))
    assert len(script.get_heads()) == 1, "there is one line of migrations"
    revisions = [revision.revision for revision in script.walk_revisions()][::-1]
    for revision in revisions:
        for target in (revision, "-1", revision):
            with engine.begin() as connection:
                run = command.downgrade if target == "-1" else command.upgrade
                run(config(connection), target)
    assert differences(engine) == []


def test_tables_of_others_are_left_alone(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE workflow_status (id TEXT)"))
    migrate(engine)
    with engine.begin() as connection:
        command.downgrade(config(connection), "base")
    assert tables(engine) == {"workflow_status"}


def test_roles_of_users_become_grants_and_back(engine: sa.Engine) -> None:
    def run(sql: str) -> list[tuple[object, ...]]:
        with engine.begin() as connection:
            result = connection.execute(sa.text(sql))
            return [tuple(row) for row in result] if result.returns_rows else []

    def move(change: Callable[[Config, str], object], target: str) -> None:
        with engine.begin() as connection:
            change(config(connection), target)

    move(command.upgrade, "0001")
    run("INSERT INTO accounts (id, name) VALUES ('a', 'acme')")
    for user, roles in (("u1", '["te_admin"]'), ("u2", '["readonly", "other", "other"]'), ("u3", "[]")):
        run(f"INSERT INTO users VALUES ('{user}', 'a', '{user}', 'hash', '{roles}', 1)")
    move(command.upgrade, "0002")
    grants = [("u1", "", "te_admin"), ("u2", "", "other"), ("u2", "", "readonly")]
    assert run("SELECT * FROM grants ORDER BY user_id, role") == grants
    assert run("SELECT name, enabled, main FROM accounts") == [("acme", 1, 1)]
    assert run("SELECT id, enabled, tokens_from FROM users ORDER BY id") == [("u1", 1, 0), ("u2", 1, 0), ("u3", 1, 0)]
    assert run("SELECT * FROM identity_revision") == [(1, 0)]
    run("INSERT INTO grants VALUES ('u3', 'p', 'operator')")
    move(command.downgrade, "0001")
    assert run("SELECT id, password_hash, roles, enabled FROM users ORDER BY id") == [
        ("u1", "hash", '["te_admin"]', 1), ("u2", "hash", '["other", "readonly"]', 1), ("u3", "hash", "[]", 1),
    ]  # fmt: skip


def test_tables_of_a_later_version_are_left_alone(engine: sa.Engine) -> None:
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(sa.text("DROP TABLE grants"))
    with pytest.raises(TooNew):
        migrate(engine)
    assert not sa.inspect(engine).has_table("grants")
