"""The items of TRIPOD+AI 2024 and CLAIM 2024: which record fills each, or what a person writes.

The topics are named in our own words; the lists themselves have the full text.

Source: Collins et al. 2024, BMJ 385:e078378 (TRIPOD+AI, 27 items); Tejani et al. 2024, Radiol
Artif Intell 6:e240300 (CLAIM 2024 update, 44 items).
"""

from __future__ import annotations

from typing import NamedTuple


class Item(NamedTuple):
    """One item of a checklist."""

    number: str
    topic: str
    fact: str | None
    """Key of the sentence that the records give (`model_card.facts_of`); None: they cannot."""
    to_write: str
    """What a person must write where the records are silent."""


_TITLE = "Title: that a model is developed or evaluated, for whom, and by which method."
_ABSTRACT = "A structured summary; the figures of this report with their n and intervals."
_LIMITS = "Limits of the study, beginning with those of the section on what n cannot resolve."
_FUNDING = "Who paid, and what the funders had to say in the study."

TRIPOD_AI: tuple[Item, ...] = (
    Item("1", "Title", None, _TITLE),
    Item("2", "Abstract", None, _ABSTRACT),
    Item("3a", "Healthcare context and rationale", None, "The clinical question, and which "
         "models exist."),
    Item("3b", "Target population, purpose and users", None, "For whom, at which point of the "
         "work-up, and read by whom."),
    Item("3c", "Health inequalities", None, "Known differences between groups of patients."),
    Item("4", "Objectives", None, "Development, evaluation, or both."),
    Item("5a", "Data sources", "sites", "Where the smears come from, and how representative."),
    Item("5b", "Dates of the data", None, "First and last date of sampling."),
    Item("6a", "Setting and number of centres", "sites", "Kind and place of the centres."),
    Item("6b", "Eligibility", None, "Who was included and excluded, and why."),
    Item("6c", "Treatments", None, "Treatment before the sample was taken."),
    Item("7", "Preparation of the data", "preparation", "Any selection or cleaning of images."),
    Item("8a", "Outcome: definition and time", "outcome", "The diagnostic criteria, and when."),
    Item("8b", "Outcome: who assessed it", None, "Qualification of the readers."),
    Item("8c", "Outcome: blinding of the assessment", "blinding", "What the readers knew."),
    Item("9a", "Predictors: choice", "predictor", "Why the image alone."),
    Item("9b", "Predictors: definition and measurement", "acquisition", "Stain, scanner, "
         "objective, pixel size."),
    Item("9c", "Predictors: who assessed them", None, "Who chose and took the images."),
    Item("10", "Sample size", "sample_size", "How the number of patients was arrived at."),
    Item("11", "Missing data", "missing", "Why answers are missing."),
    Item("12a", "How the data were used", "partition", "The split."),
    Item("12b", "Handling of predictors", "augmentation", "Transformations of the image."),
    Item("12c", "Model, building, tuning, internal validation", "training", "The procedure."),
    Item("12d", "Heterogeneity between clusters", "heterogeneity", "Differences between centres."),
    Item("12e", "Measures of performance", "measures", "Measures and plots."),
    Item("12f", "Model updating", "updating", "Any update after evaluation."),
    Item("12g", "How predictions were made in evaluation", "prediction", "From image to answer."),
    Item("13", "Class imbalance", "imbalance", "What was done about rare classes."),
    Item("14", "Fairness", None, "Performance by sex, age and ethnicity, which this study does "
         "not store."),
    Item("15", "Model output", "output", "What the answer is, and its thresholds."),
    Item("16", "Training against evaluation data", "difference", "How the two differ."),
    Item("17", "Ethical approval", None, "Committee, number, consent or waiver."),
    Item("18a", "Funding", None, _FUNDING),
    Item("18b", "Conflicts of interest", None, "Of each author."),
    Item("18c", "Protocol", None, "Where it can be read, or that there is none."),
    Item("18d", "Registration", None, "Register and number, or that it is not registered."),
    Item("18e", "Data sharing", "data_hashes", "Whether and how the images can be had."),
    Item("18f", "Code sharing", "versions", "Where the code can be had."),
    Item("19", "Patient and public involvement", None, "Any, or that there was none."),
    Item("20a", "Flow of participants", "flow", "From all patients to those analysed."),
    Item("20b", "Characteristics of participants", "characteristics", "Age, sex, blood counts."),
    Item("20c", "Development against evaluation participants", "difference", "Comparison."),
    Item("21", "Numbers in each analysis", "flow", "Participants and events."),
    Item("22", "Full model", "model", "Architecture, weights, and access."),
    Item("23a", "Performance with intervals", "performance", "All figures."),
    Item("23b", "Heterogeneity of performance", "heterogeneity", "By centre."),
    Item("24", "Results of updating", "updating", "Any updated model."),
    Item("25", "Interpretation", None, "What the figures mean, fairness included."),
    Item("26", "Limitations", None, _LIMITS),
    Item("27a", "Poor or missing input", "poor_input", "What is done with a bad smear."),
    Item("27b", "Interaction with users", None, "What the user must know and do."),
    Item("27c", "Next steps", None, "Further research, and other populations."),
)  # fmt: skip

