"""Images: MNIST's and CIFAR's layout, folders, scales, sizes, channels, and what is no image."""

import io
import json

import numpy as np
import pytest
import torch
from datasets import Dataset
from hf_layouts import SETS, digits, encoded, image_set, refused, whole
from hybridopt_huggingface.cifar10 import cifar10
from hybridopt_huggingface.huggingface import huggingface
from hybridopt_huggingface.images import Images
from hybridopt_huggingface.mnist import mnist
from PIL import Image as Picture

from hybridopt.composition.building import build


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_the_layout_of_mnist(name, mnist_folder):
    module = build("dataset", {"name": name, "path": str(mnist_folder), "batch_size": None})
    assert (module.spec.input_shape, module.spec.output_size, module.spec.task) == ((1, 28, 28), 10, "classification")
    assert [len(whole(module, part)[0]) for part in SETS] == [450, 50, 100]
    inputs, targets = whole(module, "train")
    assert (inputs.dtype, targets.dtype) == (torch.float32, torch.int64)
    assert (inputs.min(), inputs.max()) == (-1, 1)


def test_pixels_and_classes_are_those_of_the_files(mnist_folder):
    pixels, labels = digits()
    inputs, targets = whole(mnist(str(mnist_folder), scaling="none"), "test")
    assert torch.equal(inputs[:, 0], torch.from_numpy(pixels[500:600]).float())
    assert torch.equal(targets, torch.from_numpy(labels[500:600]))


