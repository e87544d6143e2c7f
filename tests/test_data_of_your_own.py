"""Folders, arrays, sets in the hub's form and functions, from the study file to the results."""

import numpy as np
import pytest
import torch
from PIL import Image

import sgdscope
from sgdscope import Study, data, references
from sgdscope.data import memory
from sgdscope.errors import RequestError
from sgdscope.results.folder import StudyFolder
from sgdscope.results.tables import Results
from sgdscope.results.view import View
from sgdscope.study import plugins

STUDY = """
model = "flat.py:flat"
data = "folder:woods"
batch_size = 8
epochs = 1
[schedule.fixed]
learning_rate = 0.1
[measure.test_accuracy]
"""
FLAT = """
from torch import nn
def flat(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], classes))
"""
CLASSES = ("birch", "oak")


def picture(number, size=(6, 5), channels=3):
    """Random pixels, (height, width, channels)."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 256, (*size, channels), dtype=np.uint8)
    return pixels[:, :, 0] if channels == 1 else pixels


def save(file, pixels, **options):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file, **options)


def fill(home, *, train=10, test=4, **options):
    for part, count in (("train", train), ("test", test)):
        for k, name in enumerate(CLASSES):
            for i in range(count):
                number = 1000 * (part == "test") + 100 * k + i
                save(home / part / name / f"{i}.png", picture(number, **options))


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "mine.toml").write_text(STUDY)
    (tmp_path / "flat.py").write_text(FLAT)
    fill(tmp_path / "woods")
    return tmp_path


def loaded(home, name="folder:woods", **replaced):
    return Study.load(home / "mine.toml", overrides={"data": name, **replaced})


def read(home, name):
    """The data set that a study in that place means."""
    return data.load(loaded(home, name).runs[0].data)


def test_a_folder_of_images_is_read_pixel_for_pixel_and_a_tenth_is_held_out(home):
    found = read(home, "folder:woods")
    assert (len(found.train), len(found.validation), len(found.test)) == (18, 2, 8)
    assert (found.shape, found.classes) == ((3, 6, 5), 2)
    known = {
        picture(1000 * (part is found.test) + 100 * k + i).tobytes(): k
        for part in (found.train, found.test)
        for k in range(2)
        for i in range(10)
    }
    for part in (found.train, found.validation, found.test):
        for pixels, label in zip(part.pixels, part.labels.tolist(), strict=True):
            assert known[pixels.permute(1, 2, 0).numpy().tobytes()] == label
    assert found.test.labels.tolist() != sorted(found.test.labels.tolist())
    again = read(home, "folder:woods")  # from what was decoded
    assert torch.equal(again.train.pixels, found.train.pixels)


def test_a_validation_folder_is_used_and_the_first_training_images_are_of_every_class(home):
    for k, name in enumerate(CLASSES):
        save(home / "woods" / "validation" / name / "v.png", picture(5000 + k))
    found = read(home, "folder:woods")
    assert (len(found.train), len(found.validation)) == (20, 2)
    assert set(found.train.labels[:10].tolist()) == {0, 1}
    mean = found.train.pixels.double().mean((0, 2, 3)) / 255
    torch.testing.assert_close(torch.tensor(found.mean), mean.float())


def test_own_data_reach_workers_and_are_redrawn_where_the_images_are_gone(home):
    (home / "sets.py").write_text(SETS)
    study = loaded(home, ["folder:woods", "sets.py:load"])
    first, second = study.runs
    assert (first.data, first.train_size) == ("folder:woods", 18)
    assert first.content == data.named.fingerprint(data.load("folder:woods"))
    assert (len(first.code.split()), len(second.code.split())) == (1, 2)
    results = sgdscope.run(study, out=home / "out", workers=1)
    assert results.runs["reason"].isna().all()
    moved = (home / "out").rename(home / "moved")
    (home / "woods").rename(home / "gone")
    plugins._loaded.clear()
    references.forget()
    StudyFolder(moved).load_plugins()
    kept = Study.parse(StudyFolder(moved).settings(), kept=True)
    assert [run.id for run in kept.runs] == [first.id, second.id]
    assert View(Results.load(moved)).panels == ["flat on woods", "flat on load"]


def test_changed_images_are_another_run_and_are_refused_by_name(home):
    study = loaded(home)
    sgdscope.run(study, out=home / "out", engine="inline")
    save(home / "woods" / "train" / "oak" / "0.png", picture(77))
    with pytest.raises(RequestError, match="data set 'folder:woods': its images or labels have ch"):
        sgdscope.run(study, out=home / "other", engine="inline")
    changed = loaded(home)
    assert changed.runs[0].id != study.runs[0].id
    with pytest.raises(RequestError, match=r"'folder:woods': .* changed since the runs in"):
        sgdscope.run(changed, out=home / "out", engine="inline")
    save(home / "woods" / "train" / "oak" / "new.png", picture(78))
    with pytest.raises(RequestError, match=r"'folder:woods': .* changed since the runs in"):
        sgdscope.run(loaded(home), out=home / "out", engine="inline")


def test_the_place_of_a_folder_does_not_count(home, tmp_path_factory):
    first = loaded(home).runs[0].id
    other = tmp_path_factory.mktemp("other")
    for name in ("woods", "mine.toml", "flat.py"):
        (home / name).rename(other / name)
    assert loaded(other).runs[0].id == first


def test_images_are_resized_when_told_to(home):
    save(home / "woods" / "train" / "oak" / "big.png", picture(9, size=(12, 10)))
    with pytest.raises(RequestError) as caught:
        loaded(home)
    assert "birch/0.png is 6×5 and" in str(caught.value)
    assert "oak/big.png is 12×10; expected images of one size, or" in str(caught.value)
    assert "?resize=5" in str(caught.value)
    assert read(home, "folder:woods?resize=6x5").shape == (3, 6, 5)
    assert read(home, "folder:woods?resize=8").shape == (3, 8, 8)
    big = Image.fromarray(picture(9, size=(12, 10))).resize((5, 6), Image.Resampling.BILINEAR)
    pixels = read(home, "folder:woods?resize=6x5")
    whole = torch.cat([pixels.train.pixels, pixels.validation.pixels])
    expected = torch.from_numpy(np.asarray(big).copy()).permute(2, 0, 1)
    assert (whole == expected).flatten(1).all(1).sum() == 1


def test_grey_among_colour_is_refused_unless_all_are_to_be_colour(home):
    fill(home / "grey", channels=1)
    assert read(home, "folder:grey").shape == (1, 6, 5)
    save(home / "woods" / "test" / "oak" / "g.png", picture(9, channels=1))
    with pytest.raises(RequestError, match=r"oak/g\.png is grey and .*0\.png is in colour"):
        loaded(home)
    assert read(home, "folder:woods?channels=3").shape == (3, 6, 5)


def test_a_photograph_with_a_preview_in_its_file_is_one_image(home):
    shots = [Image.fromarray(picture(seed)) for seed in (1, 2)]
    file = home / "woods" / "train" / "oak" / "phone.jpg"
    shots[0].save(file, format="MPO", save_all=True, append_images=shots[1:])
    assert len(read(home, "folder:woods").train) > 0


def one_class(home):
    for part in ("train", "test"):
        (home / "woods" / part / "oak").rename(home / part)


def no_test(home):
    (home / "woods" / "test").rename(home / "woods" / "val")


def other_classes(home):
    (home / "woods" / "test" / "oak").rename(home / "woods" / "test" / "elm")


def damaged(home):
    file = home / "woods" / "train" / "oak" / "3.png"
    file.write_bytes(file.read_bytes()[:60])


def text(home):
    (home / "woods" / "train" / "oak" / "notes.txt").write_text("oaks")


def empty(home):
    for file in (home / "woods" / "test" / "oak").iterdir():
        file.unlink()


def loose(home):
    save(home / "woods" / "train" / "1.png", picture(1))


def clear(home):
    pixels = picture(1, channels=4)
    save(home / "woods" / "train" / "oak" / "c.png", pixels)


def animated(home):
    frames = [Image.fromarray(picture(seed)) for seed in (1, 2)]
    file = home / "woods" / "train" / "oak" / "a.gif"
    frames[0].save(file, save_all=True, append_images=frames[1:])


WRONG = {
    one_class: r"woods/train: 1 class \('birch'\); expected at least 2",
    no_test: r"woods: no folder 'test' in it; expected .*, found train, val",
    other_classes: r"woods: class 'elm' is in test, not in train; expected the same",
    damaged: r"oak/3\.png cannot be read as an image: ",
    text: r"oak/notes\.txt cannot be read as an image: the file is empty or of no format",
    empty: r"test/oak: no images in it; expected images of class 'oak'",
    loose: r"train/1\.png: is not in a class folder",
    clear: r"oak/c\.png is partly transparent",
    animated: r"oak/a\.gif holds several images; expected one",
}


@pytest.mark.parametrize("harm", WRONG, ids=lambda harm: harm.__name__)
def test_what_is_wrong_with_a_folder_is_one_sentence(home, harm):
    harm(home)
    with pytest.raises(RequestError, match=WRONG[harm]) as caught:
        loaded(home)
    assert "\n" not in str(caught.value)


NAMES = {
    "folder:wods": "no folder wods; expected one with train/CLASS",
    "folder:~nobody_here/woods": "'folder:~nobody_here/woods': no home folder ~nobody_here; exp",
    "folder:woods?resise=5": r"unknown key 'resise'; did you mean 'resize'\?",
    "folder:woods?resize=big": "expected a size in pixels",
    "npz:none.npz": r"no file none\.npz",
    "sets.py:lod": r"sets\.py:lod: unknown data set 'lod'; did you mean 'load'\?",
    "sets.py:load?size=3": r"a function takes no options; expected sets\.py:NAME",
    "sets.py:number": "the function returns int; expected x_train, y_train, x_test, y_test",
    "sets.py:fails": "KeyError: 'here'",
    "sets.py:drawn": "are not the same each time they are read",
    "mnits": r"unknown data set 'mnits'; did you mean 'mnist'\?",
}
SETS = """
import torch
calls = []
def drawn():
    calls.append(1)
    x = torch.full((20, 4, 4), len(calls), dtype=torch.uint8)
    return x, torch.arange(20) % 2, x, torch.arange(20) % 2
