"""Data sets: digits, the synthetic one, and CIFAR files in torchvision's own format."""

import hashlib
import pickle

import numpy as np
import pytest
import torch

from mlflow_thermo.errors import ThermoError
from projects.fixed_lr.data import load_dataset


def test_digits():
    data = load_dataset("digits")
    assert data.x_train.shape == (1500, 1, 8, 8)
    assert data.x_test.shape == (297, 1, 8, 8)
    assert (data.channels, data.image_size, data.n_classes) == (1, 8, 10)
    assert float(data.x_train.mean()) == pytest.approx(0.0, abs=1e-5)
    assert float(data.x_train.std()) == pytest.approx(1.0, abs=1e-4)
    # The test images are normalised by the training images' statistics, not by their own.
    assert 1e-4 < abs(float(data.x_test.mean())) < 0.1
    assert len(torch.unique(data.y_train)) == 10


def test_random_is_synthetic_and_seeded():
    a, b, c = (load_dataset("random", seed=s) for s in (0, 0, 1))
    assert a.x_train.shape == (1024, 3, 32, 32)
    assert torch.equal(a.x_train, b.x_train)
    assert not torch.equal(a.x_train, c.x_train)


def test_label_noise_redraws_that_fraction():
    clean, noisy, other = (
        load_dataset("digits", label_noise=p, seed=s).y_train for p, s in ((0.0, 0), (0.3, 0), (0.3, 1))
    )
    changed = float((clean != noisy).float().mean())
    # A redrawn label is the old one in one case of ten.
    assert changed == pytest.approx(0.27, abs=0.03)
    assert not torch.equal(noisy, other)
    assert torch.equal(load_dataset("digits", label_noise=0.3).y_train, noisy)


def test_samples_per_label():
    data = load_dataset("digits", samples_per_label=20)
    assert torch.bincount(data.y_train).tolist() == [20] * 10
    assert len(data.y_test) == 297
    with pytest.raises(ThermoError, match="samples_per_label=200 is more than the .* training images of label"):
        load_dataset("digits", samples_per_label=200)


def test_small_digits_are_the_digits_without_their_border():
    small, whole = load_dataset("small-digits"), load_dataset("digits")
    assert small.x_train.shape == (1500, 1, 3, 3)
    assert torch.equal(small.y_train, whole.y_train)
    assert float(small.x_train.mean()) == pytest.approx(0, abs=1e-6)
    assert float(small.x_train.std()) == pytest.approx(1, rel=1e-5)
    # Each pixel is the mean of four, up to the common scale and offset.
    mean = whole.x_train[:, :, 1:3, 3:5].mean(dim=(2, 3)).flatten()
    assert float(torch.corrcoef(torch.stack([mean, small.x_train[:, 0, 0, 1]]))[0, 1]) == pytest.approx(1, abs=1e-5)


def test_unknown():
    with pytest.raises(ThermoError, match="dataset 'mnist' is unknown: choose one of digits, small-digits, cifar10"):
        load_dataset("mnist")


