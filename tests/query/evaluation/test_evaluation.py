"""An evaluation against the rankings it is defined by, its resumption, and synthetic queries."""

import dataclasses
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
from generating import in_this_process

from glioquery.dbgen import ParameterSpace, Plan, Range, generate
from glioquery.dbgen.machine.progress import silent
from glioquery.query import search
from glioquery.query.evaluation import comparison, naive_timing
from glioquery.query.evaluation.comparison import Contestant, QuerySet, Row, evaluate
from glioquery.query.evaluation.naive_timing import time_naive
from glioquery.query.evaluation.summary import describe_queries, summarise, write_markdown
from glioquery.query.evaluation.synthetic import draw_queries, plan_queries
from glioquery.solver import Thresholds, TumorMasks


def bars(task, unit):
    return nullcontext(silent)


@dataclasses.dataclass(frozen=True)
class Fixed:
    """Always the same ids; counts how often it is asked."""

    ids: tuple[int, ...]
    fingerprint: str = "1"
    name: str = "fixed"
    asked: list = dataclasses.field(default_factory=list)

    def rank(self, masks, n):
        self.asked.append(n)
        return np.array(self.ids[:n])


@pytest.fixture
def moved(tumor):
    """Queries that no tumour equals."""
    return [
        TumorMasks(np.roll(m.core, 1, 0), np.roll(m.whole, 1, 0), m.grid)
        for m in (tumor(3), tumor(40), tumor(70), tumor(11))
    ]


@pytest.fixture
def queries(moved):
    return QuerySet("synthetic", [f"tumour {i}" for i in range(len(moved))], lambda i: moved[i])


@pytest.fixture
def fixed(monkeypatch, source):
    strategy = Fixed(tuple(range(source.n_samples)))
    real = comparison.open_strategy
    monkeypatch.setattr(
        comparison,
        "open_strategy",
        lambda index, name: strategy if name == "fixed" else real(index, name),
    )
    return strategy


def test_rows_are_those_of_the_exact_ranking(
    fixed, queries, moved, shared_index, source, naive, tmp_path
):
    contestants = [Contestant("direct"), Contestant("fixed"), Contestant("fixed", 90)]
    rows = evaluate(shared_index, [queries], contestants, tmp_path, bars=bars)
    assert [(r.strategy, r.query) for r in rows] == [
        (label, f"tumour {i}")
        for label in ("direct", "fixed", "fixed + rerank 90")
        for i in range(4)
    ]
    for row in rows:
        exact = naive(source, moved[int(row.query[-1])], source.n_samples)
        by_sample = {m.sample: m for m in exact}
        best, mine = exact[0], by_sample[row.sample]
        assert (row.best_sample, row.best_score) == (best.sample, best.score)
        assert (row.score, row.dice_core, row.dice_whole) == (
            mine.score, mine.dice_core, mine.dice_whole,
        )  # fmt: skip
        place = 1 + sum(m.score > mine.score for m in exact)
        assert row.rank == (place if place <= 15 else None)
        assert row.regret == best.score - mine.score
        assert row.gap == best.score - exact[1].score
        assert row.sample == 0 if row.strategy == "fixed" else row.rank == 1
        assert row.seconds > 0


def test_an_evaluation_asks_only_what_it_was_not_asked(
    fixed, queries, shared_index, tmp_path, monkeypatch
):
    first = evaluate(shared_index, [queries], [Contestant("fixed")], tmp_path, bars=bars)
    assert len(fixed.asked) == 5  # one to warm up
    again = evaluate(shared_index, [queries], [Contestant("fixed")], tmp_path, bars=bars)
    assert again == first and len(fixed.asked) == 5
    # A query more, in front of the others: names change, queries do not.
    everything = np.ones(shared_index.grid.shape, bool)
    new = TumorMasks(everything, everything, shared_index.grid)
    names = ["new", *queries.queries]
    more = QuerySet("synthetic", names, lambda i: queries.load(i - 1) if i else new)
    longer = evaluate(shared_index, [more], [Contestant("fixed")], tmp_path, bars=bars)
    assert longer[1:] == first and len(fixed.asked) == 7
    # Another state of the strategy, or another number of candidates: all is asked again.
    other = dataclasses.replace(fixed, fingerprint="2")
    monkeypatch.setattr(comparison, "open_strategy", lambda index, name: other)
    evaluate(shared_index, [queries], [Contestant("fixed")], tmp_path, bars=bars)
    assert len(fixed.asked) == 12
    evaluate(shared_index, [queries], [Contestant("fixed", 20)], tmp_path, bars=bars)
    assert len(fixed.asked) == 17
    # Or other outlines of the same database.
    lower = dataclasses.replace(shared_index, thresholds=Thresholds(0.5, 0.2))
    evaluate(lower, [queries], [Contestant("fixed", 20)], tmp_path, bars=bars)
    assert len(fixed.asked) == 22


