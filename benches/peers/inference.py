#!/usr/bin/env python3
"""The same network in ONNX Runtime and OpenVINO, as peers of `cargo xtask bench --infer`.

Reads one JSON request per line from standard input and answers with one JSON line, so that its runs can alternate with ours.
The first request of a case loads it, and the answer has the logits of the first image:

    {"open": "resnet20-b1-t1", "runtime": "onnxruntime", "file": "net.onnx", "batch": 1, "threads": 1}

Later requests time it for about the given number of seconds:

    {"run": "resnet20-b1-t1", "runtime": "onnxruntime", "seconds": 0.1}

Answers: {"logits": [...], "ops": {...}} and {"seconds": [...]}, one value per run. Runtimes: `onnxruntime` (f32), `onnxruntime-int8`
(static quantization, calibrated on eight such images), `openvino` (f32), `openvino-binary` (a file of `stompp export --format
openvino`). `ops` counts OpenVINO's executed layers by type, to verify that binary convolutions run.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
import openvino
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process


def images(shape):
    """The same images as in our benchmark."""
    count = int(np.prod(shape))
    return (np.arange(count, dtype=np.float32) % 17 / 8 - 1).reshape(shape)


class Once(CalibrationDataReader):
    def __init__(self, x):
        self.left = [{"image": x[index : index + 1]} for index in range(len(x))]

    def get_next(self):
        return self.left.pop() if self.left else None


class OnnxRuntime:
    def __init__(self, file, batch, threads, int8):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that spin after a run would take a core from the next measurement.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self.session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        image = self.session.get_inputs()[0].shape[1:]
        self.x = images((batch, *image))
        if int8:
            with tempfile.TemporaryDirectory() as folder:
                ready, quantized = str(Path(folder) / "ready.onnx"), str(Path(folder) / "int8.onnx")
                quant_pre_process(file, ready)
                quantize_static(
                    ready,
                    quantized,
                    Once(images((8, *image))),
                    quant_format=QuantFormat.QDQ,
                    weight_type=QuantType.QInt8,
                    per_channel=True,
                )
                self.session = onnxruntime.InferenceSession(quantized, options, providers=["CPUExecutionProvider"])
        self.ops = {}

    def run(self):
        return self.session.run(None, {"image": self.x})[0]


class OpenVino:
    def __init__(self, file, batch, threads):
        core = openvino.Core()
        model = core.read_model(file)
        shape = [batch, *[d.get_length() for d in list(model.input().partial_shape)[1:]]]
        model.reshape(shape)
        compiled = core.compile_model(
            model,
            "CPU",
            {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"},
        )
        self.ops = {}
        for node in compiled.get_runtime_model().get_ordered_ops():
            kind = node.get_rt_info()["layerType"].astype(str)
            self.ops[kind] = self.ops.get(kind, 0) + 1
        self.request = compiled.create_infer_request()
        self.x = images(shape)

    def run(self):
        return self.request.infer([self.x], share_inputs=True, share_outputs=True)[0]


def opened(request):
    file, batch, threads = request["file"], request["batch"], request["threads"]
    if request["runtime"].startswith("openvino"):
        return OpenVino(file, batch, threads)
    return OnnxRuntime(file, batch, threads, request["runtime"].endswith("int8"))


def timed(case, seconds):
    """Seconds of each run: at least three runs."""
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        case.run()
        times.append(time.perf_counter() - start)
    return times


def main():
    name = f"ONNX Runtime {onnxruntime.__version__}, OpenVINO {openvino.__version__.split('-')[0]}"
    print(json.dumps({"peer": name}), flush=True)
    cases = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "open" in request:
            # Keep only one case: the threads and memory of others would disturb the measurement.
            cases = {key: case for key, case in cases.items() if key[0] == request["open"]}
            case = cases[request["open"], request["runtime"]] = opened(request)
            answer = {"logits": case.run()[0].tolist(), "ops": case.ops}
        else:
            answer = {"seconds": timed(cases[request["run"], request["runtime"]], request["seconds"])}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