@pytest.mark.parametrize(("name", "inner"), [("cifar10", "cifar-10-batches-py"), ("cifar100", "cifar-100-python")])
def test_cifar_offline_says_where_to_put_the_files(tmp_path, name, inner):
    with pytest.raises(ThermoError, match=f"put the folder {inner} into {tmp_path}") as caught:
        load_dataset(name, tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def write_cifar(folder, n_classes, monkeypatch):
    """Files of CIFAR's format with a few random images; torchvision checks their md5, so that is replaced too."""
    from torchvision.datasets import CIFAR10, CIFAR100

    kind = CIFAR10 if n_classes == 10 else CIFAR100
    rng = np.random.default_rng(0)
    root = folder / kind.base_folder
    root.mkdir(parents=True)

    def put(name, content):
        raw = pickle.dumps(content)
        (root / name).write_bytes(raw)
        return hashlib.md5(raw).hexdigest()

    def batch(n):
        labels = [int(i) % n_classes for i in range(n)]
        key = "labels" if n_classes == 10 else "fine_labels"
        return {"data": rng.integers(0, 256, (n, 3072), dtype=np.uint8), key: labels}

    monkeypatch.setattr(kind, "train_list", [[name, put(name, batch(200))] for name, _ in kind.train_list])
    monkeypatch.setattr(kind, "test_list", [[name, put(name, batch(100))] for name, _ in kind.test_list])
    names = {kind.meta["key"]: [str(i) for i in range(n_classes)]}
    meta = kind.meta["filename"]
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": put(meta, names)})


@pytest.mark.parametrize("n_classes", [10, 100])
def test_cifar_files(tmp_path, monkeypatch, n_classes):
    write_cifar(tmp_path, n_classes, monkeypatch)
    data = load_dataset(f"cifar{n_classes}", tmp_path)
    assert data.x_train.shape == (1000 if n_classes == 10 else 200, 3, 32, 32)
    assert data.x_test.shape == (100, 3, 32, 32)
    assert data.n_classes == n_classes
    per_channel = data.x_train.mean(dim=(0, 2, 3)), data.x_train.std(dim=(0, 2, 3))
    torch.testing.assert_close(per_channel[0], torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(per_channel[1], torch.ones(3), atol=1e-3, rtol=0)


def write_miniature(folder, n=40, labels=None):
    """CIFAR-10 and CIFAR-100 files with a few random images, whose checksums are not the published ones."""
    rng = np.random.default_rng(0)

    def put(path, count, key, n_classes):
        path.parent.mkdir(parents=True, exist_ok=True)
        given = [i % n_classes for i in range(count)] if labels is None else labels(count, n_classes)
        images = rng.integers(0, 256, (count, 3072), dtype=np.uint8)
        path.write_bytes(pickle.dumps({b"data": images, key: given}))

    for i in range(1, 6):
        put(folder / "cifar-10-batches-py" / f"data_batch_{i}", n, b"labels", 10)
    put(folder / "cifar-10-batches-py" / "test_batch", 20, b"labels", 10)
    put(folder / "cifar-100-python" / "train", 100, b"fine_labels", 100)
    put(folder / "cifar-100-python" / "test", 100, b"fine_labels", 100)


@pytest.mark.parametrize(("name", "n_train"), [("cifar10", 200), ("cifar100", 100)])
def test_other_files_in_the_format_are_taken_with_a_warning(tmp_path, caplog, name, n_train):
    write_miniature(tmp_path)
    data = load_dataset(name, tmp_path)
    assert data.x_train.shape == (n_train, 3, 32, 32)
    assert f"dataset '{name}' in {tmp_path} is not the published one" in caplog.text


def test_a_half_written_cifar_file(tmp_path):
    write_miniature(tmp_path)
    path = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ThermoError, match="data_batch_3 is not a CIFAR file") as caught:
        load_dataset("cifar10", tmp_path)
    assert "\n" not in str(caught.value)


def test_a_file_without_labels(tmp_path):
    write_miniature(tmp_path)
    (tmp_path / "cifar-100-python" / "train").write_bytes(pickle.dumps({b"data": np.zeros((3, 3072), np.uint8)}))
    with pytest.raises(ThermoError, match="train is not a CIFAR file .KeyError"):
        load_dataset("cifar100", tmp_path)


def test_labels_that_miss_a_class(tmp_path):
    write_miniature(tmp_path, labels=lambda count, n_classes: [i % (n_classes - 2) for i in range(count)])
    with pytest.raises(ThermoError, match="'cifar10' has no training image of label 8 and 1 more"):
        load_dataset("cifar10", tmp_path)


def test_labels_beyond_the_classes(tmp_path):
    write_miniature(tmp_path, labels=lambda count, n_classes: [i % (n_classes + 1) for i in range(count)])
    with pytest.raises(ThermoError, match="training label 10, its classes are 0 to 9"):
        load_dataset("cifar10", tmp_path)
