"""The networks are timm's own, for the data's channels, size and classes; weights come from files; refusals."""

import sys

import pytest
import torch
from hybridopt_timm.examples import RESNET, TRANSFORMER, weights_of
from hybridopt_timm.library import library
from hybridopt_timm.network import timm

from hybridopt import ConfigError, DataSpec

DIGITS = DataSpec((1, 8, 8), 10, "classification")


@pytest.mark.parametrize(
    ("architecture", "options"), [("resnet18", RESNET), ("vit_tiny_patch16_224", TRANSFORMER), ("lcnet_035", {})]
)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 24)])
def test_the_network_is_timm_s_for_these_images(architecture, options, shape):
    torch.manual_seed(3)
    ours = timm(DataSpec(shape, 7, "classification"), architecture, options=options)
    size = {"img_size": shape[1:]} if "vit" in architecture else {}
    torch.manual_seed(3)
    theirs = library().create_model(architecture, num_classes=7, in_chans=shape[0], **size, **options)
    assert ours.training
    assert all(map(torch.equal, ours.state_dict().values(), theirs.state_dict().values()))
    images = torch.rand(4, *shape)
    assert torch.equal(ours.eval()(images), theirs.eval()(images))


def test_published_weights_are_adapted_to_channels_and_classes(tmp_path):
    options = {**RESNET, "pretrained_cfg_overlay": {"file": weights_of(tmp_path / "resnet.pt")}}
    published = torch.load(tmp_path / "resnet.pt", weights_only=True)
    network = timm(DIGITS, "resnet18", pretrained=True, options=options)
    torch.testing.assert_close(network.conv1.weight, published["conv1.weight"].sum(1, keepdim=True))
    assert torch.equal(network.layer1[0].conv1.weight, published["layer1.0.conv1.weight"])
    assert network.fc.weight.shape == (10, 16)


def test_nothing_stands_for_torchvision_afterwards():
    library()
    assert not [name for name in sys.modules if name.partition(".")[0] == "torchvision" and not real(name)]


def real(name):
    """Whether a module has come from a file."""
    return getattr(sys.modules[name], "__file__", None) is not None


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"architecture": "resnt18"}, r"no architecture 'resnt18': did you mean .*resnet18"),
        ({"architecture": "qqq"}, r"no architecture 'qqq': timm\.list_models\(\) has all names"),
        ({"architecture": "resnet18.nobody"}, r"timm cannot make model\.architecture=resnet18\.nobody"),
        ({"architecture": "resnet18", "options": {"depht": 3}}, r"cannot make.*depht.*change model\.options"),
        ({"architecture": "convnext_atto"}, r"does not take images of 8x8 pixels and 1 channels"),
        ({"architecture": "resnet18", "pretrained": True}, r"weights of resnet18 cannot be had .*weights=<file>"),
        ({"architecture": "test_vit", "spec": DataSpec((7, 3), 10, "classification")}, r"take model=mlp"),
    ],
)
def test_what_cannot_be_had(settings, says):
    with pytest.raises(ConfigError, match=says):
        timm(**{"spec": DIGITS} | settings)


def test_a_machine_without_timm(monkeypatch):
    monkeypatch.setattr("hybridopt_timm.library.find_spec", lambda name: None)
    library.cache_clear()
    with pytest.raises(ConfigError, match="needs the timm library: type pip install timm"):
        timm(DIGITS, "resnet18")
