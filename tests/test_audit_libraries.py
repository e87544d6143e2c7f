"""Networks of timm and transformers are audited with their own weights, where both import."""

import importlib
import json

import pytest
import torch

from sgdscope import auditing
from sgdscope.auditing.measures import chosen_measures
from sgdscope.auditing.networks import open_network
from sgdscope.errors import RequestError

pytestmark = pytest.mark.filterwarnings("default")  # theirs are not ours
FEW = {"test_accuracy": {}, "pgd_accuracy": {"steps": 2}, "top_eigenvalue": {"max_products": 5}}


@pytest.fixture
def timm():
    """The library, which needs a torchvision of torch's release."""
    try:
        return importlib.import_module("timm")
    except Exception as error:  # of versions that do not go together: whatever they raise
        pytest.skip(f"timm does not import here: {error}")


def audited(source: str, tmp_path, measures=FEW) -> auditing.Audit:
    chosen = chosen_measures(list(measures), eps=[0.05], examples=20, options=measures)
    return auditing.audit(source, data="digits", out=tmp_path / "out", measures=chosen)


@pytest.fixture
def vit(tmp_path, monkeypatch):
    """A tiny vision transformer that was saved in a folder, and what it answers to itself."""
    transformers = pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(5)
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        image_size=28, patch_size=7, num_channels=1, num_labels=10,
    )  # fmt: skip
    model = transformers.ViTForImageClassification(config).eval()
    model.save_pretrained(tmp_path / "vit")
    return model


def test_a_folder_of_transformers_is_audited_with_its_own_weights(vit, digits, tmp_path):
    (one,) = audited("transformers:vit", tmp_path).networks
    assert one.network.name == "vit"
    assert one.error is None
    inputs, labels = digits.test.inputs(), digits.test.labels
    right = (vit(inputs).logits.argmax(1) == labels).double().mean().item()
    assert one.measurements[0].value == pytest.approx(right, abs=1e-12)


def test_pixels_are_standardised_as_the_folder_says(vit, digits, tmp_path):
    pixels = {"do_normalize": True, "image_mean": [0.3], "image_std": [0.2]}
    (tmp_path / "vit" / "preprocessor_config.json").write_text(json.dumps(pixels))
    opened = open_network("transformers:vit", data="digits")
    inputs = digits.test[:5].inputs()
    torch.testing.assert_close(opened.model(inputs).logits, vit((inputs - 0.3) / 0.2).logits)


def test_weights_for_other_classes_and_none_at_all_are_one_sentence_each(vit, tmp_path):
    transformers = pytest.importorskip("transformers")
    vit.config.num_labels = 7
    transformers.ViTForImageClassification(vit.config).save_pretrained(tmp_path / "seven")
    with pytest.raises(RequestError, match="7 classes apart; expected 10"):
        open_network("transformers:seven", data="digits")
    (tmp_path / "vit" / "model.safetensors").unlink()
    with pytest.raises(RequestError, match=r"transformers:vit: no weights: .*vit@WEIGHTS") as told:
        open_network("transformers:vit", data="digits")
    assert "\n" not in str(told.value)


def test_a_network_of_timm_is_audited_with_weights_of_a_file(timm, tmp_path, digits):
    torch.manual_seed(6)
    model = timm.create_model("test_resnet", num_classes=10, in_chans=1).eval()
    torch.save(model.state_dict(), tmp_path / "net.pt")
    (one,) = audited(f"timm:test_resnet@{tmp_path}/net.pt", tmp_path).networks
    assert one.error is None
    right = model(digits.test.inputs()).argmax(1) == digits.test.labels
    assert one.measurements[0].value == pytest.approx(right.double().mean().item(), abs=1e-12)


def test_a_network_of_timm_is_audited_with_published_weights(timm, digits, monkeypatch):
    made = timm.create_model("test_resnet", num_classes=10, in_chans=1).eval()
    made.pretrained_cfg = {"mean": (0.3,), "std": (0.2,)}
    monkeypatch.setattr(
        timm, "create_model", lambda name, *, pretrained: made
    )  # in the hub's place
    opened = open_network("timm:test_resnet", data="digits")
    inputs = digits.test[:5].inputs()
    torch.testing.assert_close(opened.model(inputs), made((inputs - 0.3) / 0.2))


def test_a_shipped_network_without_weights_is_refused():
    with pytest.raises(RequestError, match="stdcnn: a network without weights; expected stdcnn@"):
        open_network("stdcnn", data="digits")
