"""The craft of classification pieces: the catalogue's smears in, stored predictions out."""

from __future__ import annotations

from marrow.catalogue import jobs, models, regions, smears
from marrow.errors import BadModel, MarrowError
from marrow.records import Claim, ClassifySpec, ModelRecord, Outcome, Region, Smear
from marrow.settings import STORE_ROOT
from marrow.study import Study
from training.checkpoints import load_model, load_reference
from worker import claims
from worker.classify import Classifier, Request
from worker.provenance import provenance
from worker.settling import smears_of
from worker.work import Check, Patiently, require_in_sight


class Answering:
    """Answers pieces with the model that their job names.

    Parameters
    ----------
    device : str
        `auto`, `cpu`, `cuda` or `mps`.
    """

    def __init__(self, study: Study, device: str = "auto") -> None:
        self._study = study
        self._device = device
        self._loaded: tuple[str, Classifier] | None = None

    def work(self, held: Claim, check: Check, patiently: Patiently) -> None:
        """Classify the smears of a piece and store their outcomes."""
        with self._study.database.read() as connection:
            spec = ClassifySpec.model_validate(jobs.get(connection, held.job_id).spec)
            model = models.get(connection, spec.model_id)
            wanted = smears.get(connection, smears_of(connection, held.job_id, held.number))
            drawn = regions.of_many(connection, [one.id for one in wanted])
        requests, outcomes = self._requests(wanted, drawn)
        classifier = self._classifier(model)
        check()
        outcomes += classifier.classify(requests, check)
        revisions = {one.id: one.regions_revision for one in wanted}
        made_by = provenance(classifier.device)
        patiently(
            lambda: claims.finish_smears(self._study, held, model, outcomes, revisions, made_by)
        )

    def _requests(
        self, wanted: list[Smear], drawn: dict[int, list[Region]]
    ) -> tuple[list[Request], list[Outcome]]:
        """What the classifier is asked, and the outcomes of smears that this host cannot see."""
        requests: list[Request] = []
        unseen: list[Outcome] = []
        for one in wanted:
            try:
                path, members = self._study.file_of(one), self._study.members_of(one)
            except MarrowError as error:
                unseen.append(Outcome(one.id, None, None, str(error)))
                continue
            own = tuple(drawn.get(one.id, ()))
            requests.append(Request(one.id, path, own, members, one.identity, one.is_slide))
        return requests, unseen

    def _classifier(self, model: ModelRecord) -> Classifier:
        """The model, loaded once and kept until another one is asked for."""
        if self._loaded is None or self._loaded[0] != model.sha256:
            self._loaded = None  # frees the old one's memory first
            folder = self._study.path_in(STORE_ROOT, model.path)
            if folder is None:
                raise BadModel(f"{model.name} names a folder outside of the store: import it again")
            require_in_sight(self._study.store, model.path)
            network, card = load_model(folder, model.sha256)
            reference = load_reference(folder, card)
            classifier = Classifier(network, card, self._device, reference=reference)
            self._loaded = (model.sha256, classifier)
        return self._loaded[1]
