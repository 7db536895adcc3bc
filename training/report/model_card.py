"""The model card: what the records say to each item of TRIPOD+AI and CLAIM, and what is open."""

from __future__ import annotations

from collections import Counter
from typing import Any

from marrow.paper_tables import side_text
from training.report.checklists import CLAIM, TRIPOD_AI, Item
from training.report.evidence import Evidence
from training.report.gallery import wrong_calls
from training.report.grid import Grid
from training.report.parts import Listing, Part, figure_text
from training.report.words import RESEARCH_ONLY, sentence

Facts = dict[str, str]


def facts_of(grid: Grid) -> Facts:
    """A sentence for each key of the checklists that this study's records can fill."""
    evidence = grid.evidence
    found = {
        **_data_facts(evidence),
        **_label_facts(evidence),
        **_model_facts(evidence),
        **_method_facts(evidence),
        **_result_facts(grid),
    }
    return {key: text for key, text in found.items() if text}


def card_parts(grid: Grid) -> list[Part]:
    """The card as two checklists, and how many items are open."""
    facts = facts_of(grid)
    parts: list[Part] = [
        "Filled from the catalogue and the model's own card; what the records cannot know is "
        "listed with what a person must write. The same card is in model_card.md and "
        "model_card.json."
    ]
    for name, items in (("TRIPOD+AI 2024", TRIPOD_AI), ("CLAIM 2024", CLAIM)):
        open_ = sum(item.fact not in facts for item in items)
        parts.append(
            Listing(
                title=f"{name}.",
                caption=f"{len(items) - open_} of {len(items)} items are filled from records, "
                f"{open_} are to be written by a person.",
                items=tuple(_entry(item, facts) for item in items),
            )
        )
    return parts


def _entry(item: Item, facts: Facts) -> tuple[str, str, str, bool]:
    text = facts.get(item.fact or "")
    if text is None:
        return (item.number, item.topic, f"To be written: {item.to_write}", False)
    return (item.number, item.topic, text, True)


def card_json(grid: Grid) -> dict[str, Any]:
    """The card for machines; an open item has the text None and what is to be written."""
    facts, evidence = facts_of(grid), grid.evidence
    return {
        "notice": RESEARCH_ONLY,
        "model": evidence.model.record.name,
        "weights_sha256": evidence.model.record.sha256,
        "records": evidence.card.model_dump(mode="json", exclude={"split"}),
        **{
            name: [
                {
                    "item": item.number,
                    "topic": item.topic,
                    "text": facts.get(item.fact or ""),
                    "to_write": None if item.fact in facts else item.to_write,
                }
                for item in items
            ]
            for name, items in (("tripod_ai_2024", TRIPOD_AI), ("claim_2024", CLAIM))
        },
    }


