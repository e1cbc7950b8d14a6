/* What a search counts, voxel by voxel, as `plain` does it with NumPy: the same integers.

   Arrays come by the buffer protocol. Types, shapes and everything that an altered file could hold
   (numbers of blocks, positions of entries) are checked here: nothing is read outside an array. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the bits of an index are little-endian"
#endif

/* The loops are compiled twice, and the loader takes the form that the processor can run. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__has_attribute)
#if __has_attribute(target_clones)
#define FOR_EACH_PROCESSOR __attribute__((target_clones("avx2", "default")))
#endif
#endif
#ifndef FOR_EACH_PROCESSOR
#define FOR_EACH_PROCESSOR
#endif

enum {
    EDGE = 8,            /* voxels along the edge of a block, as in `blocks` */
    WORDS = 8,           /* 64-bit words of a block */
    MOST_BLOCKS = 65536, /* blocks that 16 bits can number */
    COLUMNS = 1024,      /* columns that `least_sums` adds up at a time, in the nearest cache */
    ROWS = 15,           /* rows that 16 bits can add up: a coarse block has 4096 voxels at most */
    NEAR = 64            /* blocks (4 kB) that are read unasked: one reading, not two */
};

static inline unsigned
count_bits(uint64_t word)
{
    return (unsigned)__builtin_popcountll(word);
}

/* ---------------------------------------------------------------- arrays */

typedef struct {
    Py_buffer view;
    int is_held;
} Array;

/* Element types by their codes in Python's module `struct`; a long may have 8 bytes or 4. */
typedef struct {
    const char *name, *codes;
    Py_ssize_t size;
} Type;

static const Type BOOL = {"bool", "?", 1}, UINT16 = {"uint16", "H", 2},
                  UINT32 = {"uint32", "IL", 4}, INT64 = {"int64", "lq", 8},
                  UINT64 = {"uint64", "LQ", 8};

static int
is_of(const Py_buffer *view, const Type *type)
{
    const char *format = view->format ? view->format : "B";
    return view->itemsize == type->size && format[0] && !format[1] && strchr(type->codes, format[0]);
}

/* Take an array of so many dimensions of a type; the last axis, or all, contiguous. */
static int
hold(Array *array, PyObject *object, const char *name, int ndim, const Type *type, int flags)
{
    if (PyObject_GetBuffer(object, &array->view, flags) < 0)
        return -1;
    array->is_held = 1;
    const Py_buffer *view = &array->view;
    if (view->ndim != ndim || !is_of(view, type)
        || (ndim && view->strides && view->strides[ndim - 1] != type->size
            && view->shape[ndim - 1] > 1)) {
        PyErr_Format(PyExc_TypeError, "%s: expected %d dimensions of %s, got %d of '%s'", name, ndim,
                     type->name, view->ndim, view->format ? view->format : "B");
        return -1;
    }
    return 0;
}

static void
release(Array *arrays, int n)
{
    for (int i = 0; i < n; i++)
        if (arrays[i].is_held)
            PyBuffer_Release(&arrays[i].view);
}

#define READ (PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
#define WRITE (READ | PyBUF_WRITABLE)
#define SHAPE(array) ((array).view.shape)
#define DATA(array) ((array).view.buf)

static PyObject *
wrong_shape(const char *what)
{
    PyErr_Format(PyExc_ValueError, "the shapes of %s do not fit together", what);
    return NULL;
}

/* ---------------------------------------------------------------- cut_outline */

