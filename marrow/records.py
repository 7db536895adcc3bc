"""Frozen records: whatever is stored as JSON or crosses a process."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from marrow.backbones import fault_of_backbone


class Record(BaseModel):
    """Base of all records: frozen, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


JobKind = Literal["classify", "sweep"]
JobState = Literal["waiting", "running", "cancelling", "cancelled", "done", "failed"]
FINISHED: frozenset[str] = frozenset({"cancelled", "done", "failed"})
PieceState = Literal["new", "running", "done", "failed", "cancelled", "split"]
Precision = Literal["fp32", "bf16"]
Tune = Literal["heads", "last-block", "full"]
Protocol = Literal["honest", "seed2022"]
Augment = Literal["none", "gentle", "seed8"]
Role = Literal["use", "exclude", "class"]

Polygon = tuple[tuple[float, float], ...]
"""Vertices as (row, column), level-0 px."""


class NewSmear(Record):
    """What is known of an image asset when it is registered."""

    identity: str
    """SHA-256 of the file's bytes; for several files, over their sorted hashes."""
    root: str
    path: str
    """Posix path below the root; with the root `local`, absolute."""
    members: tuple[str, ...] = ()
    """Paths of all files, where there are several."""
    height_px: int
    width_px: int
    is_slide: bool
    pixel_size_um: float | None = None
    patient: str | None = None
    slide: str | None = None
    site: str | None = None


class Smear(NewSmear):
    """One image asset of the study, as the catalogue knows it."""

    id: int
    regions_revision: int = 0

    @property
    def name(self) -> str:
        """The short name that people read: S000148."""
        return f"S{self.id:06d}"

    @property
    def own_patient(self) -> str:
        """The pseudonym of a smear that counts as its own patient."""
        return own_patient(self.identity)


def own_patient(identity: str) -> str:
    """The pseudonym of a smear of this identity, where it counts as its own patient."""
    return f"smear-{identity[:16]}"


class Label(Record):
    """One reader's answer to one head of one smear at one time."""

    id: int
    smear_id: int
    head: str
    answer: str
    """A class of the head, or `unsure`."""
    reader: str
    seen_prediction: bool
    at: float
    """Seconds since 1970, UTC."""
    superseded_at: float | None = None
    """None: it stands."""
    is_adjudicated: bool = False
    """Given as the one answer that counts, beside the readers' own."""


class Region(Record):
    """A polygon on a smear: part of the usable area, out of it, or of a class."""

    id: int
    smear_id: int
    role: Role
    class_name: str | None = None
    polygon: Polygon
    reader: str


Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""What torch takes."""


class TrainingSpec(Record):
    """All that decides how one run is trained; the same spec gives the same models."""

    backbone: str = "resnet50"
    """A torchvision network that ends in a feature map."""
    weights: str = "none"
    """`none`, `imagenet`, or the path of a state dict or safetensors file."""
    weights_sha256: str | None = None
    tune: Tune = "heads"
    epochs: int = Field(30, ge=1, le=10_000)
    snapshots: tuple[int, ...] = ()
    """Epochs, ascending and below `epochs`, whose model is kept too: with a constant learning
    rate and an order by (seed, epoch) it is the model of a run of that length, bit for bit."""
    loss_weights: tuple[float, ...] = ()
    """One per head, in the scheme's order; () means equal. Normalised to sum 1."""
    seed: Seed = 0
    """Of the heads, the order of the batches and dropout."""
    data_seed: Seed = 0
    """Of the test draw, the folds, the tiles of a slide and the augmented copies: the same for
    all seeds of a sweep, so that they share their features."""
    batch_size: int = Field(32, ge=2, le=4096)
    trunk_learning_rate: float = Field(1e-4, gt=0)
    head_learning_rate: float = Field(1e-3, gt=0)
    dropout: float = Field(0.2, ge=0, lt=1)
    input_px: int = Field(256, ge=32, le=2048)
    """Edge of the square that the network sees, in pixels."""
    tiles_per_slide: int = Field(16, ge=1)
    test_share: float = Field(0.3, gt=0, lt=1)
    """Share of the patients that the study's one test draw takes; under seed2022, of the images."""
    smear_is_patient: bool = False
    protocol: Protocol = "honest"
    augment: Augment = "none"
    copies: int = Field(4, ge=1, le=64)
    """Augmented copies of each training view beside the original; of `gentle` alone, `seed8`
    has its own number."""
    heads_first: int = Field(30, ge=0, le=10_000)
    """Epochs of the heads alone, on pooled features, before anything else is trained; only with
    a pretrained trunk of which more than the heads is tuned."""
    folds: int = Field(0, ge=0, le=20)
    """Parts of the training patients, of which each is left out once; 0: none is."""
    fold: int | None = None
    """The part that this run leaves out and is validated on; None: it trains on all."""
    hold_out_sites: tuple[str, ...] = ()
    """Their patients neither train nor test: the finished models are tried on them."""
    left_out: tuple[tuple[str, str], ...] = ()
    """Training patients, or single smears (S000148), that a person leaves out, each with the
    reason; they are counted on the card."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of training a trunk; auto: bf16 where the processor computes in it."""

    @field_validator("backbone")
    @classmethod
    def _is_a_trunk(cls, backbone: str) -> str:
        fault = fault_of_backbone(backbone)
        if fault is not None:
            raise ValueError(fault)
        return backbone

    @property
    def kept_epochs(self) -> tuple[int, ...]:
        """The epochs whose models this run leaves, ascending."""
        return (*self.snapshots, self.epochs)


