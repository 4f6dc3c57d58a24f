"""Where served models compute. No GPU is here: FAISS's side of one is a stand-in."""

from types import SimpleNamespace

import faiss
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from recsys_assets.models.device import CPU, Device, NoGpu
from recsys_assets.models.index import index_kinds
from recsys_assets.models.index.index import IndexDescription, ItemIndex, write_index
from recsys_assets.models.index.index_kinds import IndexParameters, default_parameters
from recsys_assets_tests.models.index.test_index import unit_vectors

GPU = Device(0)


@pytest.fixture
def file(tmp_path):
    """A model that doubles."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "doubles", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.fixture
def on_gpu(monkeypatch):
    """Indexes that have been placed on the GPU of that number, with the options of each."""
    placed = []

    def index_cpu_to_gpu(_, gpu, index, options):
        placed.append((gpu, index, options))
        return index

    monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
    monkeypatch.setattr(faiss, "GpuClonerOptions", SimpleNamespace, raising=False)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1, raising=False)
    monkeypatch.setattr(faiss, "index_cpu_to_gpu", index_cpu_to_gpu, raising=False)
    return placed


def test_triton_says_where_an_instance_is():
    said = {"model_instance_kind": "GPU", "model_instance_device_id": "1"}
    assert Device.of_instance(said) == Device(1)
    assert Device.of_instance({**said, "model_instance_kind": "CPU"}) == CPU


class TestSessions:
    def test_on_the_cpu(self, file):
        (output,) = CPU.open_session(file, 1).run(None, {"x": np.float32([1, 2])})
        assert output.tolist() == [2, 4]

    def test_a_missing_model_is_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"model\.onnx does not exist: train the model"):
            CPU.open_session(tmp_path / "model.onnx", 1)

    def test_an_onnxruntime_without_cuda_is_refused(self, file):
        with pytest.raises(NoGpu, match=r"has no CUDAExecutionProvider.* --device cpu"):
            GPU.open_session(file, 1)

    def test_one_that_goes_on_without_its_gpu_is_refused(self, file, monkeypatch):
        import onnxruntime

        whole = onnxruntime.InferenceSession

        def without_cuda(model, sess_options, providers):
            """As onnxruntime-gpu does where CUDA cannot be loaded."""
            assert providers[0] == ("CUDAExecutionProvider", {"device_id": 0})
            return whole(model, sess_options, providers[1:])

        listed = ["CUDAExecutionProvider", "CPUExecutionProvider"]
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)
        monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
        monkeypatch.setattr(onnxruntime, "InferenceSession", without_cuda)
        with pytest.raises(NoGpu, match=r"found no CUDA for model\.onnx"):
            GPU.open_session(file, 1)


class TestIndexes:
    @pytest.mark.parametrize("kind", ["flat", "hnsw", "hnswsq8"])
    def test_what_a_gpu_does_not_know_becomes_an_exact_search(self, on_gpu, kind):
        vectors = unit_vectors(500)
        GPU.place(index_kinds.build(vectors, default_parameters(kind, len(vectors))))
        ((gpu, index, options),) = on_gpu
        assert (gpu, options.useFloat16) == (0, True)
        assert isinstance(index, faiss.IndexFlat)
        assert index.metric_type == faiss.METRIC_INNER_PRODUCT
        assert np.abs(index.reconstruct_n(0, 500) - vectors).max() < 0.02

    @pytest.mark.parametrize("kind", ["ivfflat", "ivfsq8", "ivfpq"])
    def test_lists_stay_lists(self, on_gpu, kind):
        built = index_kinds.build(unit_vectors(2000), IndexParameters(kind, lists=4, effort=2))
        assert GPU.place(built) is built
        assert on_gpu[0][1] is built

    def test_a_search_stays_within_what_a_gpu_can(self, on_gpu, tmp_path, monkeypatch):
        vectors = unit_vectors(300)
        built = index_kinds.build(vectors, IndexParameters("ivfflat", lists=4, effort=4))
        described = IndexDescription("ivfflat", 300, 16, 1.0, {"normal": 1 << 20})
        write_index(tmp_path, built, [str(n) for n in range(300)], described)
        efforts = []
        monkeypatch.setattr(
            index_kinds, "search_parameters", lambda _, effort, k: efforts.append(effort)
        )
        ItemIndex(tmp_path, device=GPU).search(vectors[:1], 10)
        assert efforts == [GPU.most(1 << 20)] == [2048]
        assert GPU.most(300) == 300
        assert CPU.most(1 << 20) == 1 << 20

    def test_a_faiss_for_cpus_is_refused(self):
        with pytest.raises(NoGpu, match="is built for CPUs"):
            GPU.place(faiss.IndexFlatIP(4))

    def test_a_gpu_that_is_not_there_is_refused(self, on_gpu):
        with pytest.raises(NoGpu, match="GPU 1 cannot be used: FAISS sees 1 GPUs"):
            Device(1).place(faiss.IndexFlatIP(4))

    def test_what_faiss_says_is_told(self, on_gpu, monkeypatch):
        def refuse(*_):
            raise RuntimeError("out of memory")

        monkeypatch.setattr(faiss, "index_cpu_to_gpu", refuse)
        with pytest.raises(NoGpu, match="FAISS says out of memory"):
            GPU.place(faiss.IndexFlatIP(4))
