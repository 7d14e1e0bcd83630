import numpy as np
import pytest

from detectors.streams.embedding_map import principal_plane

RNG = np.random.default_rng(0)


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def around(centre, count, spread=0.05):
    return unit(centre + spread * RNG.normal(size=(count, len(centre))))


CENTRES = unit(RNG.normal(size=(4, 96)))
REFERENCE = np.vstack([around(centre, 50) for centre in CENTRES[:3]])


@pytest.mark.parametrize("count", [10, 1000])
def test_a_planted_shift_is_visible_for_any_size_of_the_recent_set(count):
    recent = around(CENTRES[3], count)
    plane = principal_plane(REFERENCE, recent)
    before, after = plane.project(REFERENCE), plane.project(recent)
    apart = np.linalg.norm(before[:, None] - after.mean(axis=0), axis=-1).min()
    assert apart > 5 * after.std(axis=0).max()
    assert plane.variance[0] > 0.3


def test_sets_from_the_same_clusters_have_the_same_centre():
    recent = np.vstack([around(centre, 50) for centre in CENTRES[:3]])
    plane = principal_plane(REFERENCE, recent)
    assert np.linalg.norm(plane.project(REFERENCE).mean(axis=0) - plane.project(recent).mean(axis=0)) < 0.05


def test_the_axes_and_shares_are_those_of_the_weighted_covariance():
    recent = around(CENTRES[3], 400)
    plane = principal_plane(REFERENCE, recent)
    origin = (REFERENCE.mean(axis=0) + recent.mean(axis=0)) / 2
    covariance = sum((part - origin).T @ (part - origin) / (2 * len(part)) for part in (REFERENCE, recent))
    values = np.linalg.eigvalsh(covariance.astype(np.float64))[::-1]
    assert plane.variance == pytest.approx(values[:2] / values.sum(), rel=1e-4)
    assert plane.axes @ plane.axes.T == pytest.approx(np.eye(2), abs=1e-9)
    for axis, value in zip(plane.axes, values, strict=False):
        assert covariance @ axis == pytest.approx(value * axis, abs=1e-4)
        assert axis[np.abs(axis).argmax()] > 0, "the sign does not depend on the machine"


def test_equal_vectors_are_one_point():
    vectors = np.tile(CENTRES[:1], (9, 1))
    plane = principal_plane(vectors, vectors)
    assert plane.variance == pytest.approx((0.0, 0.0), abs=1e-6)
    assert np.abs(plane.project(vectors)).max() < 1e-6
