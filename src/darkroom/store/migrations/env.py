"""How Alembic reaches the database: over the connection that `migrate` hands it."""

from alembic import context

from darkroom.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # The job engine keeps tables of its own in the same database.
    include_name=lambda name, type_, _parents: type_ != "table" or name in metadata.tables,
)
with context.begin_transaction():
    context.run_migrations()
