"""The Results tab of the workbench."""
