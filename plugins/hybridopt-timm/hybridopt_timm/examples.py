"""Small networks, on which the conformance kit tries the model ``timm``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from hybridopt_timm.library import library

RESNET = {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}
TRANSFORMER = {"depth": 1, "embed_dim": 16, "num_heads": 2, "patch_size": 4}


def examples(folder: Path) -> list[dict[str, Any]]:
    """Settings of small networks; the weights of one are written to a file as those that are published have them.

    Args:
        folder: is written to.
    """
    weights = weights_of(folder / "resnet.pt")
    return [
        {"architecture": "resnet18", "options": RESNET},
        {"architecture": "vit_tiny_patch16_224", "options": TRANSFORMER},
        {"architecture": "lcnet_035", "options": {}},
        {
            "architecture": "resnet18",
            "pretrained": True,
            "options": {**RESNET, "pretrained_cfg_overlay": {"file": weights}},
        },
    ]


def weights_of(file: Path) -> str:
    """Random weights of a small ResNet for coloured images and ImageNet's 1000 classes; the name of their file."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(library().create_model("resnet18", **RESNET).state_dict(), file)
    return str(file)
