"""Whitening: the sample-space form against the dense matrix, and what may not be fitted on."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from scipy import linalg

from marrow.errors import CannotSplit
from marrow.synthetic import cohort, render_field
from training import zca
from training.zca import ConvZCA, Whitening, patch_whitening, require_training_only


@cache
def drawn_fields() -> list[np.ndarray]:
    patients = cohort({"AA": 2, "MDS": 2, "AML": 2}, seed=1)
    return [render_field(patient, 0, 192, 0.4).image for patient in patients]


def fields(count: int, size: int = 96) -> torch.Tensor:
    """Windows of synthetic smears, uint8 (count, 3, size, size)."""
    windows = [
        drawn_fields()[n % 6][n // 6 * 8 :, n // 6 * 8 :][:size, :size] for n in range(count)
    ]
    return torch.from_numpy(np.stack(windows)).permute(0, 3, 1, 2).contiguous()


@pytest.fixture
def _few_patches(monkeypatch) -> None:
    monkeypatch.setattr(zca, "PATCHES", 20_000)


@pytest.fixture
def small() -> torch.Tensor:
    """50 images of 10 x 10: 300 numbers each."""
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (50, 3, 10, 10), dtype=torch.uint8, generator=generator)


def dense(images: torch.Tensor, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean, and (X'X / n + eps I)^-1/2 by a matrix of D x D; no line of it is shared."""
    flat = images.flatten(1).numpy().astype(np.float64) / 255
    mean = flat.mean(0)
    covariance = np.cov(flat.T, bias=True)
    return mean, linalg.inv(linalg.sqrtm(covariance + eps * np.eye(flat.shape[1]))).real


def test_sample_space_form_is_the_dense_form(small):
    eps = 1e-2
    fitted, new = small[:40], small[40:]
    whitening = Whitening.fit(fitted, eps, torch.float64)
    mean, matrix = dense(fitted, eps)
    for images, tolerance in ((fitted, 1e-12), (new, 4e-11)):
        flat = images.flatten(1).double() / 255
        wanted = (flat.numpy() - mean) @ matrix
        made = torch.stack([whitening.whiten(one) for one in flat]).numpy()
        assert np.abs(made - wanted).max() <= tolerance * np.abs(wanted).max()


def test_sample_space_form_is_the_dense_form_at_the_papers_eps(small):
    fitted, new = small[:40], small[40:]
    whitening = Whitening.fit(fitted, dtype=torch.float64)
    flat = fitted.flatten(1).numpy().astype(np.float64) / 255
    values, vectors = np.linalg.eigh(np.cov(flat.T, bias=True))
    # 40 centred images have rank 39: the 261 others are 0, and what eigh makes of them, some
    # 2e-16, would show beside an eps of 1e-6.
    values[:-39] = 0
    matrix = (vectors / np.sqrt(values + 1e-6)) @ vectors.T
    for images in (fitted, new):
        scaled = images.flatten(1).double() / 255
        wanted = (scaled.numpy() - flat.mean(0)) @ matrix
        made = torch.stack([whitening.whiten(one) for one in scaled]).numpy()
        # What two dense forms differ by themselves: rounding beside the span, times eps^-1/2.
        assert np.abs(made - wanted).max() <= 4e-11 * np.abs(wanted).max()


def test_fitted_images_come_out_equally_far_from_each_other(small):
    whitening = Whitening.fit(small[:40], dtype=torch.float64)
    flat = small[:40].flatten(1).double() / 255
    white = torch.stack([whitening.whiten(one) for one in flat])
    apart = torch.pdist(white)
    # n orthonormal directions less their mean: distance sqrt(2 n) for all pairs, up to eps.
    torch.testing.assert_close(apart, torch.full_like(apart, 80**0.5), rtol=1e-4, atol=0)


def test_float32_is_within_a_grey_level_of_float64():
    images = fields(12, 64)
    exact = Whitening.fit(images, dtype=torch.float64)
    stored = Whitening.fit(images)
    assert stored.axes.dtype == torch.float32
    apart = stored.apply(images).int() - exact.apply(images).int()
    assert apart.abs().max() <= 1
    # What cancels in the residual is enlarged a thousand times: 7% of the pixels were rounded so.
    assert (apart != 0).float().mean() < 0.15


def test_grey_levels_span_the_fit_sets_percentiles(small):
    whitening = Whitening.fit(small, dtype=torch.float64)
    flat = small.flatten(1).double() / 255
    white = torch.stack([whitening.whiten(one) for one in flat]).numpy()
    low, high = np.percentile(white, (0.1, 99.9))
    assert whitening.low == pytest.approx(low, rel=1e-9)
    assert whitening.high == pytest.approx(high, rel=1e-9)
    wanted = np.clip(np.round((white - low) / (high - low) * 255), 0, 255)
    apart = np.abs(whitening.apply(small).flatten(1).numpy() - wanted)
    assert apart.max() <= 1
    assert (apart > 0).mean() < 1e-3