def test_equal_queries_are_rows_of_their_own(fixed, moved, shared_index, tmp_path):
    twice = QuerySet("real", ["a", "b", "a again"], lambda i: moved[i % 2])
    rows = evaluate(shared_index, [twice], [Contestant("fixed")], tmp_path, bars=bars)
    assert [row.query for row in rows] == ["a", "b", "a again"]
    assert rows[2] == dataclasses.replace(rows[0], query="a again")


def test_an_interrupted_evaluation_keeps_its_rows(
    fixed, queries, shared_index, tmp_path, monkeypatch
):
    monkeypatch.setattr(comparison, "SAVE_EVERY_S", -1.0)

    def load(i):
        if i == 3 and fixed.asked:
            raise KeyboardInterrupt
        return queries.load(i)

    broken = dataclasses.replace(queries, load=load)
    with pytest.raises(KeyboardInterrupt):
        evaluate(shared_index, [broken], [Contestant("fixed")], tmp_path, bars=bars)
    assert len(fixed.asked) == 4
    evaluate(shared_index, [queries], [Contestant("fixed")], tmp_path, bars=bars)
    assert len(fixed.asked) == 6  # one to warm up, one that was missing


def test_a_damaged_file_of_rows_is_made_anew(fixed, queries, shared_index, tmp_path):
    first = evaluate(shared_index, [queries], [Contestant("fixed")], tmp_path, bars=bars)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-100])
    again = evaluate(shared_index, [queries], [Contestant("fixed")], tmp_path, bars=bars)
    assert [r.sample for r in again] == [r.sample for r in first] and len(fixed.asked) == 10


def test_what_is_not_ready_is_refused_before_any_query(fixed, queries, index, tmp_path):
    contestants = [Contestant("fixed"), Contestant("vae")]
    with pytest.raises(FileNotFoundError, match=r"train .* --strategy vae"):
        evaluate(index, [queries], contestants, tmp_path, bars=bars)
    with pytest.raises(ValueError, match="rerank is 15 or more, got 3"):
        evaluate(index, [queries], [Contestant("fixed", 3)], tmp_path, bars=bars)
    assert fixed.asked == []


