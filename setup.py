"""The one part of the package that is compiled, and need not be: without a compiler the install goes on without it."""

from __future__ import annotations

from setuptools import Extension, setup

setup(
    ext_modules=[Extension("asyncref._entries", ["asyncref/_entries.c"], py_limited_api=True, optional=True)],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