/* Which slabs of n bytes hold anything. Four are read side by side, as memory does that faster. */
FOR_EACH_PROCESSOR static void
find_held(const uint8_t *mask, Py_ssize_t n_slabs, Py_ssize_t n, uint8_t *is_held)
{
    Py_ssize_t quarter = (n_slabs + 3) / 4, n_words = n / 8;
    for (Py_ssize_t x = 0; x < quarter; x++) {
        const uint8_t *slab[4];
        uint64_t any[4] = {0, 0, 0, 0};
        Py_ssize_t number[4];
        for (int q = 0; q < 4; q++) {
            number[q] = x + q * quarter < n_slabs ? x + q * quarter : x;
            slab[q] = mask + number[q] * n;
        }
        for (Py_ssize_t i = 0; i < n_words; i++)
            for (int q = 0; q < 4; q++) {
                uint64_t word;
                memcpy(&word, slab[q] + 8 * i, 8);
                any[q] |= word;
            }
        for (int q = 0; q < 4; q++) {
            for (Py_ssize_t i = 8 * n_words; i < n; i++)
                any[q] |= slab[q][i];
            is_held[number[q]] = any[q] != 0;
        }
    }
}

/* The same bytes with 1 for every one that is not 0: a view of labels as bool may hold any. */
static inline uint64_t
as_ones(uint64_t word)
{
    const uint64_t low = 0x7f7f7f7f7f7f7f7fULL;
    return ((((word & low) + low) | word) >> 7) & 0x0101010101010101ULL;
}

/* How many of n bytes are not 0. */
FOR_EACH_PROCESSOR static int64_t
sum_of(const uint8_t *bytes, Py_ssize_t n)
{
    int64_t sum = 0;
    Py_ssize_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, 8);
        sum += count_bits(as_ones(word));
    }
    for (; i < n; i++)
        sum += bytes[i] != 0;
    return sum;
}

/* Eight voxels along z, from as many bytes, the first one in the highest bit. */
static inline uint64_t
pack(const uint8_t *row, Py_ssize_t from, Py_ssize_t n)
{
    uint64_t word = 0;
    if (from < n)
        memcpy(&word, row + from, (size_t)(n - from < EDGE ? n - from : EDGE));
    return (as_ones(word) * 0x8040201008040201ULL) >> 56;
}

FOR_EACH_PROCESSOR static void
count_blocks(uint64_t *blocks, uint16_t *counts, uint16_t *coarse, const uint64_t *tissue,
             const Py_ssize_t *shape, Py_ssize_t i)
{
    Py_ssize_t coarse_y = (shape[1] + 1) / 2, coarse_z = (shape[2] + 1) / 2;
    for (Py_ssize_t j = 0; j < shape[1]; j++)
        for (Py_ssize_t k = 0; k < shape[2]; k++) {
            Py_ssize_t place = (i * shape[1] + j) * shape[2] + k;
            unsigned count = 0;
            for (int w = 0; w < WORDS; w++)
                count += count_bits(blocks[WORDS * place + w] &= tissue[WORDS * place + w]);
            counts[place] = (uint16_t)count;
            coarse[((i / 2) * coarse_y + j / 2) * coarse_z + k / 2] += (uint16_t)count;
        }
}

static int64_t
cut(const uint8_t *mask, const Py_ssize_t *grid, const Py_ssize_t *corner, const uint64_t *tissue,
    const Py_ssize_t *shape, uint64_t *blocks, uint16_t *counts, uint16_t *coarse, uint8_t *is_held)
{
    find_held(mask, grid[0], grid[1] * grid[2], is_held);
    int64_t volume = 0;
    uint8_t *octets = (uint8_t *)blocks;
    for (Py_ssize_t x = 0; x < grid[0]; x++) {
        const uint8_t *slab = mask + x * grid[1] * grid[2];
        Py_ssize_t inside_x = x - corner[0], i = inside_x / EDGE;
        if (!is_held[x]) /* most of the brain is empty of the outline */
            continue;
        for (Py_ssize_t y = 0; y < grid[1]; y++) {
            const uint8_t *row = slab + y * grid[2];
            Py_ssize_t inside_y = y - corner[1], j = inside_y / EDGE;
            int64_t sum = sum_of(row, grid[2]);
            volume += sum;
            if (!sum || inside_x < 0 || inside_y < 0 || i >= shape[0] || j >= shape[1])
                continue;
            uint8_t *first = octets + EDGE * WORDS * (i * shape[1] + j) * shape[2]
                             + EDGE * (inside_x % EDGE) + inside_y % EDGE;
            for (Py_ssize_t k = 0; k < shape[2]; k++)
                first[EDGE * WORDS * k] = (uint8_t)pack(row, corner[2] + EDGE * k, grid[2]);
        }
    }
    for (Py_ssize_t i = 0; i < shape[0]; i++)
        count_blocks(blocks, counts, coarse, tissue, shape, i);
    return volume;
}

