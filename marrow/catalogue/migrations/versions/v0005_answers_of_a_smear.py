"""The calls of a smear, for what compares them with its labels"""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    calls = [f"call_{head}" for head in range(6)]
    op.create_index("ix_prediction_smear_id", "prediction", ["smear_id", *calls])