def load():
    x = torch.randint(0, 256, (20, 1, 4, 4), dtype=torch.uint8)
    return {"x_train": x, "y_train": torch.arange(20) % 2, "x_test": x[:4].numpy(),
            "y_test": [0, 1, 0, 1]}
def number(): return 3
def fails(): return {}["here"]
"""


@pytest.mark.parametrize("name", NAMES)
def test_what_is_wrong_with_a_name_is_one_sentence(home, name):
    (home / "sets.py").write_text(SETS)
    with pytest.raises(RequestError, match=NAMES[name]):
        read(home, name)


def arrays(channels, names):
    rng = np.random.default_rng(0)
    shape = (6, 5, 3) if channels else (6, 5)
    x, y, xt, yt, xv, yv = names
    found = {
        x: rng.integers(0, 256, (20, *shape), dtype=np.uint8), y: np.arange(20)[:, None] % 4,
        xt: rng.integers(0, 256, (8, *shape), dtype=np.uint8), yt: np.arange(8) % 4,
        xv: rng.integers(0, 256, (4, *shape), dtype=np.uint8), yv: np.arange(4) % 4,
    }  # fmt: skip
    return {name: value for name, value in found.items() if name}


MEDMNIST = [f"{part}_{what}" for part in ("train", "test", "val") for what in ("images", "labels")]


@pytest.mark.parametrize("names", [MEDMNIST, ["x_train", "y_train", "x_test", "y_test", "", ""]])
@pytest.mark.parametrize("channels", [True, False])
def test_an_npz_file_is_read_by_common_names_and_channels_are_found(home, names, channels):
    given = arrays(channels, names)
    np.savez(home / "a.npz", **given)
    found = read(home, "npz:a.npz")
    assert found.shape == ((3 if channels else 1), 6, 5)
    assert found.classes == 4
    assert (len(found.train), len(found.validation)) == (
        (20, 4) if "val_images" in names else (18, 2)
    )
    pixels, labels = given[names[2]], given[names[3]].tolist()
    known = {image.tobytes(): label for image, label in zip(pixels, labels, strict=True)}
    for image, label in zip(found.test.pixels, found.test.labels.tolist(), strict=True):
        assert known[image.permute(1, 2, 0).numpy().tobytes()] == label


X = np.zeros((8, 4, 4), dtype=np.uint8)
Y = np.arange(8) % 2
BAD_ARRAYS = {
    "no test": ({"x_train": X, "y_train": Y}, "no x_test or test_images; found x_train, y_train"),
    "labels from 1": (
        {"x_train": X, "y_train": Y + 1, "x_test": X, "y_test": Y},
        "training labels are 1, 2; expected 0 to 1",
    ),
    "other test labels": (
        {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y + 1},
        "test labels 2 are not in the training labels, 0, 1",
    ),
    "floats": (
        {"x_train": X / 255, "y_train": Y, "x_test": X, "y_test": Y},
        "pixels of type float64, from 0 to 0; expected uint8",
    ),
    "channels": (
        {"x_train": np.zeros((8, 7, 7, 7), np.uint8), "y_train": Y, "x_test": X, "y_test": Y},
        r"x_train has shape \(8, 7, 7, 7\); expected 1 to 4 channels",
    ),
    "one class": (
        {"x_train": X, "y_train": Y * 0, "x_test": X, "y_test": Y * 0},
        "all training labels are 0; expected 2 classes",
    ),
    "one-hot": (
        {"x_train": X, "y_train": np.eye(2)[Y], "x_test": X, "y_test": Y},
        r"labels of shape \(8, 2\); .* \(of one-hot labels: labels\.argmax\(1\)\)",
    ),
    "real labels": (
        {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y / 1},
        "x_test, y_test: labels of type float64; expected whole numbers",
    ),
    "text": (
        {"x_train": X, "y_train": np.array(["cat", "dog"])[Y], "x_test": X, "y_test": Y},
        "y_train: an array of text; expected numbers",
    ),
    "16 bits": (
        {"x_train": X.astype(np.uint16) + 300, "y_train": Y, "x_test": X, "y_test": Y},
        "pixels of type uint16, from 300 to 300; expected uint8 from 0 to 255$",
    ),
    "complex": (
        {"x_train": X.astype(complex), "y_train": Y, "x_test": X, "y_test": Y},
        "pixels of type complex128; expected uint8",
    ),
    "no pixels": (
        {"x_train": X[:, :0], "y_train": Y, "x_test": X[:, :0], "y_test": Y},
        r"pixels of shape \(8, 1, 0, 4\); expected at least one pixel",
    ),
    "objects": (
        {"x_train": np.array([None] * 8), "y_train": Y, "x_test": X, "y_test": Y},
        "x_train holds Python objects; expected numbers",
    ),
}


@pytest.mark.parametrize("wrong", BAD_ARRAYS)
def test_what_is_wrong_with_arrays_is_one_sentence(home, wrong):
    content, said = BAD_ARRAYS[wrong]
    np.savez(home / "a.npz", **content)
    with pytest.raises(RequestError, match=said):
        loaded(home, "npz:a.npz")


def test_arrays_that_are_no_part_of_a_data_set_are_not_read(home):
    parts = {"x_train": np.tile(X, (2, 1, 1)), "y_train": np.tile(Y, 2), "x_test": X, "y_test": Y}
    np.savez(home / "a.npz", **parts, about=np.array([{"by": "somebody"}]))
    assert len(read(home, "npz:a.npz").test) == 8
    for content in (b"", b"hello", (home / "a.npz").read_bytes()[:50]):
        (home / "b.npz").write_bytes(content)
        with pytest.raises(RequestError, match=r"b\.npz: not an npz file; expected one that numpy"):
            read(home, "npz:b.npz")


AS_THEY_COME = """
import numpy as np
import torch
X = np.random.default_rng(0).integers(0, 256, (20, 4, 5), dtype=np.uint8)
Y = np.arange(20) % 2
def plain(): return X, Y, X[:4], Y[:4]
def fixed():
    x = X.copy()
    x.flags.writeable = False
    return x, Y.astype(">i8"), X[:4], Y[:4]