PyDoc_STRVAR(cut_outline_doc, "See `plain.cut_outline`.");

static PyObject *
cut_outline(PyObject *module, PyObject *args)
{
    PyObject *objects[5];
    Py_ssize_t corner[3], shape[3];
    if (!PyArg_ParseTuple(args, "O(nnn)O(nnn)OOO", &objects[0], &corner[0], &corner[1], &corner[2],
                          &objects[1], &shape[0], &shape[1], &shape[2], &objects[2], &objects[3],
                          &objects[4]))
        return NULL;
    Array a[5] = {0};
    PyObject *result = NULL;
    if (hold(&a[0], objects[0], "mask", 3, &BOOL, READ) < 0
        || hold(&a[1], objects[1], "tissue", 2, &UINT64, READ) < 0
        || hold(&a[2], objects[2], "blocks", 2, &UINT64, WRITE) < 0
        || hold(&a[3], objects[3], "counts", 1, &UINT16, WRITE) < 0
        || hold(&a[4], objects[4], "coarse", 1, &UINT16, WRITE) < 0)
        goto done;
    int is_possible = 1; /* and no product of them overflows */
    for (int axis = 0; axis < 3; axis++)
        is_possible &= shape[axis] >= 0 && shape[axis] <= MOST_BLOCKS && corner[axis] >= 0;
    Py_ssize_t n = is_possible ? shape[0] * shape[1] * shape[2] : -1;
    Py_ssize_t n_coarse
        = is_possible ? (shape[0] + 1) / 2 * ((shape[1] + 1) / 2) * ((shape[2] + 1) / 2) : -1;
    if (SHAPE(a[1])[0] != n || SHAPE(a[1])[1] != WORDS || SHAPE(a[2])[0] != n
        || SHAPE(a[2])[1] != WORDS || SHAPE(a[3])[0] != n || SHAPE(a[4])[0] != n_coarse) {
        wrong_shape("mask, tissue, blocks and counts");
        goto done;
    }
    uint8_t *is_held = PyMem_Malloc((size_t)SHAPE(a[0])[0] + 1);
    if (!is_held) {
        PyErr_NoMemory();
        goto done;
    }
    int64_t volume;
    Py_BEGIN_ALLOW_THREADS
    volume = cut(DATA(a[0]), SHAPE(a[0]), corner, DATA(a[1]), shape, DATA(a[2]), DATA(a[3]),
                 DATA(a[4]), is_held);
    Py_END_ALLOW_THREADS
    PyMem_Free(is_held);
    result = PyLong_FromLongLong(volume);
done:
    release(a, 5);
    return result;
}

/* ---------------------------------------------------------------- least_sums */

/* Add min(row, asked) over rows, for some columns: in 16 bits, and now and then in 32. */
FOR_EACH_PROCESSOR static void
add_least(const char *rows, Py_ssize_t stride, const uint16_t *asked, const int32_t *touched,
          Py_ssize_t n_touched, Py_ssize_t n_columns, uint32_t *sums)
{
    for (Py_ssize_t from = 0; from < n_columns; from += COLUMNS) {
        uint16_t part[COLUMNS];
        Py_ssize_t width = n_columns - from < COLUMNS ? n_columns - from : COLUMNS;
        memset(sums + from, 0, (size_t)width * sizeof *sums);
        for (Py_ssize_t t = 0; t < n_touched;) {
            Py_ssize_t stop = n_touched - t < ROWS ? n_touched : t + ROWS;
            memset(part, 0, (size_t)width * sizeof *part);
            for (; t < stop; t++) {
                const uint16_t *row = (const uint16_t *)(rows + stride * touched[t]) + from;
                uint16_t most = asked[touched[t]];
                for (Py_ssize_t c = 0; c < width; c++)
                    part[c] += row[c] < most ? row[c] : most;
            }
            for (Py_ssize_t c = 0; c < width; c++)
                sums[from + c] += part[c];
        }
    }
}

