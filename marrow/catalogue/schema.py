"""The tables of the catalogue, for SQLite and PostgreSQL alike.

Times are seconds since 1970 (UTC) as double. A prediction's probabilities and calls lie in
numbered columns in the scheme's order (head by head, class by class), so that a million rows
sort by any of them through an index; columns that a scheme does not use stay NULL and, the
indexes being partial, cost nothing.

On SQLite the migrations also keep `smear_text`, an FTS5 index over the trigrams of path and
patient, up to date by triggers; `marrow.catalogue.smears` alone asks it.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from marrow.schemes import MAX_CLASSES, MAX_HEADS

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _one_of(column: str, *values: str) -> CheckConstraint:
    allowed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({allowed})", name=column)


study = Table(
    "study",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", JSON, nullable=False),
)

smear = Table(
    "smear",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("identity", Text, nullable=False, unique=True),
    Column("root", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("members", JSON, nullable=False),
    Column("height_px", Integer, nullable=False),
    Column("width_px", Integer, nullable=False),
    Column("is_slide", Boolean, nullable=False),
    Column("pixel_size_um", Double),
    Column("patient", Text, index=True),
    Column("slide", Text),
    Column("site", Text, index=True),
    Column("regions_revision", Integer, nullable=False),
    Column("added_at", Double, nullable=False),
)

label = Table(
    "label",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("smear_id", ForeignKey("smear.id"), nullable=False),
    Column("head", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("reader", Text, nullable=False),
    Column("seen_prediction", Boolean, nullable=False),
    Column("at", Double, nullable=False),
    Column("superseded_at", Double),
    Column("is_adjudicated", Boolean, nullable=False, server_default=false()),
)
# One standing answer per reader and head; earlier ones stay, superseded. What was adjudicated
# stands beside the readers' own answers, and counts in their place.
Index(
    "uq_label_standing",
    label.c.smear_id,
    label.c.head,
    label.c.reader,
    label.c.is_adjudicated,
    unique=True,
    sqlite_where=label.c.superseded_at.is_(None),
    postgresql_where=label.c.superseded_at.is_(None),
)

# A person's mark: somebody should look at this smear.
smear_flag = Table(
    "smear_flag",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("smear_id", ForeignKey("smear.id"), nullable=False, index=True),
    Column("reader", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("cleared_at", Double),
)

region = Table(
    "region",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("smear_id", ForeignKey("smear.id"), nullable=False, index=True),
    Column("role", Text, nullable=False),
    _one_of("role", "use", "exclude", "class"),
    Column("class_name", Text),
    Column("polygon", JSON, nullable=False),
    Column("reader", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("superseded_at", Double),
)

test_patient = Table(
    "test_patient",
    metadata,
    Column("patient", Text, primary_key=True),
)

job = Table(
    "job",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    _one_of("kind", "classify", "sweep"),
    Column("state", Text, nullable=False, index=True),
    _one_of("state", "waiting", "running", "cancelling", "cancelled", "done", "failed"),
    Column("priority", Text, nullable=False),
    _one_of("priority", "interactive", "overnight"),
    Column("spec", JSON, nullable=False),
    Column("last_seq", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("done", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("night", JSON(none_as_null=True)),
    Column("opens_at", Double),
    Column("closes_at", Double),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("error", Text),
)

piece = Table(
    "piece",
    metadata,
    Column("job_id", ForeignKey("job.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    _one_of("state", "new", "running", "done", "failed", "cancelled", "split"),
    Column("payload", JSON(none_as_null=True)),
    Column("owner", Text),
    Column("attempt", Integer, nullable=False),
    Column("lease_until", Double),
    Column("sent_at", Double),
    Column("sends", Integer, nullable=False),
    Column("exceptions", Integer, nullable=False),
    Column("lost_leases", Integer, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("error", Text),
)
# What the scheduler and wake() look at each second. Not a partial index: SQLite would use it
# only for a condition with the same words and no bound values.
Index("ix_piece_state", piece.c.state, piece.c.job_id, piece.c.number)

# Runs of a sweep that a person has stopped: their pieces wait until the row is gone.
stopped_run = Table(
    "stopped_run",
    metadata,
    Column("job_id", ForeignKey("job.id"), primary_key=True),
    Column("run", Integer, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
)

event = Table(
    "event",
    metadata,
    Column("job_id", ForeignKey("job.id"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("at", Double, nullable=False),
)

model = Table(
    "model",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sha256", Text, nullable=False, unique=True),
    Column("path", Text, nullable=False),
    Column("preprocessing", Text, nullable=False),
    Column("precision", Text, nullable=False),
    _one_of("precision", "fp32", "bf16"),
    Column("job_id", ForeignKey("job.id")),
    Column("is_champion", Boolean, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("card", JSON, nullable=False),
)

scoring = Table(
    "scoring",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model_id", ForeignKey("model.id"), nullable=False, index=True),
    Column("side", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("figures", JSON, nullable=False),
    Column("answers", JSON, nullable=False, server_default=text("'{}'")),
    Column("facts", JSON, nullable=False, server_default=text("'{}'")),
)

# An external cohort: hidden from training since `at`, with the hash that it had then.
site_lock = Table(
    "site_lock",
    metadata,
    Column("site", Text, primary_key=True),
    Column("sha256", Text, nullable=False),
    Column("smears", Integer, nullable=False),
    Column("patients", Integer, nullable=False),
    Column("at", Double, nullable=False),
)

# Written before a site's smears are classified, so that no look can be kept quiet.
opening = Table(
    "opening",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("site", Text, nullable=False),
    Column("model_id", ForeignKey("model.id"), nullable=False),
    Column("model_sha256", Text, nullable=False),
    Column("cohort_sha256", Text, nullable=False),
    Column("lock_sha256", Text),
    Column("threshold", JSON, nullable=False),
    Column("at", Double, nullable=False),
)

promotion = Table(
    "promotion",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model_id", ForeignKey("model.id"), nullable=False),
    Column("previous_id", ForeignKey("model.id")),
    Column("reason", Text, nullable=False),
    Column("is_forced", Boolean, nullable=False),
    Column("is_rollback", Boolean, nullable=False),
    Column("comparison", JSON, nullable=False),
    Column("at", Double, nullable=False),
)

provenance = Table(
    "provenance",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("text", Text, nullable=False, unique=True),
)

CALLS = tuple(f"call_{head}" for head in range(MAX_HEADS))
"""Index of the called class, head by head."""
PROBABILITIES = tuple(f"p_{output:02d}" for output in range(MAX_CLASSES))
"""Probability of each class, head by head."""

# What is unique about a prediction: smear, weights (which name their preprocessing), precision
# and the revision of the regions.
prediction = Table(
    "prediction",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("smear_id", ForeignKey("smear.id"), nullable=False),
    Column("model_id", ForeignKey("model.id"), nullable=False),
    Column("precision", Text, nullable=False),
    Column("regions_revision", Integer, nullable=False),
    Column("provenance_id", ForeignKey("provenance.id"), nullable=False),
    Column("at", Double, nullable=False),
    Column("flags", Text, nullable=False),
    Column("top_p", Double, nullable=False),
    *(Column(name, Integer) for name in CALLS),
    *(Column(name, Double) for name in PROBABILITIES),
    # Place in the morning worklist, the most urgent first; see `marrow.catalogue.worklist`.
    Column("worklist", Double, nullable=False, server_default=text("0")),
    UniqueConstraint("smear_id", "model_id", "precision", "regions_revision"),
)
# Each index gives one order of the table, with the smear as the tie. Those by a number carry
# the calls along, so that the rows of another call are passed over without being fetched.
_carried = [prediction.c[name] for name in CALLS]
Index("ix_prediction_smear_id", prediction.c.smear_id, *_carried)
for _name in ("at", "top_p", "worklist"):
    Index(f"ix_prediction_{_name}", prediction.c[_name], prediction.c.smear_id, *_carried)
for _name in (*CALLS, *PROBABILITIES):
    _used = prediction.c[_name].is_not(None)
    Index(
        f"ix_prediction_{_name}",
        prediction.c[_name],
        prediction.c.smear_id,
        *(_carried if _name in PROBABILITIES else ()),
        sqlite_where=_used,
        postgresql_where=_used,
    )
Index("ix_prediction_model_id", prediction.c.model_id, prediction.c.smear_id)
_flagged = prediction.c.flags != text("''")
Index(
    "ix_prediction_flags",
    prediction.c.flags,
    prediction.c.smear_id,
    sqlite_where=_flagged,
    postgresql_where=_flagged,
)

prediction_map = Table(
    "prediction_map",
    metadata,
    Column("prediction_id", ForeignKey("prediction.id"), primary_key=True),
    Column("kind", Integer, nullable=False),
    CheckConstraint("kind IN (0, 1)", name="kind"),
    Column("rows", Integer, nullable=False),
    Column("columns", Integer, nullable=False),
    Column("cell_height_px", Double, nullable=False),
    Column("cell_width_px", Double, nullable=False),
    Column("values", LargeBinary, nullable=False),
)

job_smear = Table(
    "job_smear",
    metadata,
    Column("job_id", Integer, primary_key=True),
    Column("smear_id", ForeignKey("smear.id"), primary_key=True),
    Column("piece", Integer),
    Column("prediction_id", ForeignKey("prediction.id")),
    Column("error", Text),
    ForeignKeyConstraint(["job_id"], ["job.id"]),
    sqlite_with_rowid=False,
)
Index("ix_job_smear_piece", job_smear.c.job_id, job_smear.c.piece)

worker = Table(
    "worker",
    metadata,
    Column("id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("device", Text, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
)
