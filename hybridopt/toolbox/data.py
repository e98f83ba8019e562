"""Parts of data modules of your own: training streams, held-out sets, digests, and seeds.

``EVALUATION_BATCH`` is the number of samples in a batch of validation or test, where memory allows it.
"""

from hybridopt.core.data import EVALUATION_BATCH, InOrder
from hybridopt.core.stream import TensorStream
from hybridopt.engine.digest import digest
from hybridopt.engine.randomness import derived_seed

__all__ = ["EVALUATION_BATCH", "InOrder", "TensorStream", "derived_seed", "digest"]
