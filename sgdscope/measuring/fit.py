"""How well a network fits: loss and accuracy on each part of its data."""

import torch
from torch.nn import functional as F

from sgdscope.data.inference import accuracy, logits
from sgdscope.measuring.base import MEASURES, Measure, Reading, Subject
from sgdscope.measuring.card import Card
from sgdscope.network import answers

BINS = 15  # of confidence, equally wide


@MEASURES.add("train_loss")
class TrainLoss(Measure):
    """Mean cross-entropy on the training images, evaluation mode, no augmentation."""

    card = Card(label="Training loss", log=True)

    def read(self, subject: Subject) -> list[Reading]:
        """One reading."""
        images = subject.data.train
        loss = F.cross_entropy(logits(subject.model, images).double(), images.labels)
        return [Reading("train_loss", loss.item())]


@MEASURES.add("train_accuracy")
class TrainAccuracy(Measure):
    """Accuracy on the training images, evaluation mode, no augmentation."""

    card = Card(label="Training accuracy")

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
    """Accuracy on the test images, with the mean confidence."""

    card = Card(short="test", order=10, margin=0.5, difference_margin=2.0)

    def read(self, subject: Subject) -> list[Reading]:
        """One reading, with mean confidence, margin, share of the commonest prediction, chance."""
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


@MEASURES.add("calibration_error")
class CalibrationError(Measure):
    """Gap between confidence and accuracy on the test images, in 15 bins."""

    card = Card(label="Expected calibration error", source="Guo et al. 2017")

    def read(self, subject: Subject) -> list[Reading]:
        """One reading: the gap between mean confidence and accuracy, averaged over bins by size."""
        images = subject.data.test
        scores = logits(subject.model, images).double()
        confidence = scores.softmax(1).amax(1)
        right = (answers(scores) == images.labels).double()
        bins = (confidence * BINS).ceil().clamp(1, BINS).long() - 1  # bins are (i/15, (i + 1)/15]
        gaps = torch.zeros(BINS, dtype=torch.float64, device=scores.device)
        gaps.index_add_(0, bins, confidence - right)
        evidence = {
            "confidence": confidence.mean().item(),
            "overconfidence": (confidence - right).mean().item(),
            "examples": len(images),
        }
        return [Reading("calibration_error", gaps.abs().sum().item() / len(images), None, evidence)]
