"""What may be decoded: sizes are checked as declared, before any decoder sees the pixels."""

from __future__ import annotations

from marrow.images.boundary import NoSmear, TooLarge

MEGA = 1_000_000
# A whole-frame microscope camera gives 5 to 50 megapixels; 200 leaves room for stitched fields.
WHOLE_PIXELS = 200 * MEGA
# From here on a single image is worked on by tiles (DESIGN.md: field or slide).
SLIDE_PIXELS = 25 * MEGA
# A scanner's tile is 0.2 to 4 MB when decoded; 64 MB is a 4600 x 4600 RGB tile.
TILE_BYTES = 64 * MEGA
# Pixels in flight in one process.
BUDGET_BYTES = 1000 * MEGA
# A marrow cell at the coarsest useful scale is about this large; less shows no smear.
SHORTEST_EDGE_PX = 16


def check_extent(height: int, width: int) -> None:
    """Refuse what is too small to show a smear.

    Raises
    ------
    NoSmear
        If an edge is under 16 px.
    """
    if min(height, width) < SHORTEST_EDGE_PX:
        raise NoSmear(
            f"is {width} x {height} px; a smear has at least "
            f"{SHORTEST_EDGE_PX} x {SHORTEST_EDGE_PX} px"
        )


def check_whole(height: int, width: int) -> None:
    """Refuse an image that can only be decoded as a whole and declares too many pixels.

    Raises
    ------
    TooLarge
        If it has over 200 megapixels.
    """
    if height * width > WHOLE_PIXELS:
        raise TooLarge(
            f"declares {width} x {height} px = {height * width / MEGA:.0f} megapixels in one "
            f"piece; at most {WHOLE_PIXELS // MEGA} are decoded at once: "
            "save it as a tiled, pyramidal TIFF"
        )


def check_tile(nbytes: int) -> None:
    """Refuse a tile that is too large when decoded.

    Raises
    ------
    TooLarge
        If one tile has over 64 MB.
    """
    if nbytes > TILE_BYTES:
        raise TooLarge(
            f"declares tiles of {nbytes / MEGA:.0f} MB; at most {TILE_BYTES // MEGA} MB are decoded"
        )
