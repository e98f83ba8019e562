"""What a model must know of the data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DataSpec:
    """The shape of a learning problem.

    Args:
        input_shape: the shape of one sample, without the batch dimension.
        output_size: the number of classes, or of regression targets.
        task: "classification", "regression", or a plugin's own word.
    """

    input_shape: tuple[int, ...]
    output_size: int
    task: str
