"""Methods: as their papers write them, resumed with the same bits, and plain training untouched."""

import itertools

import pytest
import torch
from safetensors.torch import load
from torch import nn
from torch.nn import functional as F
from typer.testing import CliRunner

from sgdscope.cli import app
from sgdscope.data import as_inputs
from sgdscope.errors import RequestError
from sgdscope.execution.messages import Task
from sgdscope.execution.worker import execute
from sgdscope.measuring import MEASURES
from sgdscope.methods import METHODS, Batch
from sgdscope.models import MODELS
from sgdscope.results.record import Checkpoint
from sgdscope.study.line import labels
from sgdscope.study.study import Study
from sgdscope.training.autotune import probe
from sgdscope.training.cohorts import group
from sgdscope.training.loop import Training

OPTIONS = {
    "plain": {},
    "label-smoothing": {},
    "mixup": {"alpha": 1.0},
    "ghost-batch-norm": {"size": 8},
    "ema": {"decay": 0.9},
    "swa": {"start_epoch": 2},
    "sam": {},
    "adversarial-training": {"eps": 0.1, "steps": 2, "natural_epochs": 1},
    "augmentation": {"pad": 2},
    "absa": {"patience": 1, "largest": 4, "examples": 16, "attacked_epochs": 2},
}


def test_every_method_is_tested_and_has_a_card():
    assert set(OPTIONS) == set(METHODS)
    for name in METHODS:
        method = METHODS[name]
        assert method.__doc__
        assert method.source
        assert method.helps
        assert method.cost


def train(run, data):
    training = Training(run, data)
    while not training.finished:
        training.advance()
    return training


def bits(training):
    return torch.cat([v.flatten().double() for v in training.weights().values()])


@pytest.mark.parametrize("name", OPTIONS)
def test_a_run_that_is_cut_off_ends_with_the_same_bits(make_run, small, name):
    settings = {"method": name, "method_options": OPTIONS[name], "momentum": 0.5, "epochs": 4}
    settings["model"] = "c1" if name in ("ghost-batch-norm", "swa") else "stdcnn"
    data = small.subset(64) if settings["model"] == "c1" else small
    run = make_run(batch_size=16, **settings)

    def carry_out(task):
        heard = []
        how = {"tell": heard.append, "checkpoint_every": 0}
        taken = {"test_accuracy": MEASURES["test_accuracy"](every=1)}
        outcome = execute(task, taken, lambda _: data, **how)
        assert not outcome.result.error
        return outcome, [one.state for one in heard if isinstance(one, Checkpoint)]

    whole, checkpoints = carry_out(Task(run))
    for state in (checkpoints[0], checkpoints[2]):
        resumed, _ = carry_out(Task(run, checkpoint=state))
        assert resumed.weights == whole.weights
        assert resumed.result.measurements == whole.result.measurements
        ours, theirs = (
            [(e.train_loss, e.validation_accuracy) for e in one.result.history]
            for one in (resumed, whole)
        )
        assert ours == theirs
    plain = train(run.model_copy(update={"method": "plain", "method_options": {}}), data)
    kept = load(whole.weights)
    same = all(torch.equal(kept[key], value) for key, value in plain.weights().items())
    assert same == (name == "plain")


def test_what_is_kept_of_an_average_is_what_is_measured_again(make_run, small):
    trained = train(make_run(method="ema"), small)
    assert all(p.requires_grad and p.grad is None for p in trained.network.parameters())
    assert not trained.network.training
    again = Training(trained.run, small)
    again.restore({f"model.{k}": v for k, v in trained.weights().items()}, trained.history)
    assert torch.equal(bits(again), bits(trained))
    images = small.test.inputs()
    assert torch.equal(again.network(images), trained.network(images))


def net():
    torch.manual_seed(3)
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)).double()


def batch(network, *, count=8, epoch=1, step=0):
    draw = torch.Generator().manual_seed(step)
    images = torch.rand(count, 1, 2, 3, generator=draw, dtype=torch.float64)
    labels = torch.randint(0, 3, (count,), generator=draw)
    return Batch(network, network, images, labels, 0, epoch, step)


def test_smoothed_labels_are_the_papers():
    made = batch(net())
    found = METHODS["label-smoothing"](smoothing=0.3).loss(made)
    targets = 0.7 * F.one_hot(made.labels, 3).double() + 0.3 / 3
    expected = -(targets * found.scores.log_softmax(1)).sum(1).mean()
    assert (found.loss - expected).abs() < 1e-12
    assert torch.equal(found.recorded, F.cross_entropy(found.scores.detach(), made.labels))