def card_markdown(grid: Grid) -> str:
    """The card as a text that a person goes on writing."""
    facts, record = facts_of(grid), grid.evidence.model.record
    lines = [
        f"# Model card of {record.name}",
        "",
        f"{RESEARCH_ONLY} Weights: SHA-256 `{record.sha256}`.",
    ]
    for name, items in (("TRIPOD+AI 2024", TRIPOD_AI), ("CLAIM 2024", CLAIM)):
        lines += ["", f"## {name}", "", "| item | topic | |", "|---|---|---|"]
        for number, topic, text, filled in (_entry(item, facts) for item in items):
            lines.append(f"| {number} | {topic} | {_escaped(text) if filled else f'*{text}*'} |")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _data_facts(evidence: Evidence) -> Facts:
    card, spec = evidence.card, evidence.card.training
    scored = {smear for look in evidence.model.scorings for smear in look.answers}
    known = [evidence.smears[one] for one in sorted(scored) if one in evidence.smears]
    sites = Counter(one.site or "not given" for one in known)
    sizes = Counter(one.pixel_size_um for one in known)
    sides = ", ".join(f"{name}: {len(patients)}" for name, patients in card.split.items())
    pixel = ", ".join(
        f"{'unknown' if size is None else f'{size:g} µm'} ({n} smears)"
        for size, n in sorted(sizes.items(), key=lambda one: (one[0] is None, one[0] or 0))
    )
    slides = sum(one.is_slide for one in known)
    skipped = card.figures.get("skipped", {})
    hashes = ", ".join(f"{side} {value[:16]}" for side, value in card.split_sha256.items())
    return {
        "sites": "Sites (scored smears): "
        + ", ".join(f"{name} ({n})" for name, n in sorted(sites.items()))
        + "."
        if known
        else "",
        "acquisition": f"Pixel size: {pixel}; {slides} slides, {len(known) - slides} fields."
        if known
        else "",
        "preparation": f"The image is squeezed to {card.preprocessing.input_px} x "
        f"{card.preprocessing.input_px} px (bilinear, antialiased) and normalised with mean "
        f"{card.preprocessing.mean} and standard deviation {card.preprocessing.std}; "
        f"preprocessing hash {card.preprocessing_hash[:16]}.",
        "deidentification": "Patients are pseudonyms; no name is in a message, log or file name.",
        "partition": f"Protocol {spec.protocol}; patients by side: {sides}."
        if sides and spec.protocol == "honest"
        else (f"Protocol {spec.protocol}: images, not patients, were split." if sides else ""),
        "disjoint": "Patient: no patient and no smear is on two sides."
        if spec.protocol == "honest"
        else "Image: copies of one smear may be on both sides (protocol seed2022).",
        "flow": f"Patients by side: {sides}; smears that could not be read: {len(skipped)}."
        if sides
        else "",
        "data_hashes": f"Training data SHA-256 {card.data_sha256}"
        + (f"; sides: {hashes}." if hashes else "."),
        "tiles": f"Of each slide {spec.tiles_per_slide} tiles of its usable area, by a seeded "
        "draw; fields whole."
        if slides
        else "None: every field is used whole.",
    }


def _label_facts(evidence: Evidence) -> Facts:
    scored = {smear for look in evidence.model.scorings for smear in look.answers}
    held = {
        smear
        for look in evidence.model.scorings
        if look.side not in ("train", "out-of-fold")
        for smear in look.answers
    }
    blind = sum(evidence.consensus[one].is_blind for one in held if one in evidence.consensus)
    excluded = Counter(
        reason for one in evidence.consensus.values() for reason in one.excluded.values()
    )
    left_out = ", ".join(f"{reason}: {n}" for reason, n in sorted(excluded.items())) or "none"
    heads = "; ".join(f"{head.name} ({', '.join(head.classes)})" for head in evidence.scheme.heads)
    missing = []
    for head in evidence.scheme.heads:
        smears = evidence.labelled(sorted(scored))
        lacking = sum(one.answers[head.name] is None for one in smears)
        missing.append(f"{head.name} {lacking} of {len(smears)}")
    return {
        "outcome": f"Questions and classes: {heads}; the unit is the {evidence.scheme.unit}.",
        "blinding": f"{blind} of {len(held)} held-back smears have labels that were all given "
        "before their reader had seen a prediction."
        if held
        else "",
        "missing": f"Smears without an answer: {', '.join(missing)}; a missing answer is left out "
        f"of that head's loss and figures. Answers excluded by reason: {left_out}."
        if scored
        else "",
    }