def test_the_loop_is_timed_on_a_part_and_scaled(ray, queries, shared_index, monkeypatch):
    clock = iter(np.cumsum([0, 2.0, 0, 5.0, 0, 3.0]).tolist())
    monkeypatch.setattr(naive_timing.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(naive_timing, "NAIVE_VOLUMES", 30)
    (timing,) = time_naive(shared_index, [queries], bars=bars)
    assert (timing.seconds, timing.n_volumes, timing.n_queries) == (3.0 * 90 / 30, 30, 3)


def test_a_loop_that_disagrees_with_the_index_is_told(ray, queries, shared_index, monkeypatch):
    monkeypatch.setattr(naive_timing.Naive, "scores", lambda self, masks: np.zeros(self.n_volumes))
    with pytest.raises(RuntimeError, match="disagree on query tumour 0"):
        time_naive(shared_index, [queries], bars=bars)


def row(query, rank, regret, seconds=1.0, gap=0.1, best=1.5, kind="real"):
    return Row(
        kind, query, "ds32", 1, best - regret, 0.5, 0.5, rank, 2, best, 0.7, 0.8, regret, gap,
        seconds,
    )  # fmt: skip


def test_summaries_count_ranks_and_average_regrets():
    rows = [
        row("a", 1, 0.0, 3.0, gap=0.0),
        row("b", 5, 0.1, 1.0, gap=0.1),
        row("c", 15, 0.2, 2.0, gap=0.3, best=1.0),
        row("d", None, 0.5, 9.0, gap=0.2, best=1.0),
        row("a", 1, 0.0, kind="synthetic"),
    ]
    real, synthetic = summarise(rows)
    assert (real.top1, real.top5, real.top15) == (25, 50, 75)
    assert (real.n, real.seconds) == (4, 2.5)
    assert real.regret_mean == pytest.approx(0.2)
    assert real.regret_median == pytest.approx(0.15)
    assert real.regret_worst == 0.5
    assert (synthetic.queries, synthetic.n, synthetic.top1) == ("synthetic", 1, 100)
    facts, _ = describe_queries(rows)
    assert (facts.n, facts.score_mean) == (4, 1.25)
    assert (facts.gap_mean, facts.gap_median) == (pytest.approx(0.15), pytest.approx(0.15))
    page = write_markdown(summarise(rows), describe_queries(rows), [], {"hardware": "a computer"})
    ours = "| ds32 | 25.0 | 50.0 | 75.0 | 2.5 s | 0.2000 | 0.1500 | 0.5000 |"
    assert f"{ours} 66.1, 96.7, 100; 116 s |" in page  # of the paper's Table 1
    assert "78.9, 99.6, 100 |" in page  # of its Table 2
    assert "- hardware: a computer" in page


@pytest.fixture(scope="module")
def small_database(tmp_path_factory):
    plan = Plan(ParameterSpace(whole_ml=Range(5, 20)), seed=7)
    with in_this_process():
        return generate(tmp_path_factory.mktemp("evaluated") / "DB", 8, plan=plan, store="outlines")


def test_synthetic_queries_are_of_the_space_and_not_in_the_database(small_database, tmp_path):
    drawn = draw_queries(small_database, 5, tmp_path / "drawn")
    assert drawn.n_samples == 5 and drawn.plan.seed == 8
    assert len(set(drawn.parameters.run.values.tolist())) == 5
    assert (drawn.parameters.whole_ml.values <= 20).all()
    stored = {small_database.outlines(i).whole.tobytes() for i in small_database}
    assert not stored & {drawn.outlines(i).whole.tobytes() for i in drawn}
    again = draw_queries(small_database, 5, tmp_path / "drawn")
    assert again.checksum == drawn.checksum
    with pytest.raises(ValueError, match="drawn with seed 7: choose another"):
        draw_queries(small_database, 5, tmp_path / "same", seed=7)


def test_queries_of_a_design_are_as_many_as_one_likes(small_database):
    space = {"sampler": "latin-hypercube", "points": 3, "days": {"low": 100.0, "high": 200.0}}
    plan = Plan(ParameterSpace.from_dict(space), seed=3)
    queries = plan_queries(SimpleNamespace(parts=[plan], plan=plan))
    assert (queries.space.sampler, queries.space.n_points, queries.seed) == ("uniform", None, 4)
    assert queries.space.days == plan.space.days


def test_queries_that_are_in_the_database_are_refused(small_database, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "glioquery.query.evaluation.synthetic.generate", lambda *args, **kwargs: small_database
    )
    with pytest.raises(ValueError, match="synthetic query 0 is in"):
        draw_queries(small_database, 5, tmp_path / "drawn")


def test_exact_search_finds_the_rows_best(queries, moved, shared_index, tmp_path):
    rows = evaluate(shared_index, [queries], [Contestant("direct")], tmp_path, bars=bars)
    for masks, found in zip(moved, rows, strict=True):
        first, second = search(shared_index, masks, k=2)
        assert (found.sample, found.score, found.rank) == (first.sample, first.score, 1)
        assert (found.regret, found.gap) == (0.0, first.score - second.score)
