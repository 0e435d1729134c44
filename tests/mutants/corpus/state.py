"""Batch norm's running statistics, and which statistics it normalizes with."""

from __future__ import annotations

import numpy as np
from normalization import Normalization, channel_rows, honest, moving_average, update


def updating(mean_rule, var_rule) -> Normalization:
    """A layer whose running mean and variance follow ``rule(old, new, n, momentum)``."""

    def updated(old, new, n, momentum):
        return mean_rule(old[0], new[0], n, momentum), var_rule(old[1], new[1], n, momentum)

    return honest.but(update=updated)


def following(rule) -> Normalization:
    """Both running statistics follow ``rule(old, new, momentum)``, given the unbiased variance."""
    return updating(
        lambda old, new, n, momentum: rule(old, new, momentum),
        lambda old, new, n, momentum: rule(old, new * (n / (n - 1)), momentum),
    )


def average(old, new, n, momentum):
    return moving_average(old, new, momentum)


def unbiased_average(old, new, n, momentum):
    return moving_average(old, new * (n / (n - 1)), momentum)


def unchanged(old, new, n, momentum):
    return old


class BatchInInference(Normalization):
    """Normalizes with the batch's own statistics in inference too."""

    def in_inference(self, x, call):
        return self.in_training(x, call)


class RunningInTraining(Normalization):
    """Normalizes with the running statistics in training too."""

    def in_training(self, x, call):
        return self.in_inference(x, call)


class UpdatedInTraining(Normalization):
    """Normalizes a training batch with the running statistics that already contain it."""

    def in_training(self, x, call):
        names = ("running_mean", "running_var")
        after = dict(zip(names, self.state(x, call), strict=True))
        centre, var = (call.along(after[name].astype(x.dtype)) for name in names)
        return self.standardize(x, centre, self.inverse_root(var, call.eps))


class OwnInference(Normalization):
    """Inference by ``formula(x, mean, var, eps)``."""

    def in_inference(self, x, call):
        centre, var = (
            call.along(call.params[name].astype(x.dtype)) for name in ("running_mean", "running_var")
        )
        return self.formula(x, centre, var, call.eps)


class MeanForgotten(OwnInference):
    """Does not centre in inference."""

    def formula(self, x, centre, var, eps):
        return x / np.sqrt(var + eps)


class DeviationForVariance(OwnInference):
    """Takes the running variance for a standard deviation."""

    def formula(self, x, centre, var, eps):
        return (x - centre) / (var + eps)


class MeanForVariance(OwnInference):
    """Takes the running mean for the running variance and the other way round."""

    def formula(self, x, centre, var, eps):
        return (x - var) / np.sqrt(np.abs(centre) + eps)


class UnbiasedInference(OwnInference):
    """Makes the running variance biased again, as if it knew the n of training."""

    def formula(self, x, centre, var, eps):
        n = x.size // var.size
        return (x - centre) / np.sqrt(var * (n - 1) / n + eps)


class UpdatesInInference(Normalization):
    """Goes on updating the running statistics in inference."""

    def state(self, x, call):
        training = type(call)(
            shape=call.shape,
            eps=call.eps,
            channel_axis=call.channel_axis,
            params={**call.params, "training": True},
        )
        return super().state(x, training)


class Float64State(Normalization):
    """Returns running statistics in float64, or in float32 where it was given float64."""

    def state(self, x, call):
        other = np.float32 if x.dtype == np.float64 else np.float64
        return tuple(kept.astype(other) for kept in super().state(x, call))


class UpdatesEachSample(Normalization):
    """Updates once for each sample of the batch."""

    def state(self, x, call):
        if not call.training:
            return super().state(x, call)
        given = running = call.params["running_mean"], call.params["running_var"]
        (index,) = channel_rows(call.index()[:1], call)
        for sample in x:
            rows = sample.reshape(-1)[index]
            batch = rows.mean(-1), rows.var(-1)
            running = update(running, batch, max(2, rows.shape[1]), call.params["momentum"])
        return tuple(after.astype(before.dtype) for after, before in zip(running, given, strict=True))


class ReturnsYAlone(Normalization):
    """Takes the running statistics and neither returns nor changes them."""

    def __call__(self, x, weight, bias, *, eps, channel_axis=1, **params):
        return super().__call__(x, weight, bias, eps=eps, channel_axis=channel_axis, **params)[0]


momentum_swapped = following(lambda old, new, momentum: moving_average(old, new, 1 - momentum))
momentum_squared = following(lambda old, new, momentum: moving_average(old, new, momentum**2))
momentum_hundredth = following(lambda old, new, momentum: moving_average(old, new, 0.01))
cumulative_average = following(lambda old, new, momentum: moving_average(old, new, 0.5))
replaced_by_batch = following(lambda old, new, momentum: new)
debiased = following(lambda old, new, momentum: moving_average(old, new, momentum) / momentum)
old_not_decayed = following(lambda old, new, momentum: old + momentum * new)
kept_in_float16 = following(
    lambda old, new, momentum: moving_average(old, new, momentum).astype(np.float16).astype(old.dtype)
)
biased_running_var = updating(average, average)
running_var_unbiased_twice = updating(
    average, lambda old, new, n, momentum: unbiased_average(old, new * (n / (n - 1)), n, momentum)
)
running_deviation = updating(
    average,
    lambda old, new, n, momentum: moving_average(np.sqrt(old), np.sqrt(new * (n / (n - 1))), momentum) ** 2,
)
inverse_deviation_kept = updating(average, lambda old, new, n, m: moving_average(old, 1 / np.sqrt(new), m))
stale = updating(unchanged, unchanged)
stale_mean = updating(unchanged, unbiased_average)
stale_variance = updating(average, unchanged)
float64_state = Float64State()
statistics_swapped = honest.but(update=lambda *given: update(*given)[::-1])
batch_in_inference = BatchInInference()
running_in_training = RunningInTraining()
updated_in_training = UpdatedInTraining()
mean_forgotten_in_inference = MeanForgotten()
deviation_for_variance = DeviationForVariance()
mean_for_variance = MeanForVariance()
rebiased_in_inference = UnbiasedInference()
updates_in_inference = UpdatesInInference()
updates_each_sample = UpdatesEachSample()
returns_y_alone = ReturnsYAlone()
