"""Scorings keep their answers; external cohorts are locked and opened; promotions are rows"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_NOTHING = sa.text("'{}'")


def upgrade() -> None:
    for name in ("answers", "facts"):
        # ADD COLUMN is one of the few things that SQLite alters in place.
        column = sa.Column(name, sa.JSON(), nullable=False, server_default=_NOTHING)
        op.add_column("scoring", column)
    op.create_table(
        "site_lock",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("smears", sa.Integer(), nullable=False),
        sa.Column("patients", sa.Integer(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("site", name=op.f("pk_site_lock")),
    )
    op.create_table(
        "opening",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("model_sha256", sa.Text(), nullable=False),
        sa.Column("cohort_sha256", sa.Text(), nullable=False),
        sa.Column("lock_sha256", sa.Text(), nullable=True),
        sa.Column("threshold", sa.JSON(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name=op.f("fk_opening_model_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_opening")),
    )
    op.create_table(
        "promotion",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("previous_id", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("is_forced", sa.Boolean(), nullable=False),
        sa.Column("is_rollback", sa.Boolean(), nullable=False),
        sa.Column("comparison", sa.JSON(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name=op.f("fk_promotion_model_id")),
        sa.ForeignKeyConstraint(
            ["previous_id"], ["model.id"], name=op.f("fk_promotion_previous_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotion")),
    )
