"""The first schema"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "job",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("priority", sa.Text(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("last_seq", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("night", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("opens_at", sa.Double(), nullable=True),
        sa.Column("closes_at", sa.Double(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("kind IN ('classify', 'sweep')", name=op.f("ck_job_kind")),
        sa.CheckConstraint(
            "priority IN ('interactive', 'overnight')", name=op.f("ck_job_priority")
        ),
        sa.CheckConstraint(
            "state IN ('waiting', 'running', 'cancelling', 'cancelled', 'done', 'failed')",
            name=op.f("ck_job_state"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
    )
    op.create_index(op.f("ix_job_state"), "job", ["state"], unique=False)
    op.create_table(
        "provenance",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provenance")),
        sa.UniqueConstraint("text", name=op.f("uq_provenance_text")),
    )
    op.create_table(
        "smear",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("root", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("members", sa.JSON(), nullable=False),
        sa.Column("height_px", sa.Integer(), nullable=False),
        sa.Column("width_px", sa.Integer(), nullable=False),
        sa.Column("is_slide", sa.Boolean(), nullable=False),
        sa.Column("pixel_size_um", sa.Double(), nullable=True),
        sa.Column("patient", sa.Text(), nullable=True),
        sa.Column("slide", sa.Text(), nullable=True),
        sa.Column("site", sa.Text(), nullable=True),
        sa.Column("regions_revision", sa.Integer(), nullable=False),
        sa.Column("added_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_smear")),
        sa.UniqueConstraint("identity", name=op.f("uq_smear_identity")),
    )
    op.create_index(op.f("ix_smear_patient"), "smear", ["patient"], unique=False)
    op.create_index(op.f("ix_smear_site"), "smear", ["site"], unique=False)
    op.create_table(
        "study",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_study")),
    )
    op.create_table(
        "test_patient",
        sa.Column("patient", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("patient", name=op.f("pk_test_patient")),
    )
    op.create_table(
        "worker",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker")),
    )
    op.create_table(
        "event",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_event_job_id")),
        sa.PrimaryKeyConstraint("job_id", "seq", name=op.f("pk_event")),
    )
    op.create_table(
        "label",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("smear_id", sa.Integer(), nullable=False),
        sa.Column("head", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("seen_prediction", sa.Boolean(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("superseded_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["smear_id"], ["smear.id"], name=op.f("fk_label_smear_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label")),
    )
    op.create_index(
        "uq_label_standing",
        "label",
        ["smear_id", "head", "reader"],
        unique=True,
        sqlite_where=sa.text("superseded_at IS NULL"),
        postgresql_where=sa.text("superseded_at IS NULL"),
    )
    op.create_table(
        "model",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("preprocessing", sa.Text(), nullable=False),
        sa.Column("precision", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.Column("is_champion", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("card", sa.JSON(), nullable=False),
        sa.CheckConstraint("precision IN ('fp32', 'bf16')", name=op.f("ck_model_precision")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_model_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model")),
        sa.UniqueConstraint("sha256", name=op.f("uq_model_sha256")),
    )
    op.create_table(
        "piece",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("payload", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("sent_at", sa.Double(), nullable=True),
        sa.Column("sends", sa.Integer(), nullable=False),
        sa.Column("exceptions", sa.Integer(), nullable=False),
        sa.Column("lost_leases", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('new', 'running', 'done', 'failed', 'cancelled', 'split')",
            name=op.f("ck_piece_state"),
        ),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_piece_job_id")),
        sa.PrimaryKeyConstraint("job_id", "number", name=op.f("pk_piece")),
    )
    op.create_index(
        "ix_piece_open",
        "piece",
        ["state", "job_id", "number"],
        unique=False,
        sqlite_where=sa.text("state IN ('new', 'running')"),
        postgresql_where=sa.text("state IN ('new', 'running')"),
    )
    op.create_table(
        "region",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("smear_id", sa.Integer(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("class_name", sa.Text(), nullable=True),
        sa.Column("polygon", sa.JSON(), nullable=False),
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("superseded_at", sa.Double(), nullable=True),
        sa.CheckConstraint("role IN ('use', 'exclude', 'class')", name=op.f("ck_region_role")),
        sa.ForeignKeyConstraint(["smear_id"], ["smear.id"], name=op.f("fk_region_smear_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_region")),
    )
    op.create_index(op.f("ix_region_smear_id"), "region", ["smear_id"], unique=False)
    op.create_table(
        "prediction",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("smear_id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("preprocessing", sa.Text(), nullable=False),
        sa.Column("precision", sa.Text(), nullable=False),
        sa.Column("regions_revision", sa.Integer(), nullable=False),
        sa.Column("provenance_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("flags", sa.Text(), nullable=False),
        sa.Column("top_p", sa.Double(), nullable=False),
        sa.Column("call_0", sa.Integer(), nullable=True),
        sa.Column("call_1", sa.Integer(), nullable=True),
        sa.Column("call_2", sa.Integer(), nullable=True),
        sa.Column("call_3", sa.Integer(), nullable=True),
        sa.Column("call_4", sa.Integer(), nullable=True),
        sa.Column("call_5", sa.Integer(), nullable=True),
        sa.Column("p_00", sa.Double(), nullable=True),
        sa.Column("p_01", sa.Double(), nullable=True),
        sa.Column("p_02", sa.Double(), nullable=True),
        sa.Column("p_03", sa.Double(), nullable=True),
        sa.Column("p_04", sa.Double(), nullable=True),
        sa.Column("p_05", sa.Double(), nullable=True),
        sa.Column("p_06", sa.Double(), nullable=True),
        sa.Column("p_07", sa.Double(), nullable=True),
        sa.Column("p_08", sa.Double(), nullable=True),
        sa.Column("p_09", sa.Double(), nullable=True),
        sa.Column("p_10", sa.Double(), nullable=True),
        sa.Column("p_11", sa.Double(), nullable=True),
        sa.Column("p_12", sa.Double(), nullable=True),
        sa.Column("p_13", sa.Double(), nullable=True),
        sa.Column("p_14", sa.Double(), nullable=True),
        sa.Column("p_15", sa.Double(), nullable=True),
        sa.Column("p_16", sa.Double(), nullable=True),
        sa.Column("p_17", sa.Double(), nullable=True),
        sa.Column("p_18", sa.Double(), nullable=True),
        sa.Column("p_19", sa.Double(), nullable=True),
        sa.Column("p_20", sa.Double(), nullable=True),
        sa.Column("p_21", sa.Double(), nullable=True),
        sa.Column("p_22", sa.Double(), nullable=True),
        sa.Column("p_23", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name=op.f("fk_prediction_model_id")),
        sa.ForeignKeyConstraint(
            ["provenance_id"], ["provenance.id"], name=op.f("fk_prediction_provenance_id")
        ),
        sa.ForeignKeyConstraint(["smear_id"], ["smear.id"], name=op.f("fk_prediction_smear_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prediction")),
        sa.UniqueConstraint(
            "smear_id",
            "model_id",
            "preprocessing",
            "precision",
            "regions_revision",
            name=op.f("uq_prediction_smear_id_model_id_preprocessing_precision_regions_revision"),
        ),
    )
    op.create_index(op.f("ix_prediction_at"), "prediction", ["at"], unique=False)
    op.create_index(
        "ix_prediction_call_0",
        "prediction",
        ["call_0"],
        unique=False,
        sqlite_where=sa.text("call_0 IS NOT NULL"),
        postgresql_where=sa.text("call_0 IS NOT NULL"),
    )
    op.create_index(
        "ix_prediction_call_1",
        "prediction",
        ["call_1"],
        unique=False,
        sqlite_where=sa.text("call_1 IS NOT NULL"),
        postgresql_where=sa.text("call_1 IS NOT NULL"),
    )
    op.create_index(
        "ix_prediction_call_2",
        "prediction",
        ["call_2"],
        unique=False,
        sqlite_where=sa.text("call_2 IS NOT NULL"),
        postgresql_where=sa.text("call_2 IS NOT NULL"),
    )
    op.create_index(
        "ix_prediction_call_3",
        "prediction",
        ["call_3"],
        unique=False,
        sqlite_where=sa.text("call_3 IS NOT NULL"),
        postgresql_where=sa.text("call_3 IS NOT NULL"),
    )
    op.create_index(
        "ix_prediction_call_4",
        "prediction",
        ["call_4"],
        unique=False,
        sqlite_where=sa.text("call_4 IS NOT NULL"),
        postgresql_where=sa.text("call_4 IS NOT NULL"),
    )
    op.create_index(
        "ix_prediction_call_5",
        "prediction",
        ["call_5"],
        unique=False,
        sqlite_where=sa.text("call_5 IS NOT NULL"),
        postgresql_where=sa.text("call_5 IS NOT NULL"),
    )
    op.create_index(op.f("ix_prediction_model_id"), "prediction", ["model_id"], unique=False)
    op.create_index(
        "ix_prediction_p_00",
        "prediction",
        ["p_00"],
        unique=False,
        sqlite_where=sa.text("p_00 IS NOT NULL"),
        postgresql_where=sa.text("p_00 IS NOT NULL"),
    )
    op.create_index(
        "ix_prediction_p_01",
        "prediction",
        ["p_01"],
        unique=False,
        sqlite_where=sa.text("p_01 IS NOT NULL"),
        postgresql_where=sa.text("p_01 IS NOT NULL"),
    )
    op.create_index(
        "ix_prediction_p_02",
        "prediction",
        ["p_02"],
        unique=False,
        sqlite_where=sa.text("p_02 IS NOT NULL"),
        postgresql_where=sa.text("p_02 IS NOT NULL"),
    )
    op.create_index(
        "ix_prediction_p_03",
        "prediction",
        ["p_03"],
        unique=False,
        sqlite_where=sa.text("p_03 IS NOT NULL"),
        postgresql_where=sa.text("p_03 IS NOT NULL"),
    )
    op.create_index(
        "ix_prediction_p_04",
        "prediction",
        ["p_04"],
        unique=False,
        sqlite_where=sa.text("p_04 IS NOT NULL"),
        postgresql_where=sa.text("p_04 IS NOT NULL"),
    )
    op.create_index(
        "ix_prediction_p_05",
        "prediction",
        ["p_05"],
        unique=False,
        sqlite_where=sa.text("p_05 IS NOT NULL"),
        postgresql_where=sa.text("p_05 IS NOT NULL"),
    )
    op.create_index(
        "ix_prediction_p_06",
        "prediction",
        ["p_06"],
        unique=False,
        sqlite_where=sa.text("p_06 IS NOT NULL"),
        postgresql_where=sa.text("p_06 IS NOT NULL"),
    )
    op.create_index(
        "ix_prediction_p_07",
        "prediction",
        ["p_07"],
        unique=False,
        sqlite_where=sa.text("p_07 IS NOT NULL"),
        postgresql_where=sa.text("p_07 IS NOT NULL"),
    )
    op.create_index(
        "ix_prediction_p_08",
        "prediction",
        ["p_08"],
        unique=False,
        sqlite_where=sa.text("p_08 IS NOT NULL"),
        postgresql_where=sa.text("p_08 IS NOT NULL"),
    )
    op.create_index(
        "ix_prediction_p_09",
        "prediction",
        ["p_09"],
        unique=False,
        sqlite_where=sa.text("p_09 IS NOT NULL"),
        postgresql_where=sa.text("p_09 IS NOT NULL"),
    )
    op.create_index(
        "ix_prediction_p_10",
        "prediction",
        ["p_10"],
        unique=False,
        sqlite_where=sa.text("p_10 IS NOT NULL"),
        postgresql_where=sa.text("p_10 IS NOT NULL"),
    )
    op.create_index(
        "ix_prediction_p_11",
        "prediction",
        ["p_11"],
        unique=False,
        sqlite_where=sa.text("p_11 IS NOT NULL"),
        postgresql_where=sa.text("p_11 IS NOT NULL"),
    )
    op.create_index(
        "ix_prediction_p_12",
        "prediction",
        ["p_12"],
        unique=False,
        sqlite_where=sa.text("p_12 IS NOT NULL"),
        postgresql_where=sa.text("p_12 IS NOT NULL"),
    )
    op.create_index(
        "ix_prediction_p_13",
        "prediction",
        ["p_13"],
        unique=False,
        sqlite_where=sa.text("p_13 IS NOT NULL"),
        postgresql_where=sa.text("p_13 IS NOT NULL"),
    )
    op.create_index(
        "ix_prediction_p_14",
        "prediction",
        ["p_14"],
        unique=False,
        sqlite_where=sa.text("p_14 IS NOT NULL"),
        postgresql_where=sa.text("p_14 IS NOT NULL"),
    )
    op.create_index(
        "ix_prediction_p_15",
        "prediction",
        ["p_15"],
        unique=False,
        sqlite_where=sa.text("p_15 IS NOT NULL"),
        postgresql_where=sa.text("p_15 IS NOT NULL"),
    )
    op.create_index(
        "ix_prediction_p_16",
        "prediction",
        ["p_16"],
        unique=False,
        sqlite_where=sa.text("p_16 IS NOT NULL"),
        postgresql_where=sa.text("p_16 IS NOT NULL"),
    )
    op.create_index(
        "ix_prediction_p_17",
        "prediction",
        ["p_17"],
        unique=False,
        sqlite_where=sa.text("p_17 IS NOT NULL"),
        postgresql_where=sa.text("p_17 IS NOT NULL"),
    )
    op.create_index(
        "ix_prediction_p_18",
        "prediction",
        ["p_18"],
        unique=False,
        sqlite_where=sa.text("p_18 IS NOT NULL"),
        postgresql_where=sa.text("p_18 IS NOT NULL"),
    )
    op.create_index(
        "ix_prediction_p_19",
        "prediction",
        ["p_19"],
        unique=False,
        sqlite_where=sa.text("p_19 IS NOT NULL"),
        postgresql_where=sa.text("p_19 IS NOT NULL"),
    )
    op.create_index(
        "ix_prediction_p_20",
        "prediction",
        ["p_20"],
        unique=False,
        sqlite_where=sa.text("p_20 IS NOT NULL"),
        postgresql_where=sa.text("p_20 IS NOT NULL"),
    )
    op.create_index(
        "ix_prediction_p_21",
        "prediction",
        ["p_21"],
        unique=False,
        sqlite_where=sa.text("p_21 IS NOT NULL"),
        postgresql_where=sa.text("p_21 IS NOT NULL"),
    )
    op.create_index(
        "ix_prediction_p_22",
        "prediction",
        ["p_22"],
        unique=False,
        sqlite_where=sa.text("p_22 IS NOT NULL"),
        postgresql_where=sa.text("p_22 IS NOT NULL"),
    )
    op.create_index(
        "ix_prediction_p_23",
        "prediction",
        ["p_23"],
        unique=False,
        sqlite_where=sa.text("p_23 IS NOT NULL"),
        postgresql_where=sa.text("p_23 IS NOT NULL"),
    )
    op.create_index(op.f("ix_prediction_top_p"), "prediction", ["top_p"], unique=False)
    op.create_table(
        "scoring",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name=op.f("fk_scoring_model_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scoring")),
    )
    op.create_index(op.f("ix_scoring_model_id"), "scoring", ["model_id"], unique=False)
    op.create_table(
        "job_smear",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("smear_id", sa.Integer(), nullable=False),
        sa.Column("piece", sa.Integer(), nullable=True),
        sa.Column("prediction_id", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_smear_job_id")),
        sa.ForeignKeyConstraint(
            ["prediction_id"], ["prediction.id"], name=op.f("fk_job_smear_prediction_id")
        ),
        sa.ForeignKeyConstraint(["smear_id"], ["smear.id"], name=op.f("fk_job_smear_smear_id")),
        sa.PrimaryKeyConstraint("job_id", "smear_id", name=op.f("pk_job_smear")),
    )
    op.create_index("ix_job_smear_piece", "job_smear", ["job_id", "piece"], unique=False)
    op.create_table(
        "prediction_map",
        sa.Column("prediction_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("shape", sa.JSON(), nullable=False),
        sa.Column("cell_px", sa.JSON(), nullable=False),
        sa.Column("values", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("kind IN ('activation', 'tiles')", name=op.f("ck_prediction_map_kind")),
        sa.ForeignKeyConstraint(
            ["prediction_id"], ["prediction.id"], name=op.f("fk_prediction_map_prediction_id")
        ),
        sa.PrimaryKeyConstraint("prediction_id", name=op.f("pk_prediction_map")),
    )