def test_mixup_is_the_loss_on_mixed_images_and_labels():
    made, method = batch(net(), step=5), METHODS["mixup"](alpha=1.0)
    share = method.share(made)
    assert 0 < share < 1
    order = torch.randperm(8, generator=made.generator("mixup"))
    mixed = share * made.images + (1 - share) * made.images[order]
    labels = F.one_hot(made.labels, 3).double()
    targets = share * labels + (1 - share) * labels[order]
    expected = -(targets * made.network(mixed).log_softmax(1)).sum(1).mean()
    assert (method.loss(made).loss - expected).abs() < 1e-12


def test_mixups_hits_are_answers_of_the_label_of_larger_weight():
    """A network that answers with what an image is most of hits each time, whatever the shares."""
    method, larger = METHODS["mixup"](alpha=1.0), set()
    for step in range(12):
        labels = torch.arange(8) % 3
        images = F.one_hot(labels, 3).double()  # an image is its label
        network = nn.Identity()
        made = Batch(network, network, images, labels, 0, 1, step)
        found = method.loss(made)
        assert torch.equal(found.scores.argmax(1), labels)
        larger.add(method.share(made) > 0.5)
    assert larger == {False, True}


def test_mixup_draws_from_its_beta_distribution():
    method, network = METHODS["mixup"](alpha=0.5), net()
    shares = torch.tensor([method.share(batch(network, step=step)) for step in range(400)])
    assert abs(shares.mean() - 0.5) < 0.06
    assert abs(shares.var() - 1 / (4 * 2)) < 0.02  # of Beta(α, α): 1 / (4 (2α + 1))


def test_sam_takes_the_gradient_at_the_worst_nearby_weights():
    """On ½ wᵀAw, written down: A (w + ρ·Aw/‖Aw‖)."""
    torch.manual_seed(0)
    root = torch.randn(5, 5, dtype=torch.float64)
    matrix = root @ root.T

    class Quadratic(METHODS["sam"]):
        def loss(self, batch):
            (w,) = batch.network.parameters()
            value = 0.5 * w @ matrix @ w
            return type(found)(value, value, w)

    found = METHODS["plain"]().loss(batch(net()))
    network = nn.ParameterList([torch.randn(5, dtype=torch.float64)])
    (w,) = network.parameters()
    before = w.detach().clone()
    Quadratic(rho=0.3).gradients(Batch(network, network, w, w, 0, 1, 0))
    gradient = matrix @ before
    expected = matrix @ (before + 0.3 * gradient / gradient.norm())
    assert (w.grad - expected).abs().max() < 1e-12
    assert torch.equal(w.detach(), before)


@pytest.mark.parametrize("share", [1.0, 1e-10, 1e-18, 1e-25, 1e-35, 0.0])
def test_sam_moves_the_weights_by_rho_however_small_the_gradient(share):
    class Shrunk(METHODS["sam"]):
        def loss(self, batch):
            found = super().loss(batch)
            moved.append(nn.utils.parameters_to_vector(batch.network.parameters()).detach())
            return found._replace(loss=share * found.loss)

    moved = []
    network = net().float()
    made = batch(network)
    made = Batch(network, network, made.images.float(), made.labels, 0, 1, 0)
    Shrunk(rho=0.3).gradients(made)
    assert (moved[1] - moved[0]).norm().item() == pytest.approx(0.3 if share else 0, rel=1e-4)