PyDoc_STRVAR(least_sums_doc, "See `plain.least_sums`.");

static PyObject *
least_sums(PyObject *module, PyObject *args)
{
    PyObject *objects[4];
    if (!PyArg_ParseTuple(args, "OOOO", &objects[0], &objects[1], &objects[2], &objects[3]))
        return NULL;
    Array a[4] = {0};
    PyObject *result = NULL;
    int32_t *touched = NULL;
    if (hold(&a[0], objects[0], "rows", 4, &UINT16, PyBUF_STRIDED_RO | PyBUF_FORMAT) < 0
        || hold(&a[1], objects[1], "groups", 1, &INT64, READ) < 0
        || hold(&a[2], objects[2], "asked", 2, &UINT16, READ) < 0
        || hold(&a[3], objects[3], "sums", 3, &UINT32, WRITE) < 0)
        goto done;
    const Py_ssize_t *shape = SHAPE(a[0]), *stride = a[0].view.strides;
    Py_ssize_t n_groups = SHAPE(a[1])[0];
    if (shape[1] != 2 || SHAPE(a[2])[0] != 2 || SHAPE(a[2])[1] != shape[2] || SHAPE(a[3])[0] != 2
        || SHAPE(a[3])[1] != n_groups || SHAPE(a[3])[2] != shape[3]) {
        wrong_shape("rows, groups and sums");
        goto done;
    }
    const int64_t *groups = DATA(a[1]);
    for (Py_ssize_t g = 0; g < n_groups; g++)
        if (groups[g] < 0 || groups[g] >= shape[0]) {
            PyErr_Format(PyExc_IndexError, "there is no group %lld", (long long)groups[g]);
            goto done;
        }
    const uint16_t *asked = DATA(a[2]);
    for (Py_ssize_t b = 0; b < 2 * shape[2]; b++)
        if (asked[b] > UINT16_MAX / ROWS) {
            PyErr_Format(PyExc_ValueError, "a coarse block has no %d voxels", (int)asked[b]);
            goto done;
        }
    touched = PyMem_Malloc((size_t)(shape[2] ? shape[2] : 1) * sizeof *touched);
    if (!touched) {
        PyErr_NoMemory();
        goto done;
    }
    Py_BEGIN_ALLOW_THREADS
    for (int outline = 0; outline < 2; outline++) {
        Py_ssize_t n_touched = 0;
        for (Py_ssize_t b = 0; b < shape[2]; b++)
            if (asked[outline * shape[2] + b])
                touched[n_touched++] = (int32_t)b;
        for (Py_ssize_t g = 0; g < n_groups; g++)
            add_least((const char *)DATA(a[0]) + stride[0] * groups[g] + stride[1] * outline,
                      stride[2], asked + outline * shape[2], touched, n_touched, shape[3],
                      (uint32_t *)DATA(a[3]) + (outline * n_groups + g) * shape[3]);
    }
    Py_END_ALLOW_THREADS
    result = Py_NewRef(Py_None);
done:
    PyMem_Free(touched);
    release(a, 4);
    return result;
}

/* ---------------------------------------------------------------- intersections */

typedef struct {
    const int64_t *starts;
    const uint16_t *blocks;
} Entries;

typedef struct {
    int64_t entry;
    int64_t place;
} Asked;

typedef enum { DONE, NO_SUCH_BLOCK, TOO_SHORT, NOT_READ } Outcome;

