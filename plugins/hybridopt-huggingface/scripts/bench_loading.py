"""How long it takes to load images in the layout of MNIST, and to cut batches of them.

    python scripts/bench_loading.py --rows 6000 60000

"first" reads parquet into the datasets library's cache, "later" is what every further run takes; both are seconds of
one core, for N training rows (and N / 6 test rows). A batch is 256 rows, in milliseconds of one core.
"""

from __future__ import annotations

import argparse
import time
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import datasets
import numpy as np
import torch
from hybridopt_huggingface.mnist import mnist
from make_digits import write

BATCHES = 50


def seconds(call) -> tuple[float, object]:
    """What a call takes of one core, and gives."""
    started = time.process_time()
    result = call()
    return time.process_time() - started, result


def measure(rows: int, folder: Path) -> str:
    """One line of the table."""
    rng = np.random.default_rng(0)
    for name, count in {"train": rows, "test": rows // 6}.items():
        pixels = np.zeros((count, 28, 28), np.uint8)
        pixels[:, 4:24, 4:24] = rng.integers(0, 256, (count, 20, 20))  # noise in a frame, as digits have one
        write(folder / f"{name}.parquet", pixels, rng.integers(0, 10, count))
    first, _ = seconds(lambda: mnist(str(folder)))
    later, memory = seconds(lambda: mnist(str(folder)))
    from_disk, disk = seconds(lambda: mnist(str(folder), in_memory=False))
    megabytes = sum(part.nbytes for pair in memory.compact.values() for part in pair) / 1e6
    columns = first, later, from_disk, megabytes, batch(memory), batch(disk)
    return f"{rows:8,}" + "".join(f"{value:11.2f}" for value in columns)


def batch(module) -> float:
    """Milliseconds a training batch."""
    stream = iter(module.train_dataloader())
    next(stream)
    spent, _ = seconds(lambda: list(islice(stream, min(BATCHES, module.batch_size))))
    return 1000 * spent / min(BATCHES, module.batch_size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[6000, 60000])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    print("    rows    first s    later s     disk s  memory MB   batch ms    disk ms")
    for rows in arguments.rows:
        with TemporaryDirectory() as folder:
            datasets.config.HF_DATASETS_CACHE = f"{folder}/cache"
            print(measure(rows, Path(folder) / "data"))


if __name__ == "__main__":
    main()