@pytest.mark.parametrize("scaling", ["range", "standardise", "none"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_what_is_said_makes_the_same_of_pixels(mnist_folder, scaling, in_memory):
    pixels, _ = digits()
    module = mnist(str(mnist_folder), scaling=scaling, in_memory=in_memory)
    said = json.loads(json.dumps(module.preprocessing()))
    inputs, _ = whole(module, "test")
    scaled = (pixels[500:600, None] - np.array(said["inputs"]["mean"])) / np.array(said["inputs"]["scale"])
    np.testing.assert_allclose(scaled, inputs, rtol=1e-4, atol=1e-4)
    assert said["targets"] == {"columns": ["label"], "classes": [str(digit) for digit in range(10)]}


def test_the_layout_of_cifar(cifar_folder):
    module = cifar10(str(cifar_folder), batch_size=None)
    assert (module.spec.input_shape, module.spec.output_size) == ((3, 32, 32), 10)
    inputs, targets = whole(module, "test")
    means = inputs.mean((2, 3))  # the maker gives each class its colour
    assert (means[targets == 9] > means[targets == 0].max(0).values).all()


def test_a_folder_for_each_class(tmp_path):
    pixels, labels = digits()
    for number, (picture, label) in enumerate(zip(pixels[:60], labels[:60] % 2, strict=True)):
        place = tmp_path / ("train" if number < 40 else "test") / ("even", "odd")[label]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.png").write_bytes(encoded(picture))
    module = huggingface(str(tmp_path))
    assert (module.spec.input_shape, module.spec.output_size) == ((1, 28, 28), 2)
    assert len(whole(module, "test")[0]) == 20


def test_bytes_without_the_librarys_own_types(tmp_path):
    pixels, labels = digits()
    table = {"image": [{"bytes": encoded(p), "path": None} for p in pixels[:50]], "label": (labels[:50] % 2).tolist()}
    Dataset.from_dict(table).with_format("arrow").to_pandas().to_parquet(tmp_path / "plain.parquet")
    assert huggingface(str(tmp_path / "plain.parquet")).spec.input_shape == (1, 28, 28)


def test_standardise_takes_each_channel_of_the_training_images(cifar_folder):
    module = cifar10(str(cifar_folder), scaling="standardise", batch_size=None)
    inputs, _ = whole(module, "train")
    torch.testing.assert_close(inputs.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(inputs.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-4, rtol=0)


def test_held_out_images_have_no_say_in_the_scale(tmp_path):
    pixels, labels = digits()
    for shade, folder in ((0, "dark"), (200, "bright")):
        (tmp_path / folder).mkdir()
        image_set(pixels[:100], labels[:100]).to_parquet(tmp_path / folder / "train.parquet")
        image_set(np.full_like(pixels[:20], shade), labels[:20]).to_parquet(tmp_path / folder / "test.parquet")
    one, other = (mnist(str(tmp_path / folder), scaling="standardise") for folder in ("dark", "bright"))
    assert torch.equal(whole(one, "val")[0], whole(other, "val")[0])
    assert not torch.equal(whole(one, "test")[0], whole(other, "test")[0])


def test_size_and_channels(mnist_folder):
    module = huggingface(str(mnist_folder), size=[14, 20], channels=3)
    assert module.spec.input_shape == (3, 14, 20)
    inputs, _ = whole(module, "test")
    assert torch.equal(inputs[:, 0], inputs[:, 2])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_pixels_of_any_usual_type(mode):
    shades = np.tile(np.arange(64, dtype=np.uint8) * 4, (8, 1))
    picture = Picture.fromarray(shades)
    picture = Picture.fromarray(shades.astype(np.uint16) * 257) if mode == "I;16" else picture.convert(mode)
    buffer = io.BytesIO()
    picture.save(buffer, "TIFF" if mode == "CMYK" else "PNG")
    encoder = Images("image", None, None, "none")
    with Picture.open(buffer) as opened:
        found = encoder._converted(opened, "row 0")
    assert found.shape == (1 if mode in ("1", "L", "LA", "I;16") else 3, 8, 64)
    if mode != "1":
        assert np.abs(found.astype(int) - shades).max() <= 3


# -- what is refused --------------------------------------------------------------------------------------------------


def saved(tmp_path, files):
    """Image files of two classes as parquet; the path."""
    table = {"image": [{"bytes": file, "path": None} for file in files], "label": [i % 2 for i in range(len(files))]}
    Dataset.from_dict(table).to_parquet(tmp_path / "data.parquet")
    return tmp_path / "data.parquet"


def test_unequal_sizes(tmp_path):
    files = [encoded(np.zeros((8 + (number == 7), 8), np.uint8)) for number in range(40)]
    path = saved(tmp_path, files)
    refused(r"same shape.*8x8 pixels and 1 channel.*9x8.*dataset\.size=\[", path=path)
    assert huggingface(str(path), size=[8, 8]).spec.input_shape == (1, 8, 8)


def test_unequal_channels(tmp_path):
    files = [encoded(np.zeros((8, 8, 3) if number == 7 else (8, 8), np.uint8)) for number in range(40)]
    path = saved(tmp_path, files)
    error = refused(r"1 channel.*3 channels.*type dataset\.channels=1 or dataset\.channels=3", path=path)
    assert "dataset.size" not in str(error)
    assert huggingface(str(path), channels=1).spec.input_shape == (1, 8, 8)


def test_a_file_that_is_no_image(tmp_path):
    files = [encoded(np.zeros((8, 8), np.uint8)) for _ in range(40)]
    files[11] = b"GIF? no"
    refused(
        r"'image' holds no readable image in row \d+ of the \w+ set \(its format is not known\)",
        path=saved(tmp_path, files),
    )


def test_a_damaged_image(tmp_path):
    files = [encoded(np.random.default_rng(0).integers(0, 255, (28, 28), np.uint8)) for _ in range(40)]
    files[11] = files[11][: len(files[11]) // 2]
    refused(r"'image' holds no readable image in row", path=saved(tmp_path, files))


def test_images_elsewhere_are_not_fetched(tmp_path):
    table = {"image": [{"bytes": None, "path": "https://example.org/1.png"}] * 20, "label": [0, 1] * 10}
    Dataset.from_dict(table).to_parquet(tmp_path / "data.parquet")
    refused(r"neither the bytes nor a local file.*https://example\.org/1\.png", path=tmp_path / "data.parquet")


def test_a_missing_image(tmp_path):
    table = {
        "image": [None, *[{"bytes": encoded(np.zeros((8, 8), np.uint8)), "path": None}] * 19],
        "label": [0, 1] * 10,
    }
    Dataset.from_dict(table).to_parquet(tmp_path / "data.parquet")
    refused(r"'image' has no value in 1 rows, the first in row \d+ of the", path=tmp_path / "data.parquet")


def test_floating_point_pixels(tmp_path):
    buffer = io.BytesIO()
    Picture.fromarray(np.zeros((8, 8), np.float32)).save(buffer, "TIFF")
    refused(r"pixels of the type 'F'.*8-bit", path=saved(tmp_path, [buffer.getvalue()] * 40))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"size": [28]}, r"dataset\.size must be \[height,width\].*\[28\]"),
        ({"size": [0, 4]}, r"dataset\.size"),
        ({"channels": 2}, r"dataset\.channels must be 1 .* or 3 .*is 2"),
        ({"inputs": ["image", "label"], "target": "label"}, r"both name the column 'label'"),
        ({"kinds": {"image": "text"}}, r"gives 'image' the kind text, which does not suit.*Choose from: image"),
        ({"kinds": {"imag": "text"}}, r"no column 'imag' for dataset\.kinds\. Did you mean 'image'"),
        ({"kinds": {"label": "colour"}}, r"'label' the kind 'colour'.*category, image, number, text"),
    ],
)
def test_a_bad_setting(mnist_folder, settings, says):
    refused(says, path=mnist_folder, **settings)


def test_an_image_beside_other_columns(tmp_path, mnist_sets):
    part = mnist_sets["train"]
    part.add_column("weight", [1.0] * len(part)).to_parquet(tmp_path / "data.parquet")
    refused(
        r"'image' \(image\) beside 'weight'.*inputs=image", path=tmp_path / "data.parquet", inputs=["image", "weight"]
    )
    assert huggingface(str(tmp_path / "data.parquet")).spec.input_shape == (1, 28, 28)  # by default the image alone