CLAIM: tuple[Item, ...] = (
    Item("1", "Title or abstract names the method", None, _TITLE),
    Item("2", "Abstract", None, _ABSTRACT),
    Item("3", "Background and clinical role", None, "The clinical question, and the model's role."),
    Item("4", "Aims and hypotheses", None, "What was to be shown."),
    Item("5", "Prospective or retrospective", None, "How the smears were collected."),
    Item("6", "Goal of the study", None, "Development, feasibility, or comparison."),
    Item("7", "Data sources", "sites", "Where the smears come from."),
    Item("8", "Inclusion and exclusion", None, "Who was included and excluded, and why."),
    Item("9", "Preprocessing", "preparation", "Steps before the network."),
    Item("10", "Selection of subsets", "tiles", "Any choice of a part of the data."),
    Item("11", "De-identification", "deidentification", "How patients' names were removed."),
    Item("12", "Missing data", "missing", "Why answers are missing."),
    Item("13", "Image acquisition", "acquisition", "Stain, scanner, objective, pixel size."),
    Item("14", "Reference standard: definition", "outcome", "The diagnostic criteria."),
    Item("15", "Reference standard: rationale", None, "Why these criteria, and their errors."),
    Item("16", "Reference standard: source", "readers", "Who the readers are."),
    Item("17", "Reference standard of the test set", "blinding", "How test smears were read."),
    Item("18", "Variability between readers", None, "Kappa with its interval; none is stored "
         "where each smear has one reader."),
    Item("19", "Assignment to partitions", "partition", "The split."),
    Item("20", "Level at which partitions are disjoint", "disjoint", "Patient, smear or image."),
    Item("21", "Sample size", "sample_size", "How the number of patients was arrived at."),
    Item("22", "Model", "model", "Input, output, layers."),
    Item("23", "Software", "versions", "Libraries and versions."),
    Item("24", "Initial parameters", "initial", "Random or transferred."),
    Item("25", "Training", "training", "Optimiser, rate, batch, epochs, augmentation."),
    Item("26", "Selection of the final model", "selection", "By what and on whom."),
    Item("27", "Ensembling", "ensemble", "How several models were joined."),
    Item("28", "Metrics", "measures", "Which, and why."),
    Item("29", "Uncertainty and significance", "uncertainty", "Intervals and tests."),
    Item("30", "Robustness", "heterogeneity", "Sensitivity to site, stain and focus."),
    Item("31", "Explanation", "maps", "Maps, and how far they can be trusted."),
    Item("32", "Internal evaluation", "internal", "On whom."),
    Item("33", "External testing", "external", "On whom."),
    Item("34", "Registration of a trial", None, "Register and number, or that there is none."),
    Item("35", "Patients included and excluded", "flow", "Flow diagram."),
    Item("36", "Characteristics by partition", "characteristics", "Age, sex, blood counts."),
    Item("37", "Performance on every partition", "performance", "All figures."),
    Item("38", "Diagnostic accuracy and its precision", "performance", "With 95% intervals."),
    Item("39", "Failure analysis", "failures", "The wrong calls, read by an expert."),
    Item("40", "Limitations", None, _LIMITS),
    Item("41", "Implications for practice", None, "Intended use and next steps."),
    Item("42", "Protocol", None, "Where it can be read."),
    Item("43", "Availability of software, model and data", "versions", "Where each can be had."),
    Item("44", "Funding", None, _FUNDING),
)  # fmt: skip
