"""Every file that `segrt export` can write of a tiny model: each form, shape, operator set, output and precision is checked by
onnx.checker (full) and run in ONNX Runtime and OpenVINO against the published form in float32; and the same weights as a checkpoint and as
ONNX files of other exporters give identical graphs and names.

    python check_exports.py SEGRT GOLDENS      SEGRT: the program; GOLDENS: the folder of the goldens; needs numpy, onnx, onnxruntime, openvino
"""
import itertools, os, subprocess, sys, tempfile
import numpy as np, onnx, onnxruntime as ort, openvino as ov
from onnx import numpy_helper

segrt, goldens = sys.argv[1:3]
folder = tempfile.mkdtemp()
core = ov.Core()
MODELS = {'hf': 'hf/model.safetensors', 'nvlabs': 'nvlabs/segformer_tiny.pth', 'mmseg': 'mmseg/segformer_tiny.pth'}
SHAPES = {'1x64x96': [(1, 3, 64, 96)], 'dynamic': [(1, 3, 64, 96), (2, 3, 97, 65)], 'dynamicx64x96': [(1, 3, 64, 96), (2, 3, 64, 96)]}
LIMIT = {'f32': 1e-5, 'f16': 1e-2}   # norm of the logits' difference, what docs/export.md promises; float16: of arithmetic in 16 bits
LABELS = {'f32': 0.9999, 'f16': 0.98}


def export(model, out, *options):
    subprocess.run([segrt, 'export', model, '-o', out, *options], check=True, stdout=subprocess.DEVNULL)


def onnxruntime(path):
    options = ort.SessionOptions(); options.log_severity_level = 3; options.intra_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=['CPUExecutionProvider'])
    return lambda x: session.run(None, {'input': x})[0]


def openvino(path):
    compiled = core.compile_model(path, 'CPU', {'INFERENCE_PRECISION_HINT': 'f32', 'INFERENCE_NUM_THREADS': 1})
    return lambda x: compiled.create_infer_request().infer({0: x})[compiled.output(0)].copy()


RUNTIMES = {'ONNX Runtime': onnxruntime, 'OpenVINO': openvino}


def content(path):
    m = onnx.load(path)
    weights = {i.name: numpy_helper.to_array(i) for i in m.graph.initializer}
    del m.graph.initializer[:], m.metadata_props[:]
    return m.SerializeToString(deterministic=True), weights


def every_combination(family):
    model, path = os.path.join(goldens, MODELS[family]), os.path.join(folder, 'x.onnx')
    r = np.random.default_rng(3)
    inputs = {s: r.normal(0, 1, s).astype(np.float32) for s in {s for l in SHAPES.values() for s in l}}
    expected = {}
    for output in ('logits', 'labels'):
        export(model, path, '--shape', 'dynamic', '--output', output)
        run = onnxruntime(path)
        for s, x in inputs.items(): expected[output, s] = run(x)
    worst, count, wrong = {}, 0, 0
    for form, shape, opset, output, precision in itertools.product(('published', 'folded'), SHAPES, range(11, 23), ('logits', 'labels'), LIMIT):
        export(model, path, '--form', form, '--shape', shape, '--opset', str(opset), '--output', output, '--precision', precision)
        onnx.checker.check_model(path, full_check=True)
        count += 1
        for runtime, load in RUNTIMES.items():
            what = f'{family} {form} {shape} opset {opset} {output} {precision} in {runtime}'
            try:
                run = load(path)
                for s in SHAPES[shape]:
                    y, e = run(inputs[s]), expected[output, s]
                    assert y.shape == e.shape, f'{y.shape}, not {e.shape}'
                    off = float((y == e).mean()) if output == 'labels' else float(np.linalg.norm(y - e) / np.linalg.norm(e))
                    fine = off >= LABELS[precision] if output == 'labels' else off <= LIMIT[precision]
                    key = runtime, output, precision
                    worst[key] = min(worst.get(key, 1), off) if output == 'labels' else max(worst.get(key, 0), off)
                    if not fine: wrong += 1; print('WRONG', what, s, off, flush=True)
            except Exception as error:
                wrong += 1; print('WRONG', what, str(error).strip().splitlines()[-1][:200], flush=True)
    print(family, count, 'files', {' '.join(k): f'{v:.2e}' if v < 0.5 else f'{100 * v:.3f} %' for k, v in worst.items()}, flush=True)
    return wrong


def same_from_every_source(family):
    """Weights: equal bit by bit but where the source's exporter folded batch norms (1e-6)."""
    wrong = 0
    for form, opset in itertools.product(('published', 'folded'), (11, 17, 22)):
        options = ('--form', form, '--opset', str(opset), '--shape', '1x64x96')
        path = os.path.join(folder, 'y.onnx')
        export(os.path.join(goldens, MODELS[family]), path, *options)
        graph, weights = content(path)
        for file in sorted(os.listdir(os.path.join(goldens, 'onnx'))):
            if not file.startswith(family): continue
            export(os.path.join(goldens, 'onnx', file), path, *options)
            other, others = content(path)
            unequal = {n: float(np.linalg.norm(others[n].astype(np.float64) - w) / np.linalg.norm(w)) for n, w in weights.items() if n in others and not np.array_equal(others[n], w)}
            fine = other == graph and others.keys() == weights.keys() and max(unequal.values(), default=0) <= 1e-6 and ('unfolded' not in file or not unequal)
            wrong += not fine
            print('same' if fine else 'WRONG', file, form, opset, f'{len(unequal)} of {len(weights)} weights not bit for bit, most {max(unequal.values(), default=0):.1e}', '' if fine else list(unequal)[:5], flush=True)
    return wrong


wrong = sum(every_combination(f) + same_from_every_source(f) for f in MODELS)
print(wrong, 'wrong')
sys.exit(bool(wrong))
