"""Configurations, networks and tokenisers of the hub or of a folder; what cannot be read is said in one sentence.

No code of a checkpoint's own is ever run: ``trust_remote_code`` is not passed on, and the library refuses such models.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import HfApi
from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError
from transformers import AutoConfig, AutoTokenizer, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from hybridopt import ConfigError
from hybridopt.toolbox.messages import brief

log = logging.getLogger(__name__)

NAMED = 3  # parameters that a line of the log names
PATIENCE = 10.0  # seconds for the hub's answer; the library itself would ask five times for each file
REFUSED = (RepositoryNotFoundError, GatedRepoError, RevisionNotFoundError, HFValidationError)


def config_of(checkpoint: str, revision: str | None, dropout: bool, **settings: Any) -> PretrainedConfig:
    """A checkpoint's configuration.

    Args:
        checkpoint: a name on the hub, or a folder.
        revision: a commit, tag or branch on the hub.
        dropout: false sets whatever dropout it has to 0.
        settings: of the configuration, that replace its own.

    Raises:
        ConfigError: it cannot be read.
    """
    if revision is not None and Path(checkpoint).expanduser().exists():
        raise ConfigError(
            f"model.revision={revision!r} is a commit on the hub, but model.checkpoint={checkpoint!r} is a local path: "
            "leave one of them out."
        )
    with reading("model.checkpoint", checkpoint):
        config = AutoConfig.from_pretrained(**place_of(checkpoint, revision), **settings)
    if not dropout:
        for name, value in config.to_dict().items():
            if "drop" in name and isinstance(value, float):
                setattr(config, name, 0.0)
    return config


def network_of(
    auto: Any, config: PretrainedConfig, checkpoint: str, revision: str | None, pretrained: bool
) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """The network of a configuration, with 32-bit weights.

    Args:
        auto: one of the library's ``AutoModelFor...``.
        config: what it is.
        checkpoint: where its weights are.
        revision: as above.
        pretrained: false draws all weights at random.

    Returns:
        The network, and the names of its parameters that the checkpoint lacks, or has in another shape: they are drawn
        at random.

    Raises:
        ConfigError: it cannot be read, or there is no such network of this kind of checkpoint.
    """
    with reading("model.checkpoint", checkpoint):
        if not pretrained:
            return auto.from_config(config, dtype=torch.float32).train(), ()
        network, told = auto.from_pretrained(
            **place_of(checkpoint, revision),
            config=config,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,  # of a head for other classes
            output_loading_info=True,
        )
    lacking = {*told["missing_keys"], *(name for name, *_ in told["mismatched_keys"])}
    return network.train(), tuple(sorted(lacking))


def tokeniser_of(
    place: str, revision: str | None = None, setting: str = "dataset.tokeniser"
) -> PreTrainedTokenizerBase:
    """A checkpoint's tokeniser.

    Args:
        place: a name on the hub, or a folder.
        revision: a commit, tag or branch on the hub.
        setting: where the user names it.

    Raises:
        ConfigError: it cannot be read.
    """
    with reading(setting, place):
        return AutoTokenizer.from_pretrained(**place_of(place, revision))


def padding_of(owner: Any) -> int:
    """What fills up short texts: the padding token of a tokeniser or configuration, else its end-of-text token, else 0.

    It is masked, so that any token will do.
    """
    for token in (getattr(owner, "pad_token_id", None), getattr(owner, "eos_token_id", None)):
        token = token[0] if isinstance(token, list) and token else token
        if isinstance(token, int) and token >= 0:
            return token
    return 0


@contextmanager
def reading(setting: str, place: str) -> Iterator[None]:
    """Whatever the library says of what it cannot read, as one sentence; a download shows its bars."""
    try:
        with quiet(bars=not Path(place).expanduser().exists()):
            yield
    except Exception as error:  # the library, the hub's client, safetensors and json each have their own words
        raise ConfigError(
            f"{setting}={place} cannot be read by the transformers library ({brief(error)}): give a folder that "
            "save_pretrained wrote, or a name on the hub as its page shows it, which must be reachable or in the "
            "library's cache."
        ) from error


@contextmanager
def quiet(bars: bool = False) -> Iterator[None]:
    """Leave out the library's hints, and its progress bars."""
    level, shown = transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    if not bars:
        transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(level)
        if shown:
            transformers.logging.enable_progress_bar()


@cache
def tell_new(names: tuple[str, ...], checkpoint: str) -> None:
    """Log which parameters begin at random, once: a run builds its network twice."""
    if names:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        log.info("model.checkpoint=%s has no %s%s: drawn at random.", checkpoint, ", ".join(names[:NAMED]), more)


def place_of(checkpoint: str, revision: str | None) -> dict[str, Any]:
    """What ``from_pretrained`` is to read: a folder, a commit of the hub, or, where that does not answer, its cache.

    Raises:
        ConfigError: there is no such folder.
    """
    folder = Path(checkpoint).expanduser()
    if folder.exists():
        return {"pretrained_model_name_or_path": str(folder)}
    if checkpoint.startswith((".", "~", "/")) or checkpoint.count("/") > 1:
        raise ConfigError(f"{folder.absolute()} does not exist")
    commit = commit_of(checkpoint, revision)
    asked = {"revision": revision or "main", "local_files_only": True} if commit is None else {"revision": commit}
    return {"pretrained_model_name_or_path": checkpoint, **asked}


@cache
def commit_of(name: str, revision: str | None) -> str | None:
    """The commit that a revision is on the hub, which is asked once in a process; None if it does not answer.

    Raises:
        Exception: the hub's client says that there is no such thing.
    """
    try:
        return HfApi().model_info(name, revision=revision, timeout=PATIENCE).sha
    except REFUSED:
        raise
    except Exception:  # no name resolution, no route, no answer, offline mode: each layer has its own classes
        return None
