"""What a model must know of the data."""

from dataclasses import dataclass

from hybridopt.engine.trees import Shapes


@dataclass(frozen=True)
class DataSpec:
    """The shape of a learning problem.

    Args:
        input_shape: the shape of one sample, without the batch dimension; a tree of shapes, such as a dictionary, where
            inputs are a tree of tensors.
        output_size: the number of classes, or of regression targets.
        task: "classification", "regression", or a plugin's own word.
    """

    input_shape: Shapes
    output_size: int
    task: str
