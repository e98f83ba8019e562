"""MNIST (LeCun, Bottou, Bengio, Haffner 1998, https://doi.org/10.1109/5.726791), as the Hugging Face hub has it."""

from typing import Literal

from hybridopt import DataModule
from hybridopt_huggingface.huggingface import huggingface


def mnist(
    path: str = "ylecun/mnist",
    revision: str | None = None,
    scaling: Literal["range", "standardise", "none"] = "range",
    val_fraction: float = 0.1,
    split_seed: int = 0,
    limit: int | None = None,
    in_memory: bool = True,
    batch_size: int | None = 256,
) -> DataModule:
    """Handwritten digits: 70,000 grey images of 28x28 pixels, 10 classes.

    The test set is the published one; validation is carved out of the 60,000 training images.

    Args:
        path: the name on the hub, or local files of the same columns ("image" and "label").
        revision: a commit of the hub's repository; pin one to repeat a run exactly.
        scaling: of pixels: "range" is [-1, 1], "standardise" mean 0 and variance 1 of each channel over the training
            images, "none" [0, 255].
        val_fraction: the share of the training images that is carved out for validation.
        split_seed: fixes which image goes where.
        limit: at most this many images, drawn at random, of each of the three sets.
        in_memory: keep the pixels in memory (on the device); false reads each batch from disk.
        batch_size: images in a training batch; None for all of them.

    Returns:
        Inputs (1, 28, 28), by default from -1 (paper) to 1 (ink); 10 classes.

    Raises:
        DataError: the hub cannot be reached, or the files cannot be read.
        ConfigError: a setting is out of range.
    """
    return huggingface(
        path,
        revision=revision,
        inputs="image",
        task="classification",
        scaling=scaling,
        val_fraction=val_fraction,
        split_seed=split_seed,
        limit=limit,
        in_memory=in_memory,
        batch_size=batch_size,
    )
