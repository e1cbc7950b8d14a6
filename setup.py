"""The part of the package that is compiled; everything else stands in pyproject.toml."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "glioquery.query.kernels.compiled",
            ["query/kernels/compiled.c"],
            extra_compile_args=["-O3"],
            optional=True,  # without a compiler, the installation goes on, and NumPy counts
            py_limited_api=True,  # of Python 3.11: one wheel for all later versions
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