class CheckpointRef(Record):
    """A checkpoint that a finished segment has left in the store."""

    path: str
    """Posix path below the store."""
    sha256: str
    epoch: int
    batch: int


class HarvestRef(Record):
    """What a run left of one kept epoch: a file in the store."""

    path: str
    """Posix path below the store."""
    sha256: str
    epoch: int


class SegmentPayload(Record):
    """The work of one training segment: which run, and where it goes on."""

    run: int
    segment: int
    checkpoint: CheckpointRef | None = None
    harvests: tuple[HarvestRef, ...] = ()
    """One per kept epoch, ascending; written when the run's last segment is done."""


class ConclusionPayload(Record):
    """The last work of a sweep: choose, calibrate, score and store its models."""

    harvests: tuple[tuple[HarvestRef, ...], ...]
    """By run, then by kept epoch."""


class ClassifySpec(Record):
    """What a classification job asks for."""

    model_id: int


class Cell(Record):
    """One configuration of a sweep's grid, and the runs that it is made of."""

    loss_weights: tuple[float, ...]
    epochs: int
    seed: int
    run: int
    """Index of the run on all training patients; one of its kept epochs is `epochs`."""
    fold_runs: tuple[int, ...] = ()
    """Indices of the runs that leave out one fold each, in the order of the folds."""


class SweepSpec(Record):
    """The runs of a training job and the grid that they fill; `marrow train` is a grid of one."""

    runs: tuple[TrainingSpec, ...] = Field(min_length=1)
    cells: tuple[Cell, ...] = Field(min_length=1)
    notes: tuple[str, ...] = ()
    """Sentences for the table, such as why one run serves several cells."""

    @model_validator(mode="before")
    @classmethod
    def _a_cell_for_each_run(cls, given: Any) -> Any:
        # As the jobs of version 0.1 were stored, which knew no cells.
        if not isinstance(given, dict) or "cells" in given:
            return given
        runs = [TrainingSpec.model_validate(run) for run in given.get("runs", ())]
        cells = [
            Cell(loss_weights=run.loss_weights, epochs=run.epochs, seed=run.seed, run=number)
            for number, run in enumerate(runs)
        ]
        return {**given, "cells": cells}