def test_sam_sees_the_same_dropout_masks_twice_and_new_ones_in_the_next_update():
    """Of torch's own layer too; the weights are positive, so that zeros are the masks'."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(6, 50), nn.Dropout(0.5), nn.Linear(50, 3))
    network.double()[1].weight.data.abs_().add_(1)
    masks = []
    network[2].register_forward_hook(lambda layer, inputs, output: masks.append(output == 0))
    for step in range(2):
        METHODS["sam"]().gradients(batch(network, step=step))
        network.zero_grad()
    assert torch.equal(masks[0], masks[1])
    assert torch.equal(masks[2], masks[3])
    assert not torch.equal(masks[0], masks[2])


def test_sam_leaves_running_moments_to_the_first_pass():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(6), nn.Linear(6, 3)).double()
    twin = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(6), nn.Linear(6, 3)).double()
    twin.load_state_dict(network.state_dict())
    METHODS["sam"]().gradients(batch(network))
    METHODS["plain"]().gradients(batch(twin))
    for ours, theirs in zip(network.buffers(), twin.buffers(), strict=True):
        assert torch.equal(ours, theirs)


def test_parts_of_a_batch_are_normalised_by_themselves():
    """Algorithm 1: running moments are (1 − η)ᵏ of the old and (1 − η)ᵏ⁻ⁱ η of part i."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.BatchNorm2d(3)).double()
    METHODS["ghost-batch-norm"](size=4).prepare(network)
    assert isinstance(network[0], nn.BatchNorm2d)
    images = torch.randn(13, 3, 5, 5, dtype=torch.float64)
    parts = images.tensor_split(3)
    assert [len(part) for part in parts] == [5, 4, 4]
    means = [part.mean((0, 2, 3), keepdim=True) for part in parts]
    spreads = [part.var((0, 2, 3), unbiased=False, keepdim=True) for part in parts]
    expected = torch.cat(
        [(p - m) / (s + 1e-5).sqrt() for p, m, s in zip(parts, means, spreads, strict=True)]
    )
    assert (network.train()(images) - expected).abs().max() < 1e-12
    running = sum(0.9 ** (2 - i) * 0.1 * mean.flatten() for i, mean in enumerate(means))
    assert (network[0].running_mean - running).abs().max() < 1e-12
    plain = nn.BatchNorm2d(3).double()
    plain.load_state_dict(network[0].state_dict())
    assert torch.equal(network.eval()(images), plain.eval()(images))


def test_an_exponential_average_follows_its_recursion():
    network, method = net(), METHODS["ema"](decay=0.8)
    taken = []
    for _ in range(5):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter))
        method.after_step(network, epoch=1)
        taken.append(nn.utils.parameters_to_vector(network.parameters()).detach().clone())
    expected = taken[0]
    for weights in taken[1:]:
        expected = 0.8 * expected + 0.2 * weights
    average = nn.utils.parameters_to_vector(method.outcome(network).parameters())
    assert (average - expected).abs().max() < 1e-12


def test_swa_is_the_mean_of_epochs_with_moments_of_all_images():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(6), nn.Linear(6, 3)).double()
    method = METHODS["swa"](start_epoch=2)
    images = torch.rand(4, 16, 1, 2, 3, dtype=torch.float64)
    weights = []
    for epoch in range(1, 5):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter))
        weights.append(nn.utils.parameters_to_vector(network.parameters()).detach().clone())
        method.after_epoch(network, epoch=epoch, images=iter(images))
        if epoch == 1:
            assert method.outcome(network) is network
    average = method.outcome(network)
    mean = torch.stack(weights[1:]).mean(0)
    found = nn.utils.parameters_to_vector(average.parameters())
    assert (found - mean).abs().max() < 1e-12
    flat = images.flatten(2)
    assert (average[1].running_mean - flat.mean((0, 1))).abs().max() < 1e-12
    assert (average[1].running_var - flat.var(1).mean(0)).abs().max() < 1e-12
    assert not average[1].training


def with_tied_weights():
    """Its weight under two names, and a buffer of two views of one memory."""
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    network[1].weight = network[0].weight
    memory = torch.zeros(4)
    network.register_buffer("first", memory[:3])
    network.register_buffer("last", memory[1:])
    return network


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [("ema", {"decay": 0.9}, 0.1 * (0.9 * 0.9 * 1 + 0.9 * 2 + 3)), ("swa", {}, 1.5)],
)
def test_weights_under_several_names_are_averaged_once(name, options, expected):
    network, method = with_tied_weights(), METHODS[name](**options)
    for epoch in range(4):
        with torch.no_grad():
            for value in network.state_dict().values():
                value.fill_(epoch)
        method.after_step(network, epoch=1 + epoch)
        method.after_epoch(network, epoch=1 + epoch, images=())
    average = method.outcome(network)
    assert average[1].weight is average[0].weight
    for value in average.state_dict().values():
        assert torch.allclose(value, torch.full_like(value, expected))


class Keeping(nn.Sequential):
    """Keeps what it has answered."""

    def forward(self, images):
        self.kept = [super().forward(images)]
        return self.kept[0]


def keeping(layer):
    """A network of 784 inputs whose first layer's weight is made from others, as ``layer`` says."""
    return lambda *, shape, classes: Keeping(
        nn.Flatten(), layer(nn.Linear(784, 8)), nn.ReLU(), nn.Linear(8, classes)
    )


