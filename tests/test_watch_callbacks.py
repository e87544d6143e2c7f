"""Lightning and the transformers Trainer, where they are installed, train on undisturbed."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import sgdscope
from sgdscope.errors import RequestError
from sgdscope.results.tables import Results

MEASURED = {
    "test_accuracy": {}, "pgd_accuracy": {"eps": [0.1], "examples": 10, "steps": 3},
    "top_eigenvalue": {"examples": 20},
}  # fmt: skip
SETTINGS = {"model": "mine", "batch_size": 64, "learning_rate": 0.05, "momentum": 0.9}

pytestmark = pytest.mark.filterwarnings("default")  # theirs are not ours


def watching(small, out, measures=MEASURED):
    return sgdscope.Watch(out=out, data=small, measures=measures, settings=SETTINGS, budget=None)


def seen(out, rates) -> None:
    """Three epochs were measured, with their updates, losses and learning rates."""
    results = Results.load(out)
    assert list(results.history["epoch"]) == [1, 2, 3]
    assert list(results.history["steps"]) == [3, 6, 9]
    assert list(results.history["learning_rate"]) == pytest.approx(rates)
    losses = results.history["train_loss"]
    assert losses.iloc[-1] < losses.iloc[0]
    assert len(results.table) == 9


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2),
        nn.Linear(16, 10),
    )  # fmt: skip


def fitted(small, folder, *callbacks, epochs, shuffle=False, accumulated=1, skipped=()):
    """A Lightning module after its training, with the loss of each batch."""
    lightning = pytest.importorskip("lightning.pytorch")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.network, self.losses = network(), []

        def forward(self, x):
            return self.network(x)

        def training_step(self, batch, _):
            loss = F.cross_entropy(self(batch[0]), batch[1])
            self.losses.append(loss.item())
            return None if len(self.losses) - 1 in skipped else loss

        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)]

    lightning.seed_everything(0, verbose=False)
    module = Module()
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=list(callbacks),
        accumulate_grad_batches=accumulated, default_root_dir=folder,
    )  # fmt: skip
    images = TensorDataset(small.train.inputs(), small.train.labels)
    trainer.fit(module, DataLoader(images, batch_size=64, shuffle=shuffle))
    return module


def test_a_lightning_training_is_watched(small, tmp_path):
    pytest.importorskip("lightning.pytorch")
    from sgdscope.watching.lightning import WatchCallback

    def trained(*callbacks):
        return fitted(small, tmp_path, *callbacks, epochs=3, shuffle=True).state_dict()

    alone = trained()
    watched = trained(WatchCallback(watching(small, tmp_path / "out")))
    assert all(torch.equal(alone[name], value) for name, value in watched.items())
    seen(tmp_path / "out", [0.05, 0.025, 0.0125])


@pytest.mark.parametrize(("accumulated", "steps"), [(1, 3), (2, 2)])
def test_lightnings_training_loss_is_that_of_training_step(small, tmp_path, accumulated, steps):
    pytest.importorskip("lightning.pytorch")
    from sgdscope.watching.lightning import WatchCallback

    watch = watching(small, tmp_path, measures={"test_accuracy": {}})
    callback = WatchCallback(watch)
    module = fitted(small, tmp_path, callback, epochs=1, accumulated=accumulated)
    (epoch,) = watch.folder.results()[0].history
    assert epoch.train_loss == pytest.approx(sum(module.losses) / len(module.losses), rel=1e-6)
    assert epoch.steps == steps


def test_batches_that_lightning_skips_are_left_out_of_the_loss(small, tmp_path, caplog):
    pytest.importorskip("lightning.pytorch")
    from sgdscope.watching.lightning import WatchCallback

    watch = watching(small, tmp_path, measures={"test_accuracy": {}})
    module = fitted(small, tmp_path, WatchCallback(watch), epochs=2, skipped=(0, 3, 4, 5))
    (epoch,) = watch.folder.results()[0].history
    assert epoch.train_loss == pytest.approx((module.losses[1] + module.losses[2]) / 2, rel=1e-6)
    assert "epoch 2 is not measured: training_step returned no loss" in caplog.text


def test_a_transformers_training_is_watched(small, tmp_path):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from sgdscope.watching.transformers import WatchCallback

    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        image_size=28, patch_size=7, num_channels=1, num_labels=10,
    )  # fmt: skip
    pixels, labels = small.train.inputs().contiguous(), small.train.labels
    rows = [{"pixel_values": x, "labels": y} for x, y in zip(pixels, labels, strict=True)]

    def trained(*callbacks, logging_strategy="epoch"):
        transformers.set_seed(0)
        model = transformers.ViTForImageClassification(config)
        arguments = transformers.TrainingArguments(
            output_dir=str(tmp_path / "trainer"), num_train_epochs=3, learning_rate=0.05,
            per_device_train_batch_size=64, lr_scheduler_type="linear", report_to=[],
            logging_strategy=logging_strategy, save_strategy="no", use_cpu=True,
            disable_tqdm=True, optim="sgd", seed=0,
        )  # fmt: skip
        trainer = transformers.Trainer(
            model=model, args=arguments, train_dataset=rows, callbacks=list(callbacks)
        )
        with warnings.catch_warnings(action="ignore"):
            trainer.train()
        return model.state_dict()

    alone = trained()
    watched = trained(WatchCallback(watching(small, tmp_path / "out")))
    assert all(torch.equal(alone[name], value) for name, value in watched.items())
    seen(tmp_path / "out", [0.05, 0.05 * 2 / 3, 0.05 / 3])
    with pytest.raises(RequestError, match="expected 'epoch'"):
        trained(WatchCallback(watching(small, tmp_path / "out")), logging_strategy="steps")


class Classifier(nn.Module):
    """A network as the Trainer calls it, which remembers its losses."""

    def __init__(self):
        super().__init__()
        self.network = network()
        self.losses = []

    def forward(self, pixel_values, labels=None):
        logits = self.network(pixel_values)
        if labels is None:
            return {"logits": logits}
        loss = F.cross_entropy(logits, labels)
        self.losses.append(loss.item())
        return {"loss": loss, "logits": logits}


@pytest.mark.parametrize(
    ("duration", "steps"),
    [
        ({"max_steps": 1}, [1]),  # ends within the first epoch
        ({"max_steps": 4}, [3, 4]),
        ({"num_train_epochs": 2, "gradient_accumulation_steps": 3}, [1, 2]),
    ],
)
def test_every_epoch_of_the_trainer_is_recorded_with_its_loss(small, tmp_path, duration, steps):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from sgdscope.watching.transformers import WatchCallback

    watch = watching(small, tmp_path / "out", measures={"test_accuracy": {}})
    images = zip(small.train.inputs().contiguous(), small.train.labels, strict=True)
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path / "trainer"), per_device_train_batch_size=64, report_to=[],
        logging_strategy="epoch", save_strategy="no", use_cpu=True, disable_tqdm=True, **duration,
    )  # fmt: skip
    model = Classifier()
    transformers.Trainer(
        model=model, args=arguments, callbacks=[WatchCallback(watch)],
        train_dataset=[{"pixel_values": x, "labels": y} for x, y in images],
    ).train()  # fmt: skip
    history = watch.folder.results()[0].history
    assert [epoch.epoch for epoch in history] == list(range(1, len(steps) + 1))
    assert [epoch.steps for epoch in history] == steps
    batches = duration.get("gradient_accumulation_steps", 1)
    ends = [0, *(batches * count for count in steps)]
    for one, start, end in zip(history, ends, ends[1:], strict=False):
        own = model.losses[start:end]
        assert one.train_loss == pytest.approx(sum(own) / len(own), rel=1e-5)
