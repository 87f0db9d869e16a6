#!/usr/bin/env python3
"""segrt beside its peers on this machine, interleaved in one process: the same checkpoint, a uint8 picture (peers: the
normalised tensor) in, labels of the same size out.

    python bench/side_by_side.py MODEL_FOLDER HEIGHTxWIDTH [--rounds 20] [--seconds S] [--threads 2] [--precisions float32,bfloat16]
                                 [--peers ort,openvino-f32,openvino-bf16,ort-folded,openvino-f32-folded,openvino-bf16-folded,torch]
                                 [--library build/release/src/libsegrt.so] [--csv FILE]

Needs (pip): torch transformers onnx onnxruntime openvino numpy.  The peers' graph is PyTorch's own export of the
published network with upsampling and argmax behind it; "-folded" peers run what `segrt export --form folded` writes (the program beside
the library).  --seconds ends the rounds early.  Prints minimum and median of the rounds, the ratio to segrt's first precision, and the
share of labels equal to float32 PyTorch's."""
import argparse, os, platform, statistics, subprocess, sys, tempfile, time, warnings

import numpy as np
import torch
import torch.nn.functional as F
from transformers import SegformerForSemanticSegmentation

from libsegrt import Failed, Session

warnings.filterwarnings("ignore")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MEAN, DEVIATION = np.array([123.675, 116.28, 103.53], np.float32), np.array([58.395, 57.12, 57.375], np.float32)


def segrt_runner(library, folder, picture, precision, threads):
    """A function that segments `picture` [h][w][3] and returns its labels."""
    try:
        session = Session(library, folder, "cpu", precision, threads)
    except Failed as why:
        sys.exit(f"segrt: {why}")
    h, w, _ = picture.shape
    labels = np.empty((h, w), np.uint8)

    def run():
        session.segment(picture.ctypes.data, labels.ctypes.data, h, w)
        return labels

    return run


class Labels(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return F.interpolate(self.model(x).logits, size=x.shape[2:], mode="bilinear", align_corners=False).argmax(1)


def peer_runners(wanted, folder, x, threads, program):
    """PyTorch's own answer, and a runner for each peer."""
    torch.set_num_threads(threads)
    model = Labels(SegformerForSemanticSegmentation.from_pretrained(folder, dtype=torch.float32).eval()).eval()
    runners = {"torch": lambda: model(x).numpy()[0]}
    place = tempfile.mkdtemp()
    published, folded = os.path.join(place, "published.onnx"), os.path.join(place, "folded.onnx")
    torch.onnx.export(model, (x,), published, opset_version=17, input_names=["input"], output_names=["labels"], dynamo=False)
    if any(name.endswith("-folded") for name in wanted):
        shape = "x".join(str(v) for v in (x.shape[0], *x.shape[2:]))
        subprocess.run([program, "export", folder, "-o", folded, "--form", "folded", "--shape", shape, "--output", "labels"], check=True, stdout=subprocess.DEVNULL)
    for name in wanted:
        file = folded if name.endswith("-folded") else published
        if name.startswith("ort"):
            import onnxruntime
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            ort = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
            runners[name] = lambda ort=ort: ort.run(None, {"input": x.numpy()})[0][0]
        elif name.startswith("openvino"):
            import openvino
            settings = {"INFERENCE_PRECISION_HINT": name.split("-")[1], "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
            request = openvino.Core().compile_model(file, "CPU", settings).create_infer_request()
            runners[name] = lambda request=request: next(iter(request.infer({0: x.numpy()}).values()))[0]
    return runners["torch"], {name: runners[name] for name in wanted}


def processor():
    with open("/proc/cpuinfo") as f:
        return next((line.split(":")[1].strip() for line in f if line.startswith("model name")), platform.processor())


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("size")
    p.add_argument("--rounds", type=int, default=20)
    p.add_argument("--seconds", type=float, default=1e9)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--peers", default="ort,openvino-f32")
    p.add_argument("--precisions", default="float32")
    p.add_argument("--library", default=os.path.join(ROOT, "build/release/src/libsegrt.so"))
    p.add_argument("--csv")
    a = p.parse_args()
    h, w = map(int, a.size.split("x"))
    y, x = np.mgrid[0:h, 0:w]
    drawn = np.stack([x * 255 / w, y * 255 / h, 127 + 60 * np.sin(x / 17) + 60 * np.cos(y / 23)], -1)
    picture = np.ascontiguousarray((drawn + np.random.default_rng(0).normal(0, 8, drawn.shape)).clip(0, 255).astype(np.uint8))
    tensor = torch.from_numpy(((picture - MEAN) / DEVIATION).transpose(2, 0, 1)[None].copy())
    with torch.no_grad():
        program = os.path.join(os.path.dirname(a.library), "../tools/segrt/segrt")
        oracle, runners = peer_runners(a.peers.split(","), a.model, tensor, a.threads, program)
        ours = {f"segrt-{q}": segrt_runner(a.library, a.model, picture, q, a.threads) for q in a.precisions.split(",")}
        runners = {**ours, **runners}
        expected = oracle()
        equal = {name: float((np.asarray(run()).reshape(h, w) == expected).mean()) for name, run in runners.items()}
        times = {name: [] for name in runners}
        rounds, end = 0, time.perf_counter() + a.seconds
        while rounds < a.rounds and time.perf_counter() < end:
            rounds += 1
            for name, run in runners.items():
                start = time.perf_counter()
                run()
                times[name].append((time.perf_counter() - start) * 1e3)
    base = statistics.median(times[next(iter(ours))])
    name_of_model, cpu = os.path.basename(os.path.normpath(a.model)), processor()
    rows = [(name_of_model, a.size, name, a.threads, round(min(t), 2), round(statistics.median(t), 2), round(statistics.median(t) / base, 2), round(100 * equal[name], 3))
            for name, t in times.items()]
    print(f"{cpu}, {a.threads} threads, {rounds} rounds interleaved")
    for r in rows:
        print(f"{r[0]:24s} {r[1]:>10s} {r[2]:20s} min {r[4]:9.2f} median {r[5]:9.2f} ms  {r[6]:6.2f}x  labels equal {r[7]:.3f} %")
    if a.csv:
        new = not os.path.exists(a.csv)
        with open(a.csv, "a") as f:
            if new:
                f.write("machine,model,size,runner,threads,min_ms,median_ms,ratio_to_segrt,labels_equal_percent\n")
            for r in rows:
                f.write(",".join(str(v) for v in (cpu, *r)) + "\n")


if __name__ == "__main__":
    main()
