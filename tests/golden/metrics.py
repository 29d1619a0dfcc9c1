"""Golden values for metrics, from scikit-learn.

`metrics.safetensors` holds
    CASE/predictions, CASE/targets    f32 logits `[n, classes]` or `[n]` with labels i64, or numbers
    CASE/METRIC                       f64: one number, or one for each class; NaN is undefined
and `metrics.json` lists the cases. Where Gradus leaves a value undefined and scikit-learn gives 0 or
1 with a warning, the value here is NaN; it is said at the place. The calibration error, which
scikit-learn does not have, is computed by its definition (Guo et al., 2017).
"""

import warnings

import numpy as np
import torch
from scipy.special import log_softmax
from sklearn import metrics as sk
from sklearn.exceptions import UndefinedMetricWarning

from golden import deterministic, emit

AVERAGES = ["macro", "micro", "weighted", "binary", "per_class"]
warnings.simplefilter("ignore", UndefinedMetricWarning)
warnings.simplefilter("ignore", UserWarning)


def classification(name, logits, labels):
    """All metrics of a classifier: the case, and its tensors."""
    logits, labels = np.asarray(logits, np.float32), np.asarray(labels, np.int64)
    wide = logits.astype(np.float64)
    if wide.ndim == 1:
        wide = np.stack([np.zeros_like(wide), wide], 1)
    n, classes = wide.shape
    everything = np.arange(classes)
    predicted = wide.argmax(1)
    logs = log_softmax(wide, axis=1)
    values = {"accuracy": sk.accuracy_score(labels, predicted)}
    for k in range(1, min(classes, 3)):
        # Of equal scores scikit-learn takes the last class first, Gradus the first: from behind.
        values[f"top_{k}_accuracy"] = sk.top_k_accuracy_score(
            classes - 1 - labels, wide[:, ::-1], k=k, labels=everything
        ) if classes > 2 else sk.accuracy_score(labels, predicted)

    confusion = sk.confusion_matrix(labels, predicted, labels=everything)
    values["confusion_matrix"] = confusion.astype(np.float64)
    per_class = dict(average=None, labels=everything, zero_division=np.nan)
    for kind, score in [
        ("precision", sk.precision_score),
        ("recall", sk.recall_score),
        ("f1", sk.f1_score),
        ("f0.5", lambda *a, **o: sk.fbeta_score(*a, beta=0.5, **o)),
        ("f2", lambda *a, **o: sk.fbeta_score(*a, beta=2.0, **o)),
    ]:
        for average in ["macro", "micro", "weighted"]:
            values[f"{kind}_{average}"] = score(labels, predicted, average=average, zero_division=0)
        values[f"{kind}_per_class"] = score(labels, predicted, **per_class)
        if classes == 2:
            binary = score(labels, predicted, average="binary", zero_division=0)
            occurs = (labels == 1).any() or (predicted == 1).any()
            values[f"{kind}_binary"] = binary if occurs else np.nan

    margins = np.stack([wide[:, 0] - wide[:, 1], wide[:, 1] - wide[:, 0]], 1)
    scores = margins if classes == 2 else logs
    truth = labels[:, None] == everything
    support = truth.sum(0)
    # One class only has no area; a class without samples has no average precision (0 in
    # scikit-learn).
    areas = np.array([
        sk.roc_auc_score(truth[:, c], scores[:, c]) if 0 < support[c] < n else np.nan
        for c in everything
    ])
    precisions = np.array([
        sk.average_precision_score(truth[:, c], scores[:, c]) if support[c] > 0 else np.nan
        for c in everything
    ])
    # Probabilities that round to 1 tie; their logarithms, which rank here, do so later.
    if classes > 2 and (support > 0).all() and np.abs(wide).max() < 30:
        probabilities = np.exp(logs)
        probabilities /= probabilities.sum(1, keepdims=True)
        ovr = sk.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
        assert abs(ovr - areas.mean()) < 1e-12, (name, ovr, areas)
    for kind, each in [("auroc", areas), ("average_precision", precisions)]:
        defined = ~np.isnan(each)
        weights = support[defined]
        values[f"{kind}_per_class"] = each
        values[f"{kind}_macro"] = each[defined].mean() if defined.any() else np.nan
        values[f"{kind}_weighted"] = (
            (each[defined] * weights).sum() / weights.sum() if weights.sum() > 0 else np.nan
        )
        if classes == 2:
            values[f"{kind}_binary"] = each[1]

    values["log_loss"] = -logs[np.arange(n), labels].mean()
    clipped = np.exp(logs).clip(np.finfo(np.float64).eps, 1)
    if np.allclose(clipped, np.exp(logs), rtol=1e-15, atol=0):
        probabilities = np.exp(logs) / np.exp(logs).sum(1, keepdims=True)
        theirs = sk.log_loss(labels, probabilities, labels=everything)
        assert abs(theirs - values["log_loss"]) < 1e-10, name
    for bins, key in [(15, "calibration_error"), (4, "calibration_error_4")]:
        confidence = np.exp(logs.max(1))
        edges = np.linspace(0, 1, bins + 1)
        gap = 0.0
        for low, high in zip(edges[:-1], edges[1:]):
            inside = (confidence > low) & (confidence <= high)
            if inside.any():
                hits = (predicted == labels)[inside].mean()
                gap += inside.sum() / n * abs(hits - confidence[inside].mean())
        values[key] = gap
    return name, dict(task="classification", classes=classes), logits, labels, values