@pytest.mark.parametrize("name", ["ema", "swa"])
@pytest.mark.parametrize("layer", [nn.Sequential, nn.utils.spectral_norm, nn.utils.weight_norm])
@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
def test_networks_that_keep_what_they_compute_are_averaged(
    make_run, small, monkeypatch, name, layer
):
    """The average of the last weights alone is the network itself."""
    monkeypatch.setitem(MODELS._parts, "keeping", keeping(layer))
    options = {"ema": {"decay": 0.0}, "swa": {"start_epoch": 2}}[name]
    trained = train(make_run(model="keeping", method=name, method_options=options, epochs=2), small)
    assert trained.network is not trained.model
    images = small.test.inputs()
    assert torch.equal(trained.network(images), trained.model.eval()(images))


def test_the_adversary_of_a_linear_network_is_the_corner_of_the_ball():
    """Of two classes, the loss rises along w₁ − w₀ for label 0: the sign of it is the answer."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(6, 2)).double()
    made = batch(network)
    made = Batch(network, network, 0.3 + 0.4 * made.images, made.labels % 2, 0, 2, 0)
    method = METHODS["adversarial-training"](eps=0.05, steps=5)
    zero, one = network[1].weight.detach()
    towards = (one - zero).sign() * torch.where(made.labels == 0, 1.0, -1.0)[:, None]
    expected = made.images + 0.05 * towards.view_as(made.images)
    assert (method.attacked(made) - expected).abs().max() < 1e-12
    assert network.training
    loss = F.cross_entropy(network(expected), made.labels)
    assert (method.loss(made).loss - loss).abs() < 1e-12
    natural = METHODS["adversarial-training"](eps=0.05, natural_epochs=2)
    assert torch.equal(natural.loss(made).loss, F.cross_entropy(network(made.images), made.labels))


def test_attacked_images_stay_in_the_ball_and_in_range():
    network = net()
    made = batch(network)
    found = METHODS["adversarial-training"](eps=0.3, steps=3).attacked(made)
    assert (found - made.images).abs().max() <= 0.3 + 1e-12
    assert found.min() >= 0
    assert found.max() <= 1


def one_image_twice(weight, *, epoch=1):
    """A linear network of two classes on one image: λ₁ = 2 p(1 − p) ‖x‖², p = σ(2 w·x)."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(6, 2, bias=False)).double()
    image = torch.linspace(0.2, 0.8, 6, dtype=torch.float64).view(1, 1, 2, 3)
    sides = torch.tensor([[weight], [-weight]], dtype=torch.float64)
    network[1].weight = nn.Parameter(sides.repeat(1, 6))
    p = torch.sigmoid(2 * weight * image.sum())
    images, labels = image.repeat(10, 1, 1, 1), torch.zeros(10, dtype=torch.int64)
    made = Batch(network, network, images, labels, 0, epoch, 0)
    return made, (2 * p * (1 - p) * image.square().sum()).item()


def test_the_batch_grows_where_the_curvature_has_halved_or_patience_ends():
    method = METHODS["absa"](patience=3, largest=8, examples=4)
    curvatures, growth = [], []
    for weight in (0.0, 0.1, 0.25, 0.25, 0.25, 0.25, 0.35, 2.0):
        made, curvature = one_image_twice(weight)
        method.loss(made)
        made.network.eval()
        method.after_epoch(made.network, epoch=1, images=())
        curvatures.append(curvature)
        growth.append(method.growth)
    assert [round(c / curvatures[0], 1) for c in curvatures] == [1, 0.9, *[0.6] * 4, 0.4, 0]
    assert growth == [1, 1, 2, 2, 2, 4, 8, 8]  # by patience twice, then by curvature from the first


def test_the_curvature_that_absa_goes_by_is_the_closed_form():
    method = METHODS["absa"](examples=4)
    made, curvature = one_image_twice(0.3)
    method.loss(made)
    made.network.eval()
    assert abs(method.top_eigenvalue(made.network) / curvature - 1) < 1e-9


def test_absa_attacks_a_share_that_shrinks_as_the_batch_grows():
    """The step is the sign of w₁ − w₀, which label 0's loss rises along."""
    made, _ = one_image_twice(0.3)
    method = METHODS["absa"](share=0.4, eps=0.05, attacked_epochs=3)
    for growth, count in ((1, 4), (2, 2), (4, 1), (16, 0)):
        method.restore({"growth": torch.tensor(growth)}, made.network)
        moved = method.attacked(made) - made.images
        assert (moved[:count] + 0.05).abs().max() < 1e-12 if count else True
        assert not moved[count:].any()
    late, _ = one_image_twice(0.3, epoch=4)
    method.restore({}, late.network)
    assert torch.equal(method.attacked(late), late.images)


