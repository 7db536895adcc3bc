"""How large a pixel is, when the file says something that can be true."""

from __future__ import annotations

import math
import re

# 0.02 um is far below the resolution of light (100x oil with a dense camera gives 0.05); above
# 10 um a pixel is larger than a red cell, and the figure comes from a printing default.
FINEST_UM, COARSEST_UM = 0.02, 10.0
# Scanners round x and y apart by well under 1 %; more than 10 % is no microscope's pixel.
LARGEST_ASPECT = 1.1

_UM_PER_UNIT = {"nm": 1e-3, "um": 1.0, "µm": 1.0, "μm": 1.0, "micron": 1.0, "microns": 1.0}
_UM_PER_UNIT |= {"mm": 1e3, "cm": 1e4, "inch": 25_400.0}


def judge_pixel_size(x_um: object, y_um: object) -> tuple[float | None, tuple[str, ...]]:
    """Return the pixel size in um, or None and one sentence on why it is unknown.

    Parameters
    ----------
    x_um, y_um : object
        What the file states for the two edges of a pixel of level 0, in um; None if nothing.
    """
    x, y = _positive(x_um), _positive(y_um)
    x, y = x or y, y or x
    if x is None or y is None:
        return None, ("the file states no pixel size",)
    size = (x + y) / 2
    if not FINEST_UM <= size <= COARSEST_UM:
        return None, (
            f"the file states {size:.4g} um per pixel, outside {FINEST_UM} to {COARSEST_UM:g} um: "
            "taken as unknown",
        )
    if max(x, y) / min(x, y) > LARGEST_ASPECT:
        return None, (f"the file states oblong pixels ({x:.4g} x {y:.4g} um): taken as unknown",)
    return size, ()


def _positive(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def from_dots(dpi: object) -> tuple[float | None, float | None]:
    """Return (x, y) in um from a resolution of (x, y) dots per inch."""
    if not isinstance(dpi, tuple) or len(dpi) != 2:
        return None, None
    x, y = (_positive(dots) for dots in dpi)
    return (25_400.0 / x if x else None), (25_400.0 / y if y else None)


def from_description(text: str) -> tuple[float | None, float | None]:
    """Return (x, y) in um as OME-XML or Aperio state it in a TIFF's description."""
    if "<OME" in text[:2000]:
        return _ome(text, "X"), _ome(text, "Y")
    aperio = re.search(r"\|\s*MPP\s*=\s*([0-9.]+)", text)
    mpp = _positive(aperio.group(1)) if aperio else None
    return mpp, mpp


def _ome(text: str, axis: str) -> float | None:
    size = re.search(rf'\bPhysicalSize{axis}="([^"]{{1,40}})"', text)
    unit = re.search(rf'\bPhysicalSize{axis}Unit="([^"]{{1,20}})"', text)
    number = _positive(size.group(1)) if size else None
    # OME: the unit's default is the micrometre.
    factor = _UM_PER_UNIT.get(unit.group(1) if unit else "um")
    return number * factor if number and factor else None


def from_resolution(
    x_per_unit: object, y_per_unit: object, unit: str
) -> tuple[float | None, float | None]:
    """Return (x, y) in um from pixels per unit; unknown units give None."""
    factor = _UM_PER_UNIT.get(unit.lower())
    x, y = _positive(x_per_unit), _positive(y_per_unit)
    if factor is None:
        return None, None
    return (factor / x if x else None), (factor / y if y else None)
