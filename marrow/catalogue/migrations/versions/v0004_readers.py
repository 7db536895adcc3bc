"""Blind readers, adjudicated labels and flags; the morning worklist as an order; stopped runs"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_STANDING = sa.text("superseded_at IS NULL")
# As `marrow.catalogue.worklist` reckons it for new predictions.
_WORKLIST = """
UPDATE prediction SET worklist = top_p + CASE
    WHEN flags LIKE '%heads-disagree%' THEN 0
    WHEN flags LIKE '%unsure%' THEN 1
    WHEN flags LIKE '%unlike-training%' THEN 2
    ELSE 3 END
"""


def upgrade() -> None:
    # ADD COLUMN is one of the few things that SQLite alters in place.
    adjudicated: sa.Column[bool] = sa.Column(
        "is_adjudicated", sa.Boolean(), nullable=False, server_default=sa.false()
    )
    op.add_column("label", adjudicated)
    op.drop_index("uq_label_standing", "label")
    op.create_index(
        "uq_label_standing",
        "label",
        ["smear_id", "head", "reader", "is_adjudicated"],
        unique=True,
        sqlite_where=_STANDING,
        postgresql_where=_STANDING,
    )
    op.create_table(
        "smear_flag",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("smear_id", sa.Integer(), nullable=False),
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("cleared_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["smear_id"], ["smear.id"], name=op.f("fk_smear_flag_smear_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_smear_flag")),
    )
    op.create_index(op.f("ix_smear_flag_smear_id"), "smear_flag", ["smear_id"])
    op.create_table(
        "stopped_run",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("run", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_stopped_run_job_id")),
        sa.PrimaryKeyConstraint("job_id", "run", name=op.f("pk_stopped_run")),
    )
    worklist: sa.Column[float] = sa.Column(
        "worklist", sa.Double(), nullable=False, server_default=sa.text("0")
    )
    op.add_column("prediction", worklist)
    op.execute(_WORKLIST)
    carried = [f"call_{head}" for head in range(6)]
    op.create_index("ix_prediction_worklist", "prediction", ["worklist", "smear_id", *carried])
