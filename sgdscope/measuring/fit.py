"""How well a network fits: loss and accuracy on each part of its data."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from sgdscope.data import Images
from sgdscope.data.inference import accuracy, logits
from sgdscope.measuring.base import MEASURES, Measure, Reading, Subject
from sgdscope.measuring.card import Card
from sgdscope.network import answers, of_answers

BINS = 15  # of confidence, equally wide


@MEASURES.add("train_loss")
class TrainLoss(Measure):
    """Mean cross-entropy on the training images, evaluation mode, no augmentation."""

    card = Card(label="Training loss", log=True)

    def read(self, subject: Subject) -> list[Reading]:
        """One reading."""
        images = subject.data.train
        scores = logits(subject.model, images).double()
        loss = F.cross_entropy(scores, images.labels).item()
        return [Reading("train_loss", loss, flags=_silence(answers(scores), "nor is the loss"))]


@MEASURES.add("train_accuracy")
class TrainAccuracy(Measure):
    """Accuracy on the training images, evaluation mode, no augmentation."""

    card = Card(label="Training accuracy")

    def read(self, subject: Subject) -> list[Reading]:
        """One reading."""
        return [_accuracy("train_accuracy", subject, subject.data.train)]


@MEASURES.add("validation_accuracy")
class ValidationAccuracy(Measure):
    """Accuracy on the validation images."""

    def read(self, subject: Subject) -> list[Reading]:
        """One reading."""
        return [_accuracy("validation_accuracy", subject, subject.data.validation)]


@MEASURES.add("test_accuracy")
class TestAccuracy(Measure):
    """Accuracy on the test images, with the mean confidence."""

    card = Card(short="test", order=10, margin=0.5, difference_margin=2.0)

    def read(self, subject: Subject) -> list[Reading]:
        """One reading, with the share of the commonest prediction and chance.

        Mean confidence and margin are those of the images that the network answers.
        """
        images = subject.data.test
        scores = logits(subject.model, images).double()
        given = answers(scores)
        answered = scores[given >= 0]
        best = answered.topk(2, dim=1).values
        predicted = given[given >= 0].bincount(minlength=subject.data.classes)
        evidence = {
            "confidence": answered.softmax(1).amax(1).mean().item(),
            "margin": (best[:, 0] - best[:, 1]).mean().item(),
            "most_predicted": predicted.max().item() / len(images),
            "chance": 1 / subject.data.classes,
        }
        share = accuracy(scores, images.labels)
        return [Reading("test_accuracy", share, None, evidence, _silence(given))]


@MEASURES.add("calibration_error")
class CalibrationError(Measure):
    """Gap between confidence and accuracy on the test images that it answers, in 15 bins."""

    card = Card(label="Expected calibration error", source="Guo et al. 2017")

    def read(self, subject: Subject) -> list[Reading]:
        """One reading: the gap between mean confidence and accuracy, averaged over bins by size."""
        images = subject.data.test
        scores = logits(subject.model, images).double()
        given = answers(scores)
        confidence = scores[given >= 0].softmax(1).amax(1)
        right = (given == images.labels)[given >= 0].double()
        bins = (confidence * BINS).ceil().clamp(1, BINS).long() - 1  # bins are (i/15, (i + 1)/15]
        gaps = torch.zeros(BINS, dtype=torch.float64, device=scores.device)
        gaps.index_add_(0, bins, confidence - right)
        evidence = {
            "confidence": confidence.mean().item(),
            "overconfidence": (confidence - right).mean().item(),
            "examples": len(confidence),
        }
        error = gaps.abs().sum().item() / len(confidence) if len(confidence) else math.nan
        silence = _silence(given, "they are left out")
        return [Reading("calibration_error", error, None, evidence, silence)]


def _accuracy(name: str, subject: Subject, images: Images) -> Reading:
    scores = logits(subject.model, images)
    return Reading(name, accuracy(scores, images.labels), flags=_silence(answers(scores)))


def _silence(given: Tensor, advice: str = "they count as wrong") -> list[str]:
    """Flags about the answers (N,) that are missing."""
    return [str(found) for found in of_answers(given, advice)]
