"""A smaller catalogue: indexes that give whole pages, maps six to a page, text by trigrams

SQLite cannot alter what a constraint names: there the three tables are written anew, children
with their parent, so that no foreign key is ever left without its row.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_CALLS = [f"call_{head}" for head in range(6)]
_PROBABILITIES = [f"p_{output:02d}" for output in range(24)]
_UNIQUE = ("smear_id", "model_id", "precision", "regions_revision")
_UNIQUE_NAME = "uq_prediction_smear_id_model_id_precision_regions_revision"
_KEPT = [
    *("id", "smear_id", "model_id", "precision", "regions_revision", "provenance_id"),
    *("at", "flags", "top_p", *_CALLS, *_PROBABILITIES),
]
_OUTCOME = ["job_id", "smear_id", "piece", "prediction_id", "error"]


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _write_anew()
        _index_text()
    else:
        _alter()
    _index_predictions()
    op.drop_index("ix_piece_open", "piece")
    op.create_index("ix_piece_state", "piece", ["state", "job_id", "number"])


def _write_anew() -> None:
    _create_predictions()
    _copy("prediction", {name: sa.column(name) for name in _KEPT})
    _create_maps()
    shape, cell = sa.column("shape", sa.JSON), sa.column("cell_px", sa.JSON)
    maps = {
        "prediction_id": sa.column("prediction_id"),
        "kind": sa.case((sa.column("kind") == "tiles", 1), else_=0),
        "rows": shape[1].as_integer(),
        "columns": shape[2].as_integer(),
        "cell_height_px": cell[0].as_float(),
        "cell_width_px": cell[1].as_float(),
        "values": sa.column("values"),
    }
    _copy("prediction_map", maps)
    _create_outcomes()
    _copy("job_smear", {name: sa.column(name) for name in _OUTCOME})
    for name in ("prediction_map", "job_smear", "prediction"):
        op.drop_table(name)
        op.rename_table(f"{name}_new", name)
    op.create_index("ix_job_smear_piece", "job_smear", ["job_id", "piece"])


def _copy(name: str, columns: dict[str, sa.ColumnElement[Any]]) -> None:
    old = sa.select(*columns.values()).select_from(sa.table(name))
    new = sa.table(f"{name}_new", *(sa.column(column) for column in columns))
    op.execute(sa.insert(new).from_select(list(columns), old))


def _create_predictions() -> None:
    op.create_table(
        "prediction_new",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("smear_id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("precision", sa.Text(), nullable=False),
        sa.Column("regions_revision", sa.Integer(), nullable=False),
        sa.Column("provenance_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("flags", sa.Text(), nullable=False),
        sa.Column("top_p", sa.Double(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=True) for name in _CALLS),
        *(sa.Column(name, sa.Double(), nullable=True) for name in _PROBABILITIES),
        sa.ForeignKeyConstraint(["smear_id"], ["smear.id"], name=op.f("fk_prediction_smear_id")),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name=op.f("fk_prediction_model_id")),
        sa.ForeignKeyConstraint(
            ["provenance_id"], ["provenance.id"], name=op.f("fk_prediction_provenance_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prediction")),
        sa.UniqueConstraint(*_UNIQUE, name=op.f(_UNIQUE_NAME)),
    )


def _create_maps() -> None:
    op.create_table(
        "prediction_map_new",
        sa.Column("prediction_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("columns", sa.Integer(), nullable=False),
        sa.Column("cell_height_px", sa.Double(), nullable=False),
        sa.Column("cell_width_px", sa.Double(), nullable=False),
        sa.Column("values", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("kind IN (0, 1)", name=op.f("ck_prediction_map_kind")),
        sa.ForeignKeyConstraint(
            ["prediction_id"], ["prediction_new.id"], name=op.f("fk_prediction_map_prediction_id")
        ),
        sa.PrimaryKeyConstraint("prediction_id", name=op.f("pk_prediction_map")),
    )


def _create_outcomes() -> None:
    op.create_table(
        "job_smear_new",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("smear_id", sa.Integer(), nullable=False),
        sa.Column("piece", sa.Integer(), nullable=True),
        sa.Column("prediction_id", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_smear_job_id")),
        sa.ForeignKeyConstraint(
            ["prediction_id"], ["prediction_new.id"], name=op.f("fk_job_smear_prediction_id")
        ),
        sa.ForeignKeyConstraint(["smear_id"], ["smear.id"], name=op.f("fk_job_smear_smear_id")),
        sa.PrimaryKeyConstraint("job_id", "smear_id", name=op.f("pk_job_smear")),
        sqlite_with_rowid=False,
    )


def _alter() -> None:
    for name in ("at", "top_p", "model_id", *_CALLS, *_PROBABILITIES):
        op.drop_index(f"ix_prediction_{name}", "prediction")
    op.drop_column("prediction", "preprocessing")  # and with it the old constraint
    op.create_unique_constraint(op.f(_UNIQUE_NAME), "prediction", list(_UNIQUE))
    op.drop_constraint(op.f("ck_prediction_map_kind"), "prediction_map", type_="check")
    op.execute(
        """
        ALTER TABLE prediction_map
            ALTER COLUMN kind TYPE integer USING CASE kind WHEN 'tiles' THEN 1 ELSE 0 END,
            ADD COLUMN rows integer,
            ADD COLUMN columns integer,
            ADD COLUMN cell_height_px double precision,
            ADD COLUMN cell_width_px double precision
        """
    )
    op.execute(
        """
        UPDATE prediction_map SET
            rows = (shape->>1)::integer, columns = (shape->>2)::integer,
            cell_height_px = (cell_px->>0)::double precision,
            cell_width_px = (cell_px->>1)::double precision
        """
    )
    for name in ("rows", "columns", "cell_height_px", "cell_width_px"):
        op.alter_column("prediction_map", name, nullable=False)
    op.drop_column("prediction_map", "shape")
    op.drop_column("prediction_map", "cell_px")
    op.create_check_constraint(op.f("ck_prediction_map_kind"), "prediction_map", "kind IN (0, 1)")


def _index_predictions() -> None:
    for name in ("at", "top_p"):
        op.create_index(f"ix_prediction_{name}", "prediction", [name, "smear_id", *_CALLS])
    op.create_index("ix_prediction_model_id", "prediction", ["model_id", "smear_id"])
    for name in (*_CALLS, *_PROBABILITIES):
        carried = _CALLS if name in _PROBABILITIES else []
        _index_some(name, [name, "smear_id", *carried], f"{name} IS NOT NULL")
    _index_some("flags", ["flags", "smear_id"], "flags != ''")


def _index_some(name: str, columns: list[str], which: str) -> None:
    some = sa.text(which)
    index = f"ix_prediction_{name}"
    op.create_index(index, "prediction", columns, sqlite_where=some, postgresql_where=some)


def _index_text() -> None:
    """Which smears hold three letters in a row, in path or patient, whatever their case.

    Without content, positions and sizes: 48 MB for a million smears, where a search that
    reads each path takes half a second.
    """
    op.execute(
        "CREATE VIRTUAL TABLE smear_text USING fts5(path, patient, "
        "content='', detail='none', columnsize=0, tokenize='trigram')"
    )
    insert = "INSERT INTO smear_text(rowid, path, patient) VALUES (new.id, new.path, new.patient)"
    remove = (
        "INSERT INTO smear_text(smear_text, rowid, path, patient) "
        "VALUES ('delete', old.id, old.path, old.patient)"
    )
    is_other = "WHEN old.path IS NOT new.path OR old.patient IS NOT new.patient"
    op.execute("INSERT INTO smear_text(rowid, path, patient) SELECT id, path, patient FROM smear")
    op.execute(f"CREATE TRIGGER smear_text_insert AFTER INSERT ON smear BEGIN {insert}; END")
    op.execute(f"CREATE TRIGGER smear_text_delete AFTER DELETE ON smear BEGIN {remove}; END")
    op.execute(
        "CREATE TRIGGER smear_text_update AFTER UPDATE OF path, patient ON smear "
        f"{is_other} BEGIN {remove}; {insert}; END"
    )
