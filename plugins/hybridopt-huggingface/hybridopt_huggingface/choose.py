"""Which encoder columns of these kinds get."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from hybridopt import ConfigError
from hybridopt_huggingface.columns import named
from hybridopt_huggingface.features import Bag, Block, Categories, Numbers, Table
from hybridopt_huggingface.images import Images
from hybridopt_huggingface.inputs import Inputs
from hybridopt_huggingface.texts import Sequences


def inputs_for(
    kinds: Mapping[str, str],
    scaling: str,
    size: Sequence[int] | None,
    channels: int | None,
    text: str,
    tokens: str,
    vocabulary: int,
    length: int,
) -> Inputs:
    """The encoder for columns of these kinds; the settings are those of the data set ``huggingface``.

    Raises:
        ConfigError: the kinds do not go together, or a setting is out of range.
    """
    columns, found = list(kinds), set(kinds.values())
    if "image" in found:
        _refuse_company(kinds, "image", "an image is read alone", "")
        return Images(columns[0], size, channels, "range" if scaling == "auto" else scaling)
    if "text" in found and text == "sequence":
        _refuse_company(kinds, "text", "a text that is read as a sequence is read alone", ", or take dataset.text=bag")
        return Sequences(columns, tokens, vocabulary, length)
    scaling = "standardise" if scaling == "auto" else scaling
    blocks: dict[str, Callable[[str], Block]] = {
        "number": lambda column: Numbers(column, scaling),
        "category": Categories,
        "text": lambda column: Bag(column, tokens, vocabulary),
    }
    return Table([blocks[kind](column) for column, kind in kinds.items()])


def _refuse_company(kinds: Mapping[str, str], kind: str, why: str, otherwise: str) -> None:
    others = [name for name, other in kinds.items() if other != kind]
    same = [name for name in kinds if name not in others]
    if others or (kind == "image" and len(same) > 1):
        raise ConfigError(
            f"dataset.inputs has {named(same)} ({kind}){f' beside {named(others)}' if others else ''}, but {why}: type "
            f"dataset.inputs={same[0]}{otherwise}."
        )
