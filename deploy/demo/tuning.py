"""tuning.py - the environment in which PyTorch on a CPU is quick; to be set before it is imported.

glibc otherwise gives every large tensor back to the kernel and pays for fresh pages in the next step, which made
steps several times slower. An OpenBLAS older than the CPU takes it for one without AVX-512 unless told."""

import os
import sys

CPU = open("/proc/cpuinfo", encoding="utf-8").read()
AMX = "amx_bf16" in CPU

WANTED = {
    "MALLOC_MMAP_THRESHOLD_": str(8 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
    "MALLOC_TOP_PAD_": str(256 << 20),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "OMP_WAIT_POLICY": "passive",
    "OMP_NUM_THREADS": "1",  # one process for each core; torch.set_num_threads does not reach OpenBLAS
    "OPENBLAS_NUM_THREADS": "1",
}
if "avx512f" in CPU:
    WANTED["OPENBLAS_CORETYPE"] = "SkylakeX"


def apply():
    """Starts the program once more with what is missing; what is set already stays as it is."""
    if all(name in os.environ for name in WANTED):
        return
    for name, value in WANTED.items():
        os.environ.setdefault(name, value)
    os.execv(sys.executable, [sys.executable] + sys.argv)