class Night(Record):
    """When a job may run, as a person says it: 22:00 until 06:00, Europe/Berlin."""

    at: str = Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    until: str | None = Field(None, pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    """None: once it has begun it runs to its end."""
    zone: str
    """IANA name of the time zone of both times."""


class Job(Record):
    """A request of a person, and how far it has come."""

    id: int
    kind: JobKind
    state: JobState
    priority: Literal["interactive", "overnight"]
    spec: dict[str, Any]
    last_seq: int
    total: int
    """Smears of a classification; epochs of all runs of a sweep."""
    done: int
    failed: int
    night: Night | None = None
    opens_at: float | None = None
    """Seconds since 1970, UTC, as are all times here; None: at once."""
    closes_at: float | None = None
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    error: str | None = None

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will happen unless somebody retries it."""
        return self.state in FINISHED


class Event(Record):
    """Something that happened to a job; `seq` counts from 1 without gaps."""

    job_id: int
    seq: int
    kind: Literal["state", "piece", "epoch", "model", "note"]
    payload: dict[str, Any]
    at: float


class Claim(Record):
    """A piece that this worker owns until the lease ends; `attempt` is the fence."""

    job_id: int
    number: int
    kind: JobKind
    attempt: int
    owner: str
    payload: dict[str, Any] | None = None


class Provenance(Record):
    """Which code and which machine made a prediction."""

    code_version: str
    torch_version: str
    device: str
    host: str


Probability = Annotated[float, Field(ge=0, le=1)]


class HeadAnswer(Record):
    """What the model says to one head."""

    head: str
    call: str
    probabilities: tuple[Probability, ...]
    """In the order of the head's classes."""


class Answer(Record):
    """What the model says to one smear."""

    heads: tuple[HeadAnswer, ...]
    flags: tuple[str, ...] = ()
    """Of `heads-disagree`, `few-tiles` and, from later models, `unsure`, `unlike-training`."""

    @property
    def calls(self) -> dict[str, str]:
        """The called class of each head."""
        return {answer.head: answer.call for answer in self.heads}


class AnswerMap(NamedTuple):
    """Where the evidence lies: a small array per class, drawn by scaling the layer."""

    kind: Literal["activation", "tiles"]
    values: bytes
    """float16, little-endian, C order, (classes over all heads, rows, columns);
    activation: class evidence in logits; tiles: uncalibrated probability, NaN without a tile."""
    shape: tuple[int, int, int]
    cell_px: tuple[float, float]
    """Height and width of one cell in level-0 px of the smear."""


class Outcome(NamedTuple):
    """How one smear of a piece ended: an answer, or an error a person can read."""

    smear_id: int
    answer: Answer | None
    map: AnswerMap | None
    error: str | None


class Prediction(Record):
    """A stored answer, and what made it."""

    id: int
    smear_id: int
    model_id: int
    answer: Answer
    precision: Precision
    at: float


class ModelRecord(Record):
    """A trained model in the study's registry; its card says the rest."""

    id: int
    sha256: str
    """Of the weights file."""
    path: str
    """Posix path of the model's folder below the store."""
    preprocessing: str
    """Hash of the preprocessing, as on the card."""
    precision: Precision
    job_id: int | None
    is_champion: bool
    created_at: float
    card: dict[str, Any]

    @property
    def name(self) -> str:
        """The short name that people read: m17."""
        return f"m{self.id}"


class Scoring(Record):
    """One look at the patients of a side with a model."""

    id: int
    model_id: int
    side: str
    """`train`, `out-of-fold`, `test`, `seed2022`, or `site:NAME` of a site that was held out."""
    at: float
    figures: dict[str, Any]
    answers: dict[int, dict[str, tuple[float, ...]]]
    """Calibrated probabilities by smear id and head."""
    facts: dict[str, Any]
    """What was recorded before a cohort was opened (`marrow validate`); `smears`, the ids of those
    whose images were scored; {} where there is nothing to say."""


class SiteLock(Record):
    """An external cohort: a site that training never sees, and what it was when it was locked."""

    site: str
    sha256: str
    """Over the identities and answers of its labelled smears."""
    smears: int
    patients: int
    at: float


class Opening(Record):
    """What was on record before a site's smears were shown to a model."""

    id: int
    site: str
    model_id: int
    model_sha256: str
    cohort_sha256: str
    """As in `SiteLock`, on the day of the opening."""
    lock_sha256: str | None
    """None: the site was not locked."""
    threshold: dict[str, Any]
    """The calibration on the model's card, without its distances; {} where it has none."""
    at: float


class Promotion(Record):
    """A change of the champion."""

    id: int
    model_id: int
    previous_id: int | None
    """None: the study had no champion."""
    reason: str
    is_forced: bool
    is_rollback: bool
    comparison: dict[str, Any]
    """What the two were on patients that neither was trained on; {} if nothing was compared."""
    at: float


class WorkerRecord(Record):
    """A worker process and when it was last heard of."""

    id: str
    host: str
    pid: int
    device: str
    started_at: float
    seen_at: float