FOR_EACH_PROCESSOR static int64_t
count_common(const uint64_t *bits, int64_t first, const uint64_t *query, const Asked *asked,
             Py_ssize_t n)
{
    int64_t sum = 0;
    for (Py_ssize_t s = 0; s < n; s++) {
        const uint64_t *a = bits + WORDS * (asked[s].entry - first);
        const uint64_t *b = query + WORDS * asked[s].place;
        for (int w = 0; w < WORDS; w++)
            sum += count_bits(a[w] & b[w]);
    }
    return sum;
}

static Outcome
read_bits(int descriptor, int64_t offset, size_t n_bytes, uint64_t *target)
{
    char *to = (char *)target;
    while (n_bytes) {
        ssize_t n = pread(descriptor, to, n_bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return NOT_READ;
        if (n == 0)
            return TOO_SHORT;
        to += n;
        offset += n;
        n_bytes -= (size_t)n;
    }
    return DONE;
}

/* Intersections of one outline; `asked` and `buffer` hold its entries and the bits of them. */
static Outcome
intersect(Entries full, Entries mixed, int64_t outline, int64_t n_blocks, const uint64_t *bits,
          int descriptor, int64_t header, const uint16_t *counts, const uint64_t *query,
          Asked *asked, uint64_t *buffer, int64_t *sum)
{
    *sum = 0;
    for (int64_t e = full.starts[outline]; e < full.starts[outline + 1]; e++) {
        if (full.blocks[e] >= n_blocks)
            return NO_SUCH_BLOCK;
        *sum += counts[full.blocks[e]];
    }
    Py_ssize_t n = 0;
    for (int64_t e = mixed.starts[outline]; e < mixed.starts[outline + 1]; e++) {
        if (mixed.blocks[e] >= n_blocks)
            return NO_SUCH_BLOCK;
        asked[n].entry = e;
        asked[n].place = mixed.blocks[e];
        n += counts[mixed.blocks[e]] > 0; /* blocks that the query does not touch stay unread */
    }
    if (descriptor < 0) {
        *sum += count_common(bits, 0, query, asked, n);
        return DONE;
    }
    for (Py_ssize_t s = 0, t; s < n; s = t) {
        for (t = s + 1; t < n && asked[t].entry - asked[t - 1].entry <= NEAR; t++)
            ;
        int64_t first = asked[s].entry, stop = asked[t - 1].entry + 1;
        Outcome outcome = read_bits(descriptor, header + 8 * WORDS * first,
                                    (size_t)(8 * WORDS * (stop - first)), buffer);
        if (outcome != DONE)
            return outcome;
        *sum += count_common(buffer, first, query, asked + s, t - s);
    }
    return DONE;
}

/* Longest of the outlines' lists of entries, or -1 if one lies outside the arrays. */
static int64_t
longest(const int64_t *starts, const int64_t *ids, Py_ssize_t n_ids, int64_t n_entries)
{
    int64_t most = 0;
    for (Py_ssize_t i = 0; i < n_ids; i++)
        for (int outline = 0; outline < 2; outline++) {
            int64_t start = starts[2 * ids[i] + outline], stop = starts[2 * ids[i] + outline + 1];
            if (start < 0 || stop < start || stop > n_entries)
                return -1;
            if (stop - start > most)
                most = stop - start;
        }
    return most;
}

PyDoc_STRVAR(intersections_doc, "See `plain.intersections`.");

static PyObject *
intersections(PyObject *module, PyObject *args)
{
    PyObject *objects[9];
    int descriptor;
    long long header;
    if (!PyArg_ParseTuple(args, "OOOOOOiLOOO", &objects[0], &objects[1], &objects[2], &objects[3],
                          &objects[4], &objects[5], &descriptor, &header, &objects[6], &objects[7],
                          &objects[8]))
        return NULL;
    Array a[9] = {0};
    PyObject *result = NULL;
    Asked *asked = NULL;
    uint64_t *buffer = NULL;
    if (hold(&a[0], objects[0], "ids", 1, &INT64, READ) < 0
        || hold(&a[1], objects[1], "full_starts", 1, &INT64, READ) < 0
        || hold(&a[2], objects[2], "full_blocks", 1, &UINT16, READ) < 0
        || hold(&a[3], objects[3], "mixed_starts", 1, &INT64, READ) < 0
        || hold(&a[4], objects[4], "mixed_blocks", 1, &UINT16, READ) < 0
        || hold(&a[5], objects[5], "mixed_bits", 2, &UINT64, READ) < 0
        || hold(&a[6], objects[6], "counts", 2, &UINT16, READ) < 0
        || hold(&a[7], objects[7], "blocks", 3, &UINT64, READ) < 0
        || hold(&a[8], objects[8], "sums", 2, &INT64, WRITE) < 0)
        goto done;
    Py_ssize_t n_ids = SHAPE(a[0])[0], n_starts = SHAPE(a[1])[0], n_blocks = SHAPE(a[6])[1];
    if (SHAPE(a[3])[0] != n_starts || SHAPE(a[5])[0] != SHAPE(a[4])[0] || SHAPE(a[5])[1] != WORDS
        || SHAPE(a[6])[0] != 2 || SHAPE(a[7])[0] != 2 || SHAPE(a[7])[1] != n_blocks
        || SHAPE(a[7])[2] != WORDS || SHAPE(a[8])[0] != 2 || SHAPE(a[8])[1] != n_ids) {
        wrong_shape("the index's arrays, the query's and sums");
        goto done;
    }
    const int64_t *ids = DATA(a[0]);
    for (Py_ssize_t i = 0; i < n_ids; i++)
        if (ids[i] < 0 || ids[i] >= (n_starts - 1) / 2) {
            PyErr_Format(PyExc_IndexError, "there is no tumour %lld", (long long)ids[i]);
            goto done;
        }
    Entries full = {DATA(a[1]), DATA(a[2])}, mixed = {DATA(a[3]), DATA(a[4])};
    int64_t most = longest(mixed.starts, ids, n_ids, SHAPE(a[4])[0]);
    if (most < 0 || longest(full.starts, ids, n_ids, SHAPE(a[2])[0]) < 0) {
        PyErr_SetString(PyExc_IndexError, "a tumour's entries lie outside the index");
        goto done;
    }
    asked = PyMem_Malloc((size_t)(most + 1) * sizeof *asked);
    buffer = PyMem_Malloc(descriptor < 0 ? 1 : (size_t)(most + 1) * 8 * WORDS);
    if (!asked || !buffer) {
        PyErr_NoMemory();
        goto done;
    }
    Outcome outcome = DONE;
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t i = 0; i < n_ids && outcome == DONE; i++)
        for (int outline = 0; outline < 2 && outcome == DONE; outline++)
            outcome = intersect(full, mixed, 2 * ids[i] + outline, n_blocks, DATA(a[5]), descriptor,
                                header, (const uint16_t *)DATA(a[6]) + outline * n_blocks,
                                (const uint64_t *)DATA(a[7]) + outline * n_blocks * WORDS, asked,
                                buffer, (int64_t *)DATA(a[8]) + outline * n_ids + i);
    Py_END_ALLOW_THREADS
    if (outcome == NO_SUCH_BLOCK)
        PyErr_SetString(PyExc_IndexError, "an entry of the index names a block that it lacks");
    else if (outcome == TOO_SHORT)
        PyErr_SetString(PyExc_EOFError, "the file of the bits has become shorter");
    else if (outcome == NOT_READ)
        PyErr_SetFromErrno(PyExc_OSError);
    else
        result = Py_NewRef(Py_None);
done:
    PyMem_Free(asked);
    PyMem_Free(buffer);
    release(a, 9);
    return result;
}

/* ---------------------------------------------------------------- module */

static PyMethodDef methods[] = {
    {"cut_outline", cut_outline, METH_VARARGS, cut_outline_doc},
    {"least_sums", least_sums, METH_VARARGS, least_sums_doc},
    {"intersections", intersections, METH_VARARGS, intersections_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "compiled",
    .m_doc = "What a search counts, voxel by voxel, in C.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit_compiled(void)
{
    return PyModuleDef_Init(&definition);
}
