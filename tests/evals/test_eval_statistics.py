"""avg@n, pass@k and their intervals, against scipy, brute force and simulation."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from rlvr_sweep.evals import statistics
from rlvr_sweep.evals.statistics import Estimate, Table, accuracy, paired_difference, pass_at_k, unbiased_pass_at_k


def rows(table: dict, seed: int = 0) -> list[dict]:
    """Rows from question -> verdicts."""
    return [
        {"question_id": question, "prompt_id": question, "seed": seed, "correct": verdict}
        for question, verdicts in table.items()
        for verdict in verdicts
    ]


def table(values: np.ndarray) -> Table:
    questions, seeds = list(range(values.shape[0])), list(range(values.shape[1]))
    return Table(values, np.ones(values.shape, dtype=np.int64), questions, seeds, unscorable=0)


def close(found: float | None, wanted: float) -> bool:
    return found is not None and abs(found - wanted) < 1e-9


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_pass_at_k_is_the_share_of_draws_that_hold_a_right_one(n: int) -> None:
    for c in range(n + 1):
        for k in range(1, n + 1):
            draws = [any(index < c for index in draw) for draw in combinations(range(n), k)]
            assert abs(unbiased_pass_at_k(n=n, c=c, k=k) - sum(draws) / len(draws)) < 1e-12


def test_pass_at_k_of_many_samples_does_not_overflow() -> None:
    assert abs(unbiased_pass_at_k(n=100_000, c=1, k=50_000) - 0.5) < 1e-9


@pytest.mark.parametrize(("n", "c", "k"), [(4, 5, 1), (4, -1, 1), (4, 1, 5), (4, 1, 0), (0, 0, 1)])
def test_pass_at_k_refuses_impossible_counts(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="needs 0 <= c <= n"):
        unbiased_pass_at_k(n=n, c=c, k=k)


def test_one_seed_is_the_t_interval_over_question_means() -> None:
    draw = np.random.default_rng(0)
    verdicts = {f"q{i}": [bool(v) for v in draw.random(4) < draw.random()] for i in range(30)}
    means = [float(np.mean(v)) for v in verdicts.values()]
    wanted = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    found = accuracy(rows(verdicts))
    assert close(found.mean, float(np.mean(means)))
    assert close(found.low, wanted.low)
    assert close(found.high, wanted.high)
    assert (found.n_questions, found.n_samples, found.n_seeds, found.unscorable) == (30, 120, 1, 0)


def test_questions_weigh_the_same_whatever_their_samples() -> None:
    assert close(accuracy(rows({"a": [True], "b": [False] * 9})).mean, 0.5)


def test_pass_at_k_is_the_mean_over_questions() -> None:
    verdicts = {"a": [True, False, False, False], "b": [True, True, False, False], "c": [False] * 4}
    assert close(pass_at_k(rows(verdicts), k=2).mean, (0.5 + 5 / 6 + 0) / 3)
    assert close(pass_at_k(rows(verdicts), k=1).mean, accuracy(rows(verdicts)).mean or 0)
    with pytest.raises(ValueError, match=r"pass@5: question 'a' has 4 samples"):
        pass_at_k(rows(verdicts), k=5)


def test_a_null_verdict_is_left_out_and_counted_never_zero() -> None:
    found = accuracy(rows({"a": [True, None], "b": [True, True], "c": [None, None], "d": [True, False]}))
    assert close(found.mean, (1 + 1 + 0.5) / 3)
    assert (found.n_questions, found.n_samples, found.unscorable) == (3, 5, 3)
    pairs = pass_at_k(rows({"a": [True, None], "b": [True, False]}), k=2)
    assert (pairs.mean, pairs.n_questions, pairs.n_samples, pairs.unscorable) == (1.0, 1, 2, 1)


@pytest.mark.parametrize("verdicts", [{}, {"a": [None]}])
def test_without_a_verdict_there_is_no_number(verdicts: dict) -> None:
    found = accuracy(rows(verdicts))
    assert found == Estimate(None, None, None, 0, 0, 0, len(verdicts))


def test_one_question_has_no_interval() -> None:
    assert accuracy(rows({"a": [True, False]})) == Estimate(0.5, None, None, 1, 2, 1, 0)


def test_all_right_or_all_wrong_is_not_certainty() -> None:
    for value in (True, False):
        found = accuracy(rows({f"q{i}": [value] for i in range(30)}))
        exact = stats.binomtest(30 * value, 30).proportion_ci(0.95, method="exact")
        assert close(found.low, exact.low)
        assert close(found.high, exact.high)


def test_an_interval_stays_within_what_can_be() -> None:
    found = accuracy(rows({f"q{i}": [i > 0] for i in range(6)}))
    assert found.high == 1.0
    assert found.low is not None and 0 < found.low < 0.7


def two_way(values: np.ndarray) -> tuple[float, float]:
    """Variance and degrees of freedom from the sums of squares, written out as loops."""
    q, s = values.shape
    m = values.mean()
    ms_q = sum(s * (values[i].mean() - m) ** 2 for i in range(q)) / (q - 1)
    ms_s = sum(q * (values[:, j].mean() - m) ** 2 for j in range(s)) / (s - 1)
    ms_e = sum((values[i, j] - values[i].mean() - values[:, j].mean() + m) ** 2 for i in range(q) for j in range(s)) / (
        (q - 1) * (s - 1)
    )
    total = ms_q + ms_s - ms_e
    df = total**2 / (ms_q**2 / (q - 1) + ms_s**2 / (s - 1) + ms_e**2 / ((q - 1) * (s - 1)))
    return total / (q * s), df


def test_several_seeds_are_crossed_with_the_questions() -> None:
    draw = np.random.default_rng(1)
    values = 0.5 + 0.1 * draw.normal(size=(40, 1)) + 0.05 * np.array([[-1, 0, 1]]) + 0.05 * draw.normal(size=(40, 3))
    variance, df = two_way(values)
    half = float(stats.t.ppf(0.975, df)) * variance**0.5
    found = statistics.interval(table(values))
    assert close(found.mean, float(values.mean()))
    assert close(found.low, float(values.mean()) - half)
    assert close(found.high, float(values.mean()) + half)
    assert (found.n_questions, found.n_seeds) == (40, 3)
    assert df < 5  # three seeds that differ by more than their noise: their two degrees of freedom decide


def test_seeds_that_agree_leave_the_interval_over_questions() -> None:
    by_question = np.linspace(0, 1, 20)[:, None]
    one, three = statistics.interval(table(by_question)), statistics.interval(table(np.repeat(by_question, 3, axis=1)))
    assert close(three.low, one.low or 0)
    assert close(three.high, one.high or 0)


def test_seeds_are_taken_from_the_rows() -> None:
    found = accuracy(rows({"a": [True], "b": [False]}, seed=0) + rows({"a": [True], "b": [True]}, seed=1))
    assert (found.mean, found.n_questions, found.n_seeds, found.n_samples) == (0.75, 2, 2, 4)


def test_a_missing_cell_does_not_tilt_the_mean() -> None:
    """Additive values: the missing one is known, so nothing changes; the plain mean would."""
    values = np.linspace(0.1, 0.5, 12)[:, None] + np.array([[0.0, 0.1, 0.3]])
    holed = values.copy()
    holed[[9, 10, 11], [2, 2, 2]] = np.nan
    found = statistics.interval(table(holed))
    assert found.mean is not None and abs(found.mean - values.mean()) < 1e-6
    assert abs(float(np.nanmean(holed)) - values.mean()) > 0.005
    assert found.n_samples == 33


def test_seeds_with_next_to_nothing_in_common_have_no_interval() -> None:
    values = np.full((9, 3), np.nan)
    values[range(9), [0, 1, 2] * 3] = 0.5
    assert statistics.interval(table(values)) == Estimate(0.5, None, None, 9, 9, 3, 0)


@pytest.mark.parametrize(
    ("questions", "seeds", "samples", "spread"),
    [(30, 1, 16, 0.0), (30, 3, 8, 0.0), (30, 3, 8, 0.05), (200, 3, 1, 0.05), (200, 2, 1, 0.03), (60, 5, 1, 0.1)],
)
def test_nominal_95_percent_covers_90_to_99(questions: int, seeds: int, samples: int, spread: float) -> None:
    """Difficulties ~ Beta(.5, .8); a seed moves all questions by N(0, spread) and each one by N(0, spread)."""
    draw = np.random.default_rng(0)

    def chances(shape: tuple[int, int, int]) -> np.ndarray:
        p = draw.beta(0.5, 0.8, (*shape[:2], 1))
        together = draw.normal(0, spread, (shape[0], 1, shape[2]))
        return np.clip(p + together + draw.normal(0, spread, shape), 0, 1)

    truth = chances((200_000, 1, 1)).mean()
    values = draw.binomial(samples, chances((600, questions, seeds))) / samples
    hits = 0
    for one in values:
        found = statistics.interval(table(one))
        assert found.low is not None and found.high is not None
        hits += found.low <= truth <= found.high
    assert 0.90 <= hits / len(values) <= 0.99


def test_a_paired_difference_is_the_paired_t_interval() -> None:
    draw = np.random.default_rng(2)
    before = {f"q{i}": [bool(v) for v in draw.random(8) < 0.1 + 0.02 * i] for i in range(25)}
    after = {q: [v or bool(draw.random() < 0.3) for v in verdicts] for q, verdicts in before.items()}
    new, old = ([float(np.mean(v)) for v in side.values()] for side in (after, before))
    wanted = stats.ttest_rel(new, old)
    found = paired_difference(before=rows(before), after=rows(dict(reversed(after.items()))))
    assert close(found.mean, float(np.mean(new) - np.mean(old)))
    assert close(found.low, wanted.confidence_interval().low)
    assert close(found.high, wanted.confidence_interval().high)
    assert (found.n_questions, found.n_samples) == (25, 400)


def test_a_paired_difference_takes_what_both_sides_have() -> None:
    before = rows({"a": [False], "b": [False], "c": [True], "x": [True]}) + rows({"a": [True]}, seed=7)
    after = rows({"y": [False], "c": [True], "b": [True], "a": [None]})
    found = paired_difference(before=before, after=after)
    assert (found.mean, found.n_questions, found.n_seeds, found.n_samples, found.unscorable) == (0.5, 2, 1, 4, 1)
    assert found.low == -1.0


def test_a_paired_difference_of_strangers_is_refused() -> None:
    with pytest.raises(ValueError, match="share no question and seed"):
        paired_difference(before=rows({"a": [True]}, seed=0), after=rows({"a": [True]}, seed=1))
    assert paired_difference(before=[], after=rows({"a": [True]})).mean is None


def test_a_paired_difference_can_be_of_pass_at_k() -> None:
    before = rows({"a": [False, False], "b": [True, False]})
    after = rows({"a": [True, False], "b": [True, True]})
    assert paired_difference(before=before, after=after, k=2).mean == 0.5
