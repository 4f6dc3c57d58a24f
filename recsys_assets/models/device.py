"""What served models compute on: the CPU, or one GPU. Runs in both environments.

A GPU needs onnxruntime-gpu and faiss-gpu in the place of onnxruntime and faiss-cpu, as the GPU
image has them. onnxruntime by itself goes on without a word on the CPU where CUDA cannot be used,
slower than the pod was sized for; here that is an error. No GPU was at hand to measure
with: placement and errors are tested, results and speed on a GPU are not.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CUDA = "CUDAExecutionProvider"
_ON_CPU: tuple[str, dict[str, int]] = ("CPUExecutionProvider", {})
_MOST_ON_GPU = 2048  # what FAISS selects, or lists it probes, in one search on a GPU


class NoGpu(RuntimeError):
    """A model was to compute on a GPU and cannot."""

    def __init__(self, gpu: int, why: str) -> None:
        super().__init__(
            f"GPU {gpu} cannot be used: {why}. Run the serving image with GPU packages on a node "
            "with NVIDIA's device plugin, or start the agent beside Triton with --device cpu"
        )


@dataclass(frozen=True)
class Device:
    """The CPU, or the GPU of that number."""

    gpu: int | None = None

    @classmethod
    def of_instance(cls, arguments: dict[str, str]) -> "Device":
        """Where Triton has put an instance of a model, from what it gives `initialize`."""
        if arguments["model_instance_kind"] != "GPU":
            return cls()
        return cls(int(arguments["model_instance_device_id"]))

    def open_session(self, file: Path, threads: int) -> Any:
        """An onnxruntime session.

        Args:
            file: an ONNX model.
            threads: for what is computed on the CPU.

        Raises:
            FileNotFoundError: there is no such file.
            NoGpu: this is a GPU, and onnxruntime does not use it.
        """
        import onnxruntime

        if not file.exists():
            raise FileNotFoundError(f"{file} does not exist: train the model again")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        providers = [_ON_CPU]
        if self.gpu is not None:
            if _CUDA not in onnxruntime.get_available_providers():
                raise NoGpu(self.gpu, f"this onnxruntime {onnxruntime.__version__} has no {_CUDA}")
            onnxruntime.preload_dlls()  # CUDA and cuDNN out of their wheels
            providers = [(_CUDA, {"device_id": self.gpu}), _ON_CPU]
        session = onnxruntime.InferenceSession(str(file), sess_options=options, providers=providers)
        if self.gpu is not None and _CUDA not in session.get_providers():
            raise NoGpu(self.gpu, f"onnxruntime found no CUDA for {file.name}; its log says why")
        return session

    def place(self, index: Any) -> Any:
        """A FAISS index where it is to be searched.

        On a GPU lists stay lists. Graphs and plain quantized vectors, which GPUs do not know,
        become an exact search in fp16: what costs a processor too much is what a GPU is good at.

        Raises:
            NoGpu: FAISS is built without GPUs, or cannot use this one.
        """
        import faiss

        if self.gpu is None:
            return index
        gpu_faiss: Any = faiss  # type checkers know the CPU's build
        if not hasattr(gpu_faiss, "StandardGpuResources"):
            raise NoGpu(self.gpu, f"this faiss {faiss.__version__} is built for CPUs")
        seen = gpu_faiss.get_num_gpus()
        if self.gpu >= seen:
            raise NoGpu(self.gpu, f"FAISS sees {seen} GPUs")
        options = gpu_faiss.GpuClonerOptions()
        options.useFloat16 = True
        resources = gpu_faiss.StandardGpuResources()
        placed = index if hasattr(index, "nprobe") else _exact(index)
        try:
            return gpu_faiss.index_cpu_to_gpu(resources, self.gpu, placed, options)
        except RuntimeError as error:
            raise NoGpu(self.gpu, f"FAISS says {error}") from None

    def most(self, count: int) -> int:
        """How many of so many items a search can give, or of so many lists it can probe."""
        return count if self.gpu is None else min(count, _MOST_ON_GPU)


def _exact(index: Any) -> Any:
    import faiss

    flat = faiss.IndexFlatIP(index.d)
    flat.add(index.reconstruct_n(0, index.ntotal))
    return flat


CPU = Device()