def test_percentiles_of_a_large_set_are_taken_of_a_part(monkeypatch):
    images = fields(12, 64)
    whole = Whitening.fit(images)
    monkeypatch.setattr(zca, "_QUANTILE_VALUES", 20_000)
    part = Whitening.fit(images)
    assert part.low != whole.low
    spread = whole.high - whole.low
    assert abs(part.low - whole.low) < 0.1 * spread
    assert abs(part.high - whole.high) < 0.1 * spread


def test_copies_of_one_image_in_the_fit_set_take_no_direction_of_their_own(small):
    twice = torch.cat([small[:10], small[:3]])
    whitening = Whitening.fit(twice)
    assert len(whitening.variances) == 9
    assert whitening.apply(small[:10]).float().std() > 10


@pytest.mark.usefixtures("_few_patches")
def test_key_is_of_the_images_and_eps(small):
    first = Whitening.fit(small).key
    assert Whitening.fit(small.clone()).key == first
    changed = small.clone()
    changed[7, 2, 9, 9] ^= 1
    wide = small.view(50, 3, 20, 5)
    others = {
        Whitening.fit(changed).key,
        Whitening.fit(small[1:]).key,
        Whitening.fit(small, eps=1e-5).key,
        Whitening.fit(wide).key,
        ConvZCA.fit(small).key,
        ConvZCA.fit(small, eps_share=0.02).key,
        first,
    }
    assert len(others) == 7


@pytest.mark.parametrize("count", [1, 3])
def test_refuses_a_fit_set_without_two_different_images(small, count):
    with pytest.raises(CannotSplit, match=f"{count} training images, no two of them different"):
        Whitening.fit(small[:1].repeat(count, 1, 1, 1))


def test_refuses_images_of_another_size(small):
    with pytest.raises(ValueError, match=r"\(3, 10, 5\), fitted on \(3, 10, 10\)"):
        Whitening.fit(small).apply(small[..., :5])


def test_refuses_a_fit_set_that_meets_test_patients():
    require_training_only(["a", "b", "a"], {"c"})
    with pytest.raises(CannotSplit, match="1 test patients"):
        require_training_only(["a", "b"], {"b", "c"})


def patches_of(images: torch.Tensor) -> torch.Tensor:
    windows = images.unfold(2, 5, 3).unfold(3, 5, 3)  # n, 3, h, w, 5, 5
    return windows.permute(0, 2, 3, 1, 4, 5).reshape(-1, 75).double() / 255


def test_patch_covariance_comes_to_the_identity_as_eps_goes_to_0():
    patches = patches_of(fields(6, 192))
    fitted, new = patches[::2], patches[1::2]
    apart = []
    for eps_share in (1e-1, 1e-9):
        mean, matrix = patch_whitening(fitted, eps_share)
        white = (new - mean) @ matrix
        covariance = (white.T @ white / len(white)).numpy()
        apart.append(np.abs(covariance - np.eye(75)).max())
    assert apart[-1] < 0.10
    assert apart[0] > 0.5  # with much eps it is far from it: the test can tell


@pytest.mark.usefixtures("_few_patches")
def test_the_convolution_is_the_centre_of_each_whitened_patch():
    images = fields(6, 64)
    local = ConvZCA.fit(images)
    patches = zca._patches(images, 0)
    mean, matrix = patch_whitening(patches, 0.01)
    one = images[:1]
    padded = np.pad(one[0].double().numpy() / 255, ((0, 0), (2, 2), (2, 2)), mode="reflect")
    made = local.apply(one)[0].numpy()
    for row, column in ((0, 0), (5, 9), (63, 30)):
        patch = padded[:, row : row + 5, column : column + 5].ravel()
        white = matrix.numpy() @ (patch - mean.numpy())
        levels = (white[[12, 37, 62]] - local.low) / (local.high - local.low) * 255
        # Half a level of rounding, and float32.
        assert np.abs(made[:, row, column] - np.clip(levels, 0, 255)).max() <= 0.51


@pytest.mark.usefixtures("_few_patches")
def test_convolution_moves_with_the_image():
    image = fields(1, 160)
    local = ConvZCA.fit(fields(6, 64))
    whole = local.apply(image)
    moved = local.apply(image[:, :, 9:, 14:].contiguous())
    inside = moved[:, :, 2:-2, 2:-2].int() - whole[:, :, 11:-2, 16:-2].int()
    # Sums of 75 products in float32 may end on the other side of a half.
    assert inside.abs().max() <= 1
    assert (inside != 0).float().mean() < 1e-3


@pytest.mark.usefixtures("_few_patches")
def test_the_seed_of_the_patches_decides():
    images = fields(6, 64)
    first, again, other = (ConvZCA.fit(images, seed) for seed in (0, 0, 1))
    assert torch.equal(first.kernel, again.kernel)
    assert not torch.equal(first.kernel, other.kernel)
    torch.testing.assert_close(first.kernel, other.kernel, rtol=0.2, atol=0.2)
