"""Exports small trained networks and runs them in other tools: every prediction must equal that of `stompp predict`.

    python3 tests/peers/check.py target/debug/stompp [TRACT]

Requires numpy, onnx, onnxruntime, openvino and qonnx. With torchvision and safetensors it also runs the code of docs/deploy.md.
TRACT is the program built from tests/peers/tract: `cargo build --manifest-path tests/peers/tract/Cargo.toml`.
"""

import csv
import importlib.util
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes

IMAGES = 100

# Name, options of `stompp train`, whether OpenVINO runs its convolutions on bits.
NETWORKS = [
    ("resnet8", "--model resnet8 --width 16 --method stompp", True),
    ("bireal8", "--model bireal8 --width 12 --method ste", True),
    ("resnet18", "--model resnet18 --width 8 --method ste", True),
    ("bwn", "--model resnet8 --width 8 --setting bwn --method ste", False),
]


def stompp(*arguments):
    return subprocess.run([sys.argv[1], *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def predicted(run, images):
    rows = csv.DictReader(io.StringIO(stompp("predict", run, images, "--csv")))
    return np.array([int(row["class"]) for row in rows])


def prepared(file, images):
    """The images, averaged to half their size and normalized with the statistics in the file's metadata."""
    metadata = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    assert metadata["classes"].split("\n")[3] == "cat"
    mean, std = (np.array(metadata[key].split(), np.float32).reshape(3, 1, 1) for key in ("mean", "std"))
    records = np.fromfile(images, np.uint8).reshape(-1, 3073)[:, 1:].reshape(-1, 3, 16, 2, 16, 2)
    boxes = records.astype(np.float64).sum((3, 5)) / 4
    return (np.rint(boxes).astype(np.float32) / np.float32(255) - mean) / std


def by_onnxruntime(file, inputs):
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (together,) = session.run(None, {"image": inputs})
    (alone,) = session.run(None, {"image": inputs[:1]})
    assert np.allclose(alone, together[:1], atol=1e-4), "the batch size changes the results"
    return together


def by_tract(file, inputs):
    images = file.with_suffix(".f32")
    np.ascontiguousarray(inputs, "<f4").tofile(images)
    command = [sys.argv[2], file, images, str(inputs.shape[-1])]
    return np.array(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split(), int)


def by_qonnx(file, inputs):
    model = ModelWrapper(str(file))
    assert any(node.op_type == "BipolarQuant" for node in model.graph.node)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = len(inputs)
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = len(inputs)
    model = model.transform(InferShapes())
    return execute_onnx(model, {"image": inputs})["logits"]


def by_openvino(file, inputs, on_bits):
    model = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    kinds = [node.get_rt_info()["layerType"].astype(str) for node in model.get_runtime_model().get_ops()]
    assert ("BinaryConvolution" in kinds) == on_bits, kinds
    return np.concatenate([model([image[None]])[0].copy() for image in inputs])


def trained(folder, name, options):
    """Trains a network. Returns its run directory and the predictions of `stompp predict` for the test images."""
    run, images = folder / name, folder / "images"
    training = "--image-size 16 --batch-size 20 --steps 10 --tail 0ba --learning-rate 0.05 --quiet"
    stompp("train", "--out", run, "--dataset", "cifar10", "--data", images, *options.split(), *training.split())
    expected = predicted(run, images / "test_batch.bin")
    assert len(set(expected)) > 1, "all predictions are the same class"
    return run, expected


def compare(name, predictions, expected):
    assert len(predictions) == len(expected)
    different = int((predictions != expected).sum())
    print(f"{name}: {different} of {len(expected)} predictions differ", flush=True)
    assert different == 0


def check(folder, name, options, on_bits):
    run, expected = trained(folder, name, options)
    for format, by in [
        ("onnx", by_onnxruntime),
        ("onnx-bipolar", by_qonnx),
        ("openvino", lambda file, inputs: by_openvino(file, inputs, on_bits)),
    ]:
        file = folder / f"{name}-{format}.onnx"
        stompp("export", run, "--format", format, "--out", file)
        if format != "openvino":
            onnx.checker.check_model(str(file))
        inputs = prepared(file, folder / "images" / "test_batch.bin")
        compare(f"{name}, {format}", by(file, inputs).argmax(1), expected)
        if format == "onnx" and len(sys.argv) > 2:
            compare(f"{name}, {format} in tract", by_tract(file, inputs), expected)


def check_torchvision(folder):
    """Runs the code in docs/deploy.md for a network that torchvision also has."""
    missing = [name for name in ("torchvision", "safetensors") if importlib.util.find_spec(name) is None]
    if missing:
        print(f"torchvision: skipped, {' and '.join(missing)} cannot be imported", flush=True)
        return
    page = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text()
    documented = {}
    exec(page.split("```python\n")[1].split("```")[0], documented)
    torch = documented["torch"]
    run, expected = trained(folder, "torchvision", "--model resnet18 --width 64 --method ste")
    weights, onnx_file = folder / "torchvision.safetensors", folder / "torchvision.onnx"
    stompp("export", run, "--format", "safetensors", "--out", weights)
    stompp("export", run, "--format", "onnx", "--out", onnx_file)
    inputs = torch.from_numpy(prepared(onnx_file, folder / "images" / "test_batch.bin"))
    with torch.no_grad():
        compare("torchvision", documented["load"](weights, 10)(inputs).numpy().argmax(1), expected)


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        stompp("data", "write", folder / "images", "--train-limit", "100", "--test-limit", str(IMAGES))
        for network in NETWORKS:
            check(folder, *network)
        check_torchvision(folder)


if __name__ == "__main__":
    main()