def regression(name, predictions, targets):
    """All metrics of a model of numbers."""
    predictions, targets = np.asarray(predictions, np.float32), np.asarray(targets, np.float32)
    p, t = predictions.astype(np.float64), targets.astype(np.float64)
    columns = t.reshape(len(t), -1)
    # Targets that do not vary leave R² undefined (1 or 0 in scikit-learn).
    varies = len(t) > 1 and (columns.max(0) > columns.min(0)).all()
    values = {
        "mse": sk.mean_squared_error(t, p),
        "rmse": np.sqrt(sk.mean_squared_error(t, p)),
        "mae": sk.mean_absolute_error(t, p),
        "r2": sk.r2_score(t, p) if varies else np.nan,
    }
    return name, dict(task="regression"), predictions, targets, values


def cases():
    rng = np.random.default_rng(20240917)
    for i in range(24):
        n, classes = int(rng.integers(2, 120)), int(rng.integers(2, 9))
        logits = rng.normal(size=(n, classes)) * rng.choice([0.3, 1.0, 4.0])
        labels = rng.integers(0, classes, n)
        keen = rng.random(n) < 0.5
        logits[keen, labels[keen]] += 2
        yield classification(f"random_{i}", logits, labels)
    for i in range(6):
        n = int(rng.integers(5, 80))
        yield classification(f"one_logit_{i}", rng.normal(size=n), rng.integers(0, 2, n))
    for i in range(6):
        # Few different logits: equal scores within a row, and from row to row.
        n = int(rng.integers(20, 80))
        logits = rng.integers(-2, 3, (n, 2)) / 2
        yield classification(f"ties_{i}", logits, rng.integers(0, 2, n))
    rows = rng.normal(size=(7, 4))
    yield classification("equal_rows", rows[rng.integers(0, 7, 60)], rng.integers(0, 4, 60))
    yield classification("all_equal", np.zeros((12, 5)), rng.integers(0, 5, 12))
    logits = rng.normal(size=(40, 6))
    logits[:, 5] -= 100
    yield classification("absent_everywhere", logits, rng.integers(0, 4, 40) + (rng.random(40) < 0.2))
    yield classification("absent_labels", rng.normal(size=(40, 4)), rng.choice([0, 3], 40))
    logits = rng.normal(size=(40, 3))
    logits[:, 1] -= 50
    yield classification("never_predicted", logits, rng.integers(0, 3, 40))
    yield classification("one_class", rng.normal(size=(9, 2)), np.ones(9))
    yield classification("other_class", rng.normal(size=(9, 2)) - [0, 9], np.zeros(9))
    yield classification("one_class_of_three", rng.normal(size=(9, 3)), np.full(9, 2))
    yield classification("one_sample", [[0.3, -0.2, 0.9]], [0])
    yield classification("perfect", np.eye(4)[[0, 1, 2, 3, 2]] * 9, [0, 1, 2, 3, 2])
    yield classification("all_wrong", np.eye(4)[[1, 2, 3, 0]] * 9, [0, 1, 2, 3])
    yield classification("sure", rng.normal(size=(30, 3)) * 300, rng.integers(0, 3, 30))
    for i in range(8):
        n = int(rng.integers(2, 120))
        targets = rng.normal(size=n) * rng.choice([0.01, 1, 1000])
        yield regression(f"numbers_{i}", targets + rng.normal(size=n), targets)
    targets = 2.0**20 + rng.normal(size=(50, 1))
    yield regression("far_from_zero", targets + rng.normal(size=(50, 1)), targets)
    yield regression("several_outputs", rng.normal(size=(30, 3)), rng.normal(size=(30, 3)) * [1, 9, 80])
    yield regression("constant_targets", rng.normal(size=10), np.full(10, 0.1))
    yield regression("constant_and_perfect", np.full(10, 0.1), np.full(10, 0.1))
    yield regression("perfect_numbers", targets, targets)
    yield regression("one_number", [1.5], [1.0])


def main():
    deterministic()
    tensors, listed = {}, []
    for name, header, predictions, targets, values in cases():
        tensors[f"{name}/predictions"] = torch.from_numpy(predictions.copy())
        tensors[f"{name}/targets"] = torch.from_numpy(targets.copy())
        for key, value in values.items():
            tensors[f"{name}/{key}"] = torch.from_numpy(np.asarray(value, np.float64).copy())
        listed.append(dict(id=name, **header, metrics=list(values)))
    emit("metrics", tensors, listed)


main()
