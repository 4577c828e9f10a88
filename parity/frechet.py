"""Fréchet distances of fitted Gaussians by SciPy's matrix square root, as fixtures for src/recipes/frechet.ts."""

from pathlib import Path

import numpy as np
import scipy
from safetensors.numpy import save_file
from scipy.linalg import sqrtm

SEED = 0
random = np.random.default_rng(SEED)


def distance(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # A little on the diagonal, where the product is singular: its root by sqrtm is then one.
    eps = 1e-12 * np.eye(len(cov_a))
    root = sqrtm((cov_a + eps) @ (cov_b + eps)).real
    shift = a.mean(0) - b.mean(0)
    return float(shift @ shift + np.trace(cov_a + cov_b - 2 * root))


tensors, metadata = {}, {"scipy": scipy.__version__, "numpy": np.__version__, "seed": str(SEED)}
for name, size, count in [("full", 12, 60), ("deficient", 16, 10)]:
    mix = random.standard_normal((2, size, size))
    a = (random.standard_normal((count, size)) @ mix[0] / size**0.5).astype(np.float32)
    b = (random.standard_normal((count + 5, size)) @ mix[1] / size**0.5 + 0.2).astype(np.float32)
    tensors |= {f"{name}.a": a, f"{name}.b": b}
    metadata[name] = repr(distance(a, b))
    print(name, metadata[name])
save_file(tensors, Path(__file__).parent / "fixtures" / "frechet.safetensors", metadata=metadata)