def _model_facts(evidence: Evidence) -> Facts:
    card, spec = evidence.card, evidence.card.training
    heads = ", ".join(f"{head.name} ({len(head.classes)})" for head in evidence.scheme.heads)
    source = spec.weights if spec.weights in ("none", "imagenet") else "a file"
    sha = f", SHA-256 {spec.weights_sha256}" if spec.weights_sha256 else ""
    weights = ":".join(f"{one:g}" for one in spec.loss_weights) or "equal"
    chosen = card.selection
    output = "Probabilities of each class of each head"
    if card.calibration is not None:
        temperatures = ", ".join(
            f"{name} {own.temperature:.2f}" for name, own in card.calibration.heads.items()
        )
        output += (
            f", calibrated by temperature ({temperatures}); conformal sets at "
            f"{card.calibration.confidence:.0%}; flags unsure, heads-disagree, unlike-training"
        )
    return {
        "model": f"{card.backbone}, global average pooling, dropout {spec.dropout:g}, one linear "
        f"layer per head: {heads}; weights SHA-256 {evidence.model.record.sha256}.",
        "initial": f"Initial weights: {source}{sha}; heads random with seed {spec.seed}.",
        "versions": ", ".join(f"{name} {value}" for name, value in card.versions.items()) + "."
        if card.versions
        else "",
        "training": f"Adam, trunk {spec.trunk_learning_rate:g}, heads {spec.head_learning_rate:g}, "
        f"constant; batch {spec.batch_size}; {spec.epochs} epochs; tune {spec.tune}; loss weights "
        f"{weights}; augmentation {spec.augment}; {spec.folds} folds for internal validation.",
        "augmentation": f"Augmentation of training images: {spec.augment}; none in evaluation.",
        "selection": sentence(str(chosen["why"])) if chosen.get("why") else "",
        "ensemble": "None: one network answers.",
        "output": output + ".",
        "prediction": "The mean of the probabilities over a smear's views, then over a patient's "
        "smears; the call is the most probable class."
        if evidence.scheme.unit == "patient"
        else "The mean of the probabilities over an image's views; the call is the most probable "
        "class.",
        "predictor": "The image of the smear alone; no clinical data enter the model.",
    }


def _method_facts(evidence: Evidence) -> Facts:
    return {
        "imbalance": "The loss is balanced: every class counts alike, and in it every patient; "
        "probabilities refer to equally frequent classes.",
        "measures": "AUC, accuracy, balanced accuracy, sensitivity, specificity, PPV, NPV, Brier "
        "score, expected calibration error, risk-coverage, conformal coverage, net benefit.",
        "uncertainty": "95% intervals: Wilson for shares, logit DeLong for AUC, bootstrap of "
        "2,000 draws of patients for the others and wherever images are the unit.",
        "maps": "Class activation maps, exact for this network (mean over space, linear heads); "
        "they show where evidence lies, not that the reason is a right one.",
        "poor_input": "A smear that cannot be read gives a named error and no answer; unsure, "
        "contradicting and unlike-training answers are flagged.",
        "updating": "None: this model's weights are as trained." if evidence.model.scorings else "",
    }


def _result_facts(grid: Grid) -> Facts:
    evidence = grid.evidence
    model = evidence.model
    held = [one for one in grid.sides([model]) if one not in ("train", "out-of-fold", "seed2022")]
    said = []
    for side in held:
        for head in evidence.scheme.heads:
            found = grid.figures(model.record.id, side, head.name)
            if found is not None:
                said.append(
                    f"{side_text(side)}, {head.name}: AUC {figure_text(found['auc'])}, accuracy "
                    f"{figure_text(found['accuracy'])}, n = {found['n']} {found['unit']}"
                )
    sites = model.sites
    wrong = wrong_calls(grid)
    internal = evidence.rows(model, "test", evidence.scheme.primary)
    return {
        "performance": "; ".join(said) + "." if said else "",
        "external": f"Sites {', '.join(sites)}; looks: "
        + ", ".join(f"{site} {evidence.looks.get(f'site:{site}', 0)}" for site in sites)
        + "."
        if sites
        else "",
        "internal": f"{internal.patient_count} test patients, looked at "
        f"{evidence.looks.get('test', 0)} times by all models; folds of the training patients "
        "for every choice."
        if internal is not None
        else "",
        "heterogeneity": "Figures, colour, focus and site AUC by site are in the section on sites."
        if held
        else "",
        "difference": f"External sites {', '.join(sites)} against the training sites: see the "
        "section on sites."
        if sites
        else "",
        "failures": f"{len(wrong)} wrong calls of {evidence.scheme.primary} on held-back sides; "
        "the worst are shown with their maps and are to be read by an expert."
        if wrong
        else "",
    }
