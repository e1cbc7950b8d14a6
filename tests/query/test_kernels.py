"""What C counts is what NumPy counts, and both are what plain loops over voxels count."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glioquery.errors import InputError
from glioquery.query import build_index, search
from glioquery.query.index import bits
from glioquery.query.index.blocks import block_places, coarse_shape
from glioquery.query.kernels import plain
from glioquery.solver import TumorMasks

FORMS = [plain]
try:
    from glioquery.query.kernels import compiled
except ImportError:
    compiled = None
else:
    FORMS.append(compiled)

needs_compiled = pytest.mark.skipif(compiled is None, reason="no C compiler built the kernels")

forms = pytest.mark.parametrize("kernels", FORMS, ids=lambda form: form.__name__.split(".")[-1])


def random_bits(rng, *shape):
    return rng.integers(0, 2**64, shape, np.uint64)


@forms
@settings(max_examples=60)
@given(data=st.data())
def test_an_outline_is_cut_voxel_by_voxel(kernels, data):
    def three(least, most):
        return data.draw(st.tuples(*[st.integers(least, most)] * 3))

    grid, corner, shape = three(1, 40), three(0, 30), three(1, 4)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    mask = rng.random(grid) < data.draw(st.sampled_from([0, 0.001, 0.3, 1]))
    held = data.draw(st.sampled_from([[1], [255], [1, 2, 4, 128]]))  # what a view of labels holds
    given = np.where(mask, rng.choice(held, grid), 0).astype(np.uint8).view(bool)
    tissue = random_bits(rng, np.prod(shape), 8)

    voxels = np.argwhere(mask) - corner
    voxels = voxels[((voxels >= 0) & (voxels < 8 * np.array(shape))).all(axis=1)]
    expected = np.zeros(tissue.nbytes * 8, np.uint8)
    expected[block_places(voxels, tuple(8 * n for n in shape))] = 1
    expected &= np.unpackbits(tissue.view(np.uint8).ravel())
    per_block = expected.reshape(*shape, -1).sum(axis=-1)
    per_coarse = np.zeros(coarse_shape(shape), int)
    for place, count in np.ndenumerate(per_block):
        per_coarse[tuple(n // 2 for n in place)] += count

    blocks = np.zeros_like(tissue)
    counts, coarse = np.zeros(len(tissue), np.uint16), np.zeros(per_coarse.size, np.uint16)
    volume = kernels.cut_outline(given, corner, tissue, shape, blocks, counts, coarse)
    assert volume == mask.sum()
    np.testing.assert_array_equal(np.unpackbits(blocks.view(np.uint8).ravel()), expected)
    np.testing.assert_array_equal(counts, per_block.ravel())
    np.testing.assert_array_equal(coarse, per_coarse.ravel())


@forms
@settings(max_examples=60)
@given(data=st.data())
def test_the_least_are_summed_column_by_column(kernels, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    n, n_coarse = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 40))
    m = data.draw(st.sampled_from([1, 7, 64, 1023, 1024, 1025, 2100]))
    most = data.draw(st.sampled_from([3, 4096]))  # 40 times 4096 voxels need more than 16 bits
    whole = rng.integers(0, most + 1, (n, 2, n_coarse, m + 5), np.uint16)
    rows = whole[..., 2 : 2 + m]  # a part of an index is a view
    asked = rng.integers(0, most + 1, (2, n_coarse), np.uint16)
    asked[:, rng.random(n_coarse) < 0.5] = 0
    groups = rng.integers(0, n, data.draw(st.integers(0, 5)))
    sums = np.full((2, len(groups), m), 99, np.uint32)
    kernels.least_sums(rows, groups, asked, sums)
    for outline in range(2):
        for place, group in enumerate(groups):
            least = np.minimum(rows[group, outline].astype(int), asked[outline, :, None])
            np.testing.assert_array_equal(sums[outline, place], least.sum(axis=0))


class Made:
    """A random index of few blocks, a query, and the intersections by a loop."""

    N_BLOCKS = 400

    def __init__(self, rng, folder, n_samples=5):
        def entries(most):
            lists = [
                np.flatnonzero(rng.random(self.N_BLOCKS) < rng.uniform(0, most))
                for _ in range(2 * n_samples)
            ]
            starts = np.concatenate([[0], np.cumsum([len(blocks) for blocks in lists])])
            return starts.astype(np.int64), np.concatenate(lists).astype(np.uint16), lists

        full_starts, full_blocks, full = entries(0.2)
        mixed_starts, mixed_blocks, mixed = entries(1)
        mixed_bits = random_bits(rng, len(mixed_blocks), 8)
        self.file = folder / "mixed_bits.npy"
        np.save(self.file, mixed_bits)
        self.file_bytes = self.file.stat().st_size
        self.index = [full_starts, full_blocks, mixed_starts, mixed_blocks, mixed_bits]
        self.blocks = random_bits(rng, 2, self.N_BLOCKS, 8)
        self.blocks[:, rng.random(self.N_BLOCKS) < rng.choice([0.1, 0.9, 0.99])] = 0
        self.counts = np.bitwise_count(self.blocks).sum(axis=2).astype(np.uint16)
        self.expected = np.zeros((2, n_samples), int)
        for outline, (in_full, in_mixed) in enumerate(zip(full, mixed, strict=True)):
            first, which = mixed_starts[outline], outline % 2
            of_bits = mixed_bits[first : first + len(in_mixed)] & self.blocks[which, in_mixed]
            total = self.counts[which, in_full].sum() + np.bitwise_count(of_bits).sum()
            self.expected[which, outline // 2] = total

    def opened(self):
        return bits.opened_bits(self.file, self.file_bytes, self.index[-1].nbytes)

    def count(self, kernels, ids, descriptor=bits.MAPPED, header=0):
        sums = np.full((2, len(ids)), 99, np.int64)
        ids = np.asarray(ids, np.int64)
        kernels.intersections(ids, *self.index, descriptor, header, self.counts, self.blocks, sums)
        return sums


@forms
@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 8), is_read=st.booleans())
def test_intersections_are_those_of_a_loop(kernels, tmp_path_factory, seed, n, is_read):
    rng = np.random.default_rng(seed)
    made = Made(rng, tmp_path_factory.getbasetemp())
    ids = rng.integers(0, 5, n)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bits, "MAPPED_AT_MOST", 0 if is_read else 2**40)
        with made.opened() as (descriptor, header):
            assert (descriptor == bits.MAPPED) == (not is_read)
            if is_read and kernels is compiled:
                made.index[-1] = np.zeros_like(made.index[-1])  # what is read counts
            found = made.count(kernels, ids, descriptor, header)
    np.testing.assert_array_equal(found, made.expected[:, ids])


@pytest.fixture
def made(tmp_path):
    return Made(np.random.default_rng(0), tmp_path)


def test_a_file_that_is_gone_is_still_mapped(made, monkeypatch):
    monkeypatch.setattr(bits, "MAPPED_AT_MOST", 0)
    made.file.unlink()
    with made.opened() as (descriptor, _):
        assert descriptor == bits.MAPPED


@needs_compiled
def test_a_file_that_is_too_short_is_refused(made, monkeypatch):
    monkeypatch.setattr(bits, "MAPPED_AT_MOST", 0)
    with made.opened() as (descriptor, header):
        with made.file.open("r+b") as file:
            file.truncate(header + 64)
        with pytest.raises(EOFError, match="shorter"):
            made.count(compiled, range(5), descriptor, header)


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_a_search_says_that_its_index_has_become_shorter(source, tmp_path, monkeypatch, kept):
    monkeypatch.setattr(bits, "MAPPED_AT_MOST", 0)
    index = build_index(source, tmp_path / "index", n_workers=1)
    query = TumorMasks(source.core[3], source.whole[3], source.grid)
    assert search(index, query, k=1)[0].sample == 3
    with (index.folder / "mixed_bits.npy").open("r+b") as file:
        file.truncate(int(kept * index.mixed_bits.nbytes))
    told = []
    try:
        search(index, query)
    except InputError as error:
        told.append(str(error))  # pytest would show the map of a file that is too short
    assert "mixed_bits.npy has become shorter" in told[0]


@needs_compiled
@pytest.mark.parametrize("position", range(4))
def test_altered_numbers_read_nothing_outside_the_arrays(made, position):
    made.index[position] = made.index[position].copy()
    made.index[position][:] = np.iinfo(made.index[position].dtype).max
    with pytest.raises(IndexError):
        made.count(compiled, range(5))


@needs_compiled
@pytest.mark.parametrize("ids", [[5], [-1], [2**62]])
def test_a_tumour_that_is_not_there_is_refused(made, ids):
    with pytest.raises(IndexError, match=f"no tumour {ids[0]}"):
        made.count(compiled, ids)


@needs_compiled
def test_arrays_that_do_not_fit_together_are_refused(made):
    rows, asked = np.zeros((3, 2, 6, 64), np.uint16), np.zeros((2, 6), np.uint16)
    groups, sums = np.zeros(2, np.int64), np.zeros((2, 2, 64), np.uint32)
    compiled.least_sums(rows, groups, asked, sums)
    with pytest.raises(IndexError, match="no group 3"):
        compiled.least_sums(rows, groups + 3, asked, sums)
    with pytest.raises(ValueError, match="no 5000 voxels"):
        compiled.least_sums(rows, groups, asked + np.uint16(5000), sums)
    for wrong in (
        (rows[:, :, :5], groups, asked, sums),
        (rows, groups[:1], asked, sums),
        (rows, groups, asked, sums[..., :63].copy()),
    ):
        with pytest.raises(ValueError, match="do not fit together"):
            compiled.least_sums(*wrong)
    for wrong in (
        (rows.astype(np.int32), groups, asked, sums),
        (rows.astype(np.float16), groups, asked, sums),
        (rows.astype(">u2"), groups, asked, sums),
        (rows[..., ::2], groups, asked, sums[..., ::2].copy()),
        (rows[0], groups, asked, sums),
    ):
        with pytest.raises(TypeError, match="rows: expected 4 dimensions of uint16, got"):
            compiled.least_sums(*wrong)
    sums.setflags(write=False)
    with pytest.raises(ValueError, match="read-only"):
        compiled.least_sums(rows, groups, asked, sums)

    shape, tissue = (2, 1, 1), np.zeros((2, 8), np.uint64)
    counts, coarse = np.zeros(2, np.uint16), np.zeros(1, np.uint16)
    mask = np.ones((16, 8, 8), bool)
    with pytest.raises(ValueError, match="do not fit together"):
        compiled.cut_outline(mask, (0, 0, 0), tissue, (3, 1, 1), tissue.copy(), counts, coarse)
    with pytest.raises(ValueError, match="do not fit together"):
        compiled.cut_outline(mask, (-1, 0, 0), tissue, shape, tissue.copy(), counts, coarse)
    for vast in (2**33, 2**33, 1), (2**62, 4, 1), (2**32, 2**32, 0):
        with pytest.raises(ValueError, match="do not fit together"):
            compiled.cut_outline(
                mask, (0, 0, 0), tissue[:0], vast, tissue[:0].copy(), counts[:0], coarse[:0]
            )
    made.counts = made.counts[:, 1:].copy()
    with pytest.raises(ValueError, match="do not fit together"):
        made.count(compiled, [0])


def test_without_the_compiled_form_numpy_counts():
    program = """
        import sys
        sys.modules["glioquery.query.kernels.compiled"] = None
        from glioquery.query import kernels
        from glioquery.query.kernels import plain
        assert kernels.least_sums is plain.least_sums
    """
    lines = "\n".join(line.strip() for line in program.splitlines())
    subprocess.run([sys.executable, "-c", lines], check=True)
