"""Smears as pixels: finding them in folders, opening any form lazily, reading windows of them."""

from marrow.images.assets import Asset, find_assets, require_unchanged
from marrow.images.opening import open_smear
from marrow.images.smear import SmearImage

__all__ = ["Asset", "SmearImage", "find_assets", "open_smear", "require_unchanged"]