def turned(): return X[::-1][::-1], Y[::-1][::-1], np.asfortranarray(X[:4]), Y[:4]
def listed(): return list(torch.tensor(X)), Y.tolist(), torch.tensor(X)[:4], tuple(Y[:4])
def leaves(): raise SystemExit(3)
def two(): return (X, Y), (X, Y)
"""


@pytest.mark.parametrize("name", ["fixed", "turned", "listed"])
def test_arrays_of_a_function_may_be_held_in_any_way(home, name):
    (home / "sets.py").write_text(AS_THEY_COME)
    plain, found = (read(home, f"sets.py:{one}") for one in ("plain", name))
    for part in ("train", "validation", "test"):
        assert torch.equal(getattr(found, part).pixels, getattr(plain, part).pixels)
        assert torch.equal(getattr(found, part).labels, getattr(plain, part).labels)


def test_what_else_a_function_may_do_is_one_sentence(home):
    (home / "sets.py").write_text(AS_THEY_COME)
    for name, said in (
        ("leaves", "SystemExit: 3"),
        ("two", "the function returns tuple of 2; exp"),
    ):
        with pytest.raises(RequestError, match=f"data set 'sets.py:{name}': {said}"):
            read(home, f"sets.py:{name}")


@pytest.mark.parametrize("name", ["val", "valid"])
def test_validation_images_are_found_under_their_usual_names(home, name):
    fill(home / "woods")
    (home / "woods" / "test").rename(home / "woods" / name)
    fill(home / "woods")
    assert len(read(home, "folder:woods").validation) == len(read(home, "folder:woods").test)
    (home / "woods" / "validation").mkdir()
    with pytest.raises(RequestError, match=f"validation and {name} in it; expected one"):
        read(home, "folder:woods")


def test_a_link_that_would_be_passed_over_is_named(home):
    fill(home / "woods")
    oak = home / "woods" / "train" / "oak"
    for target, leads in ((home / "none.png", "nowhere"), (oak.parent, "to a folder")):
        (oak / "link.png").symlink_to(target)
        with pytest.raises(
            RequestError, match=rf"link\.png: a link that leads {leads}; expected an"
        ):
            read(home, "folder:woods")
        (oak / "link.png").unlink()


@pytest.mark.parametrize("name", [".ipynb_checkpoints/0.png", "young/.old/0.png", "._0.png"])
def test_hidden_images_are_passed_over_at_any_depth(home, name):
    save(home / "woods" / "train" / "oak" / name, picture(9))
    assert len(read(home, "folder:woods").train) == 18
    (home / "woods").rename(home / ".woods")
    assert len(read(home, "folder:.woods").train) == 18


@pytest.fixture
def hub(home):
    """A set in the form of the hub, with two columns of labels, in a folder."""
    import datasets

    features = datasets.Features({
        "picture": datasets.Image(),
        "kind": datasets.ClassLabel(names=["a", "b", "c"]),
        "fine": datasets.ClassLabel(names=["p", "q"]),
        "said": datasets.Value("string"),
    })  # fmt: skip
    for part, count in (("train", 20), ("test", 6)):
        rows = {
            "picture": [Image.fromarray(picture(100 * len(part) + i)) for i in range(count)],
            "kind": [i % 3 for i in range(count)],
            "fine": [i % 2 for i in range(count)],
            "said": ["even" if i % 2 == 0 else "odd" for i in range(count)],
        }
        datasets.Dataset.from_dict(rows, features=features).to_parquet(
            home / "trees" / "data" / f"{part}-00000-of-00001.parquet"
        )
    return home


def test_a_set_in_the_hubs_form_has_its_columns_found_or_named(hub):
    with pytest.raises(RequestError, match=r"2 columns of labels .*\(kind, fine\).*\?label=COLUMN"):
        loaded(hub, "hub:trees")
    with pytest.raises(RequestError, match=r"unknown column 'kin'; did you mean 'kind'\?"):
        loaded(hub, "hub:trees?label=kin")
    with pytest.raises(RequestError, match=r"unknown split 'tset'; did you mean 'test'\?"):
        loaded(hub, "hub:trees?label=kind&test=tset")
    found = read(hub, "hub:trees?label=kind")
    assert (found.classes, found.shape, len(found.train), len(found.test)) == (3, (3, 6, 5), 18, 6)
    known = {picture(400 + i).tobytes(): i % 3 for i in range(6)}
    for image, label in zip(found.test.pixels, found.test.labels.tolist(), strict=True):
        assert known[image.permute(1, 2, 0).numpy().tobytes()] == label
    assert read(hub, "hub:trees?label=said&resize=4").classes == 2


def test_a_set_that_its_library_saved_is_read_from_its_folder(hub):
    import datasets

    datasets.load_dataset(str(hub / "trees")).save_to_disk(hub / "saved")
    found, same = (read(hub, f"hub:{name}?label=kind") for name in ("saved", "trees"))
    assert torch.equal(found.train.pixels, same.train.pixels)
    assert torch.equal(found.test.labels, same.test.labels)


def save_classes(folder, **names):
    """A set whose parts number their classes on their own; each image is as bright as its name."""
    import datasets

    parts = datasets.DatasetDict()
    for part, own in names.items():
        kind = datasets.ClassLabel(names=own) if part != "test_text" else datasets.Value("string")
        rows = {
            "image": [
                Image.fromarray(np.full((4, 4), ord(own[i % 2][0]), np.uint8)) for i in range(20)
            ],
            "label": [own[i % 2] if part == "test_text" else i % 2 for i in range(20)],
        }
        features = datasets.Features({"image": datasets.Image(), "label": kind})
        parts[part] = datasets.Dataset.from_dict(rows, features=features)
    parts.save_to_disk(folder)


@pytest.mark.parametrize("part", ["test", "test_text"])
def test_a_class_has_one_number_whatever_its_number_in_a_part(home, part):
    save_classes(
        home / "set", train=["cat", "dog"], validation=["dog", "cat"], **{part: ["dog", "cat"]}
    )
    found = read(home, f"hub:set?validation=validation&test={part}")
    for images in (found.train, found.validation, found.test):
        bright = images.pixels[:, 0, 0, 0]
        assert torch.equal(images.labels, torch.where(bright == ord("d"), 1, 0))


def test_a_class_that_is_not_among_those_of_training_is_refused(home):
    save_classes(home / "set", train=["cat", "dog"], test=["cat", "fox"])
    with pytest.raises(
        RequestError, match="label 'fox' is in test, not among the classes of train"
    ):
        read(home, "hub:set")


def test_what_is_called_by_a_number_is_found(home):
    save_classes(home / "set", **{"2020": ["cat", "dog"], "1": ["cat", "dog"]})
    assert len(read(home, "hub:set?config=2019&train=2020&test=1&channels=3").test) == 20


def test_images_larger_than_memory_are_refused_with_the_arithmetic(home, monkeypatch):
    monkeypatch.setattr(memory, "free", lambda: 2_000.0)
    with pytest.raises(RequestError) as caught:
        loaded(home)
    assert (
        "data set 'folder:woods': 28 images × 3×6×5 bytes = 2.52e-06 GB; this machine has"
        in str(caught.value)
    )
