"""A model as published and folded (segrt export), in ONNX Runtime and OpenVINO, interleaved in one process.

usage: export_side_by_side.py SEGRT MODEL SIZE [--original FILE.onnx] [--rounds N] [--threads N] [--cpu-time] [--input PICTURE.npy] [--csv FILE]
SEGRT is the program; MODEL whatever it opens; --original a graph of the same model from another exporter, labels or logits,
for that size.  Prints milliseconds (minimum and median over the rounds) and how far each form's logits are from exact arithmetic: of a
Hugging Face folder the float64 forward of transformers (needs torch, transformers), else the published form in ONNX Runtime.
--cpu-time counts the process's processor time in place of the clock's, for a machine that others use too: best with --threads 1,
as waiting threads may spin.  Needs numpy, onnxruntime, openvino."""
import argparse, csv, os, platform, subprocess, tempfile, time
import numpy as np
import onnxruntime as ort
import openvino as ov


def sessions(path, threads, hints):
    """name -> function of an input, one for each runtime"""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    found = {"onnxruntime f32": lambda x: session.run(None, {name: x})[0]}
    for hint in hints:
        compiled = ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"})
        request = compiled.create_infer_request()
        found[f"openvino {hint}"] = lambda x, r=request, c=compiled: r.infer({0: x})[c.output(0)].copy()
    return found


def exact_logits(model, x):
    """float64, or None."""
    if not os.path.exists(os.path.join(model, "config.json")):
        return None
    import torch
    from transformers import SegformerForSemanticSegmentation
    with torch.no_grad():
        return SegformerForSemanticSegmentation.from_pretrained(model, dtype=torch.float64).eval()(torch.from_numpy(x).double()).logits.numpy()


def processor():
    with open("/proc/cpuinfo") as f:
        return next((line.split(":")[1].strip() for line in f if line.startswith("model name")), platform.processor())


def main():
    p = argparse.ArgumentParser()
    p.add_argument("segrt"), p.add_argument("model"), p.add_argument("size", type=int)
    p.add_argument("--original"), p.add_argument("--rounds", type=int, default=11), p.add_argument("--threads", type=int, default=2)
    p.add_argument("--input"), p.add_argument("--cpu-time", action="store_true"), p.add_argument("--csv")
    a = p.parse_args()
    folder = tempfile.mkdtemp()
    shape = f"1x{a.size}x{a.size}"
    hints = ["f32"] + (["bf16"] if "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") else [])
    x = np.load(a.input).astype(np.float32) if a.input else np.random.default_rng(0).normal(0, 1, (1, 3, a.size, a.size)).astype(np.float32)
    forms = {"published": [], "folded": ["--form", "folded"]}
    runs, logits = {}, {}
    for form, options in forms.items():
        for output in ("labels", "logits"):
            path = os.path.join(folder, f"{form}_{output}.onnx")
            subprocess.run([a.segrt, "export", a.model, "-o", path, "--shape", shape, "--output", output, *options], check=True, stdout=subprocess.DEVNULL)
            for runtime, run in sessions(path, a.threads, hints).items():
                if output == "labels":
                    runs[runtime, form] = run
                else:
                    logits[runtime, form] = run(x)
            os.unlink(path)
    if a.original:
        for runtime, run in sessions(a.original, a.threads, hints).items():
            runs[runtime, "original"] = run
    times = {k: [] for k in runs}
    clock = time.process_time if a.cpu_time else time.perf_counter
    for run in runs.values():
        run(x)
    for _ in range(a.rounds):
        for k, run in runs.items():
            start = clock()
            run(x)
            times[k].append((clock() - start) * 1e3)
    print(f"{a.model} {shape}, {a.threads} threads, onnxruntime {ort.__version__}, openvino {ov.__version__.split('-')[0]}, load {os.getloadavg()[0]:.2f}{', processor time' if a.cpu_time else ''}")
    exact = exact_logits(a.model, x)
    if exact is None:
        exact = logits["onnxruntime f32", "published"].astype(np.float64)
    rows = []
    for (runtime, form), t in times.items():
        base = times[runtime, "published"]
        row = {"machine": processor(), "model": os.path.basename(a.model.rstrip("/")), "size": a.size, "threads": a.threads, "runner": runtime, "form": form, "min_ms": f"{min(t):.1f}",
               "median_ms": f"{np.median(t):.1f}", "faster_min": f"{min(base) / min(t):.2f}", "faster_median": f"{np.median(base) / np.median(t):.2f}", "logits_off": "", "labels_equal_percent": ""}
        if (runtime, form) in logits:
            got = logits[runtime, form].astype(np.float64)
            row["logits_off"], row["labels_equal_percent"] = f"{np.linalg.norm(got - exact) / np.linalg.norm(exact):.1e}", f"{100 * (got.argmax(1) == exact.argmax(1)).mean():.3f}"
        rows.append(row)
        print(f"{runtime:16s} {form:10s} min {min(t):8.1f}  median {np.median(t):8.1f} ms  x{row['faster_min']} (min) x{row['faster_median']} (median)  logits {row['logits_off']} off, labels {row['labels_equal_percent']} %")
    if a.csv:
        new = not os.path.exists(a.csv)
        with open(a.csv, "a", newline="") as f:
            writer = csv.DictWriter(f, rows[0].keys())
            if new:
                writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
