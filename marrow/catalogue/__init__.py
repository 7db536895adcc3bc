"""The catalogue: smears, labels, regions, jobs, predictions and models in one database."""