def test_a_batch_that_a_method_lets_grow_has_fewer_updates_at_higher_rates(make_run, small):
    options = {"patience": 1, "largest": 4, "examples": 16}
    half = {"learning_rate": 0.02, "warmup_epochs": 0.5}
    run = make_run(
        method="absa", method_options=options, batch_size=8, epochs=4, schedule_options=half
    )
    trained = train(run, small)
    updates = len(small.train) // 8
    counts = [epoch.steps for epoch in trained.history]
    made = [after - before for before, after in itertools.pairwise([0, *counts])]
    assert made == [updates, updates // 2, updates // 4, updates // 4]
    assert [round(epoch.learning_rate, 9) for epoch in trained.history[1:]] == [0.04, 0.08, 0.08]


def test_augmentation_takes_the_place_of_the_data_sets_own(make_run, colour):
    settings = {"model": "c1", "batch_size": 16, "epochs": 1}
    own = train(make_run(**settings), colour)
    same = train(make_run(**settings, method="augmentation"), colour)
    none = {"pad": 0, "flip": False}
    without = train(make_run(**settings, method="augmentation", method_options=none), colour)
    bare = Training(make_run(**settings), colour)
    bare.data = type(colour)(**{**vars(bare.data), "augmented": False})
    bare.advance()
    assert torch.equal(bits(same), bits(own))
    assert torch.equal(bits(without), bits(bare))
    assert not torch.equal(bits(own), bits(bare))


def test_flips_alone_leave_rows_as_they_are(colour):
    pixels, index = colour.train.pixels[:32], torch.arange(32)
    method = METHODS["augmentation"](pad=0)
    found = method.augment(pixels, index, seed=0, epoch=1, own=False)
    flipped = torch.tensor([not torch.equal(a, b) for a, b in zip(found, pixels, strict=True)])
    assert 4 < flipped.sum() < 28
    assert torch.equal(found[flipped], pixels[flipped].flip(3))
    assert as_inputs(found).max() <= 1


SETTINGS = {
    "name": "s", "model": "stdcnn", "data": "digits", "batch_size": 32, "epochs": 1,
    "train_size": 320, "schedule": ["fixed"], "measure": ["test_accuracy"],
}  # fmt: skip


def test_options_of_methods_are_axes_and_labels_tell_them():
    method = {"plain": {}, "sam": {"rho": [0.05, 0.1]}, "mixup": {}}
    study = Study.parse(SETTINGS | {"method": method})
    assert labels([run.line for run in study.runs]) == [
        "fixed, m = 0", "fixed, m = 0, sam, ρ = 0.05", "fixed, m = 0, sam, ρ = 0.1",
        "fixed, m = 0, mixup",
    ]  # fmt: skip
    assert study.runs[0].id == Study.parse(SETTINGS).runs[0].id
    assert len({run.id for run in study.runs}) == 4


def test_runs_with_a_method_are_a_cohort_of_their_own_and_train_one_by_one(make_run, small):
    runs = [make_run(seed=seed, method=m) for m in ("plain", "sam") for seed in (0, 1)]
    cohorts = group(runs, 8)
    assert [[run.method for run in cohort] for cohort in cohorts] == [["plain"] * 2, ["sam"] * 2]
    assert set(probe(cohorts[1], small).rates) == {"one by one"}


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ({"samm": {}}, "unknown method 'samm'; did you mean 'sam'"),
        ({"sam": {"roh": 0.1}}, "method.sam: unknown key 'roh'; did you mean 'rho'"),
        ({"label-smoothing": {"smoothing": 1.0}}, "method.label-smoothing.smoothing"),
        ({"absa": {}}, "batch size 32 can grow to 512; expected at most 320"),
    ],
)
def test_a_method_that_cannot_be_had_is_refused(method, message):
    with pytest.raises(RequestError, match=message):
        Study.parse(SETTINGS | {"method": method})


def test_ghosts_without_batch_normalisation_are_refused_before_any_training(tmp_path):
    file = tmp_path / "s.toml"
    file.write_text(
        'model = "stdcnn"\ndata = "digits"\nbatch_size = 32\nepochs = 1\ntrain_size = 320\n'
        'schedule = ["fixed"]\nmethod = ["ghost-batch-norm"]\nmeasure = ["test_accuracy"]\n'
    )
    answer = CliRunner().invoke(app, ["run", str(file), "--out", str(tmp_path / "out")])
    assert answer.exit_code == 2
    assert "the network has no batch normalisation" in answer.output
    assert not (tmp_path / "out").exists()
