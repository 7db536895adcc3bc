"""The napari plugin: a study's smears, its queue and its answers beside the canvas."""
