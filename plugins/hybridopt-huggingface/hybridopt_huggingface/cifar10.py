"""CIFAR-10 (Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images"), as the Hugging Face hub has it.

https://www.cs.toronto.edu/~kriz/learning-features-2009-TR.pdf
"""

from typing import Literal

from hybridopt import DataModule
from hybridopt_huggingface.huggingface import huggingface


def cifar10(
    path: str = "uoft-cs/cifar10",
    revision: str | None = None,
    scaling: Literal["range", "standardise", "none"] = "range",
    val_fraction: float = 0.1,
    split_seed: int = 0,
    limit: int | None = None,
    in_memory: bool = True,
    batch_size: int | None = 256,
) -> DataModule:
    """Animals and vehicles: 60,000 colour images of 32x32 pixels, 10 classes.

    The test set is the published one; validation is carved out of the 50,000 training images.

    Args:
        path: the name on the hub, or local files of the same columns ("img" and "label").
        revision: a commit of the hub's repository; pin one to repeat a run exactly.
        scaling: of pixels: "range" is [-1, 1], "standardise" mean 0 and variance 1 of each channel over the training
            images, "none" [0, 255].
        val_fraction: the share of the training images that is carved out for validation.
        split_seed: fixes which image goes where.
        limit: at most this many images, drawn at random, of each of the three sets.
        in_memory: keep the pixels in memory (on the device); false reads each batch from disk.
        batch_size: images in a training batch; None for all of them.

    Returns:
        Inputs (3, 32, 32), by default from -1 to 1; 10 classes.

    Raises:
        DataError: the hub cannot be reached, or the files cannot be read.
        ConfigError: a setting is out of range.
    """
    return huggingface(
        path,
        revision=revision,
        inputs="img",
        task="classification",
        scaling=scaling,
        val_fraction=val_fraction,
        split_seed=split_seed,
        limit=limit,
        in_memory=in_memory,
        batch_size=batch_size,
    )
