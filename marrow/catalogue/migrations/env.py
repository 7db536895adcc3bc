"""Run by Alembic: applies the steps of versions/ on the connection that `migrate` hands over."""

from alembic import context

from marrow.catalogue.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
