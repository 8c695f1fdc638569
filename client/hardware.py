"""What a tuned file depends on beside the model: this processor, and the ONNX Runtime that made it."""

import platform
from functools import cache
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")


@cache
def processor() -> str:
    """This machine's processor, as it names itself; a disk may be moved to another machine."""
    return f"{platform.machine()} {_model_name() or platform.processor()}".strip()


@cache
def runtime_version() -> str:
    """Which ONNX Runtime answers here."""
    import onnxruntime

    return str(onnxruntime.__version__)


def _model_name() -> str:
    try:
        lines = CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
