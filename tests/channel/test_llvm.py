"""The version of an LLVM library. Oracle: paths as Debian, Fedora and Homebrew lay them out."""

from pathlib import Path

import pytest

from channel.llvm import llvm_version


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("/usr/lib/x86_64-linux-gnu/libLLVM-14.0.6.so.1", 14),
        ("/usr/lib/llvm-18/lib/libLLVM.so", 18),
        ("/opt/homebrew/opt/llvm@19/lib/libLLVM.dylib", 19),
        ("/usr/lib64/libLLVM.so.20.1", 20),
        ("/opt/x/libLLVM.so", None),
    ],
)
def test_llvm_version_of_a_path(path: str, version: int | None) -> None:
    assert llvm_version(Path(path)) == version
