"""The one part of the package that is compiled, and need not be: without a compiler the install goes on without it."""

from __future__ import annotations

from glob import glob

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "asyncref._entries",
            ["asyncref/_entries.c"],
            depends=glob("asyncref/_c/*.h"),  # noqa: PTH207  setuptools wants relative names
            py_limited_api=True,
            optional=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
