"""The contact sheet: a tab of the workbench."""
