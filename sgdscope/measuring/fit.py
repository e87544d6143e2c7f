"""How well a network fits: loss and accuracy on the parts of its data."""

import torch
from torch.nn import functional as F

from sgdscope.data.inference import accuracy, logits
from sgdscope.measuring.base import MEASURES, Measure, Reading, Subject


@MEASURES.add("train_loss")
class TrainLoss(Measure):
    """Mean cross-entropy on the training images, evaluation mode, no augmentation."""

    def read(self, subject: Subject) -> list[Reading]:
        """One reading."""
        images = subject.data.train
        loss = F.cross_entropy(logits(subject.model, images).double(), images.labels)
        return [Reading("train_loss", loss.item())]


@MEASURES.add("train_accuracy")
class TrainAccuracy(Measure):
    """Accuracy on the training images, evaluation mode, no augmentation."""

    def read(self, subject: Subject) -> list[Reading]:
        """One reading."""
        images = subject.data.train
        return [Reading("train_accuracy", accuracy(logits(subject.model, images), images.labels))]


@MEASURES.add("validation_accuracy")
class ValidationAccuracy(Measure):
    """Accuracy on the validation images."""

    def read(self, subject: Subject) -> list[Reading]:
        """One reading."""
        images = subject.data.validation
        share = accuracy(logits(subject.model, images), images.labels)
        return [Reading("validation_accuracy", share)]


@MEASURES.add("test_accuracy")
class TestAccuracy(Measure):
    """Accuracy on the test images, with the confidence it was reached with."""

    def read(self, subject: Subject) -> list[Reading]:
        """One reading, with mean confidence, mean margin, share of the commonest answer, chance."""
        images = subject.data.test
        scores = logits(subject.model, images).double()
        best = scores.topk(2, dim=1).values
        answers = torch.bincount(scores.argmax(1), minlength=subject.data.classes)
        evidence = {
            "confidence": scores.softmax(1).amax(1).mean().item(),
            "margin": (best[:, 0] - best[:, 1]).mean().item(),
            "most_predicted": answers.max().item() / len(images),
            "chance": 1 / subject.data.classes,
        }
        return [Reading("test_accuracy", accuracy(scores, images.labels), evidence=evidence)]
