"""The Retrain tab of the workbench."""
