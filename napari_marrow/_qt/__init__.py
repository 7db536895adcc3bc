"""The widgets, one per file; the only part of the plugin that imports Qt."""
