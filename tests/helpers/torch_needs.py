"""Marks for tests of torch features that give warnings or may be missing."""

import shutil

import pytest

# torch's forward mode and its compiler still use torch.jit.script themselves.
uses_torch_script = pytest.mark.filterwarnings("ignore:.torch.jit.script(_method)?. is deprecated")

# aot_eager traces forward and backward without a compiler; inductor also generates C++ from them.
needs_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="inductor needs a C++ compiler")
