"""Any image network of ``timm`` (Wightman 2019, https://doi.org/10.5281/zenodo.4414861)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import huggingface_hub.constants
import torch
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError
from torch import nn

from hybridopt import ConfigError, DataSpec
from hybridopt.toolbox.messages import brief
from hybridopt_timm.examples import examples
from hybridopt_timm.library import library

PATIENCE = 10.0  # seconds for the hub's first answer; the library itself would ask six times for each file
SIMILAR = 4  # names that a sentence suggests
OVERLAY = "pretrained_cfg_overlay"  # timm's argument that names other weights


def timm(
    spec: DataSpec,
    architecture: str,
    pretrained: bool = False,
    options: dict[str, Any] = {},
) -> nn.Module:
    """An image network of the timm library, for the channels, size and classes of these data.

    Args:
        spec: images (C, H, W).
        architecture: a name of timm's, such as ``resnet18``, or with the name of its weights, ``resnet18.a1_in1k``.
        pretrained: start from its published weights, with a new last layer where the classes are others.
        options: further arguments of the architecture, such as ``'+model.options={drop_path_rate: 0.1}'``.

    Returns:
        timm's own module, which maps (B, C, H, W) to (B, output_size).

    Raises:
        ConfigError: timm is not installed or has no such architecture, it does not take these images or options, or its
            weights cannot be had.
    """
    shape = image_shape(spec)
    network = made(architecture, pretrained, spec.output_size, shape, options)
    check_images(network, architecture, shape)
    return network


def image_shape(spec: DataSpec) -> tuple[int, int, int]:
    """Channels, height and width.

    Raises:
        ConfigError: the inputs are no images.
    """
    shape = spec.input_shape
    if not isinstance(shape, tuple) or len(shape) != 3:
        raise ConfigError(
            f"model=timm needs images of shape (channels, height, width), but the data set's inputs have the shape "
            f"{shape}: take model=mlp or model=linear, which read any shape."
        )
    return shape


def made(
    architecture: str, pretrained: bool, outputs: int, shape: tuple[int, int, int], options: dict[str, Any]
) -> nn.Module:
    """The network that timm makes.

    Raises:
        ConfigError: with its reason, where it does not.
    """
    source = library()
    if not source.is_model(architecture):
        near = get_close_matches(architecture, source.list_models(), SIMILAR, 0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "timm.list_models() has all names."
        raise ConfigError(f"timm has no architecture {architecture!r}: {hint}")
    try:
        known = source.get_pretrained_cfg(architecture, allow_unregistered=True)
    except RuntimeError as error:  # there are no such weights
        raise ConfigError(
            f"timm cannot make model.architecture={architecture} ({brief(error)}): leave out what is behind "
            "the full stop."
        ) from error
    if known is not None and known.fixed_input_size:
        options = {"img_size": shape[1:]} | options
    settings = {"num_classes": outputs, "in_chans": shape[0]} | options
    if not pretrained:
        return _built(source, architecture, settings)
    try:
        elsewhere = known is None or OVERLAY in options
        with hub_asked_once(None if elsewhere else known.hf_hub_id):
            return source.create_model(architecture, pretrained=True, **settings)
    except Exception as error:  # the hub's client, safetensors and timm each have their own words
        raise ConfigError(
            f"The weights of {architecture} cannot be had ({brief(error)}): connect to the hub once, whose client "
            "keeps them in its cache, or leave model.pretrained out and name a file of them by weights=<file>."
        ) from error


def _built(source: Any, architecture: str, settings: dict[str, Any]) -> nn.Module:
    try:
        return source.create_model(architecture, pretrained=False, **settings)
    except Exception as error:  # each architecture has its own words
        raise ConfigError(
            f"timm cannot make model.architecture={architecture} of these settings ({brief(error)}): change "
            "model.options, or the size of the images, such as dataset.size=[224,224]."
        ) from error


@contextmanager
def hub_asked_once(name: str | None) -> Iterator[None]:
    """Inside, the hub's client reads its cache alone if the hub does not answer at once."""
    before = huggingface_hub.constants.HF_HUB_OFFLINE
    try:
        if name and not before:
            HfApi().model_info(name, timeout=PATIENCE)
    except HfHubHTTPError:  # an answer: timm will get it too
        pass
    except Exception:  # no name resolution, no route, no answer: each layer has its own classes
        huggingface_hub.constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        huggingface_hub.constants.HF_HUB_OFFLINE = before


def check_images(network: nn.Module, architecture: str, shape: tuple[int, int, int]) -> None:
    """Refuse images that a network is not made for, which it says only when it sees one.

    Raises:
        ConfigError: with the reason.
    """
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, *shape))
    except Exception as error:  # each layer has its own words
        channels, height, width = shape
        raise ConfigError(
            f"model.architecture={architecture} does not take images of {height}x{width} pixels and {channels} "
            f"channels ({brief(error)}): resize them, such as by dataset.size=[224,224] of dataset=huggingface, or "
            "choose another."
        ) from error
    finally:
        network.train(training)


timm.conformance = {"settings": examples}  # the kit tries it on small networks, one of them with weights of a file
