"""The Compare tab of the workbench."""
