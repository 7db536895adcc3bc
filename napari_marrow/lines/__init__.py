"""Rows of the tables as ready-made strings: all formatting is done before the GUI thread."""
