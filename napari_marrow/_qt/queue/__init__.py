"""The Queue tab of the workbench."""
