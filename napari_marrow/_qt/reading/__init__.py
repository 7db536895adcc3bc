"""The Consensus tab of the workbench."""
