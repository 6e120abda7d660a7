"""Which device the engine runs on, and why not the GPU where it does not."""

from __future__ import annotations

from dataclasses import dataclass

import torch

DTYPES = (torch.float32, torch.bfloat16)
"""What the GPU runner computes in."""


@dataclass(frozen=True, slots=True)
class DeviceChoice:
    """A device and, in one sentence, why it is that one. name: for people, "NVIDIA H200" or "CPU"."""

    device: torch.device
    name: str
    why: str


def choose_device() -> DeviceChoice:
    """The GPU where there is one that the kernels support, otherwise the CPU."""
    refusal = refused(torch.device("cuda"))
    if refusal:
        return DeviceChoice(torch.device("cpu"), "CPU", refusal)
    device = torch.device("cuda", torch.cuda.current_device())
    from reference_engine import kernels

    chosen = kernels.ops(device)
    why = "it is there, and the kernels support it" if chosen.capturable else chosen.why
    return DeviceChoice(device, torch.cuda.get_device_name(device), why)


def refused(device: torch.device) -> str:
    """Why the engine cannot use `device` at all, in one sentence; "" when it can.

    A GPU without triton can be used: plain torch does the kernels' work there, slowly.
    """
    if device.type == "cpu":
        return ""
    if device.type != "cuda":
        return f"the engine has no runner for {device.type} devices; use cuda or cpu"
    if torch.version.cuda is None:
        return "this torch was built without CUDA; install a CUDA build to use a GPU"
    if not torch.cuda.is_available():
        return "torch sees no CUDA device"
    if device.index is not None and device.index >= torch.cuda.device_count():
        return f"there is no {device}: torch sees {torch.cuda.device_count()} CUDA devices"
    return ""
