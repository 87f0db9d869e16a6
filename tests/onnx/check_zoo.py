"""Every file of a zoo (make_zoo.py, make_zoo_mmseg.py) through segrt's commands, as a user would: inspect, build, compare the file as it
is with its engine, export; and the export held against the one of the checkpoint that the file was made of.

    python check_zoo.py SEGRT ZOO [PATTERN] [--csv FILE]      SEGRT: the program; needs numpy, onnx

A file is taken, with logits equal to 1e-5 (float16: 2e-2) or labels equal, and the same graph and weights as its checkpoint's
(bit by bit, or to 1e-6 where its exporter folded batch norms; float16: to 1e-3), or it is refused with a reason.  Exit code: 0 if so.
"""
import argparse, csv, fnmatch, json, os, subprocess, sys, tempfile
import numpy as np, onnx
from onnx import numpy_helper


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=600)
    return done.returncode, (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]


def content(path):
    """The graph without its weights, and the weights by name."""
    m = onnx.load(path)
    weights = {i.name: numpy_helper.to_array(i) for i in m.graph.initializer}
    del m.graph.initializer[:], m.metadata_props[:]
    return m.SerializeToString(deterministic=True), weights


def check(segrt, zoo, name, folder, checkpoints):
    """-> (verdict, figures)"""
    path, engine, exported = os.path.join(zoo, name + '.onnx'), os.path.join(folder, 'e.segrt'), os.path.join(folder, 'e.onnx')
    shape = np.load(os.path.join(zoo, name + '.input.npy'), mmap_mode='r').shape
    size = f'{shape[2]}x{shape[3]}'
    half = 'f16' in name
    code, said = run(segrt, 'inspect', path, '--size', size)
    if code: return 'refused', {'reason': said[0].split('.onnx: ', 1)[-1] if said else f'exit code {code} without a word'}
    code, said = run(segrt, 'build', path, '-o', engine)
    if code: return 'WRONG', {'reason': f'inspect takes it, build does not: {said}'}
    report = os.path.join(folder, 'report.json')
    code, said = run(segrt, 'compare', path, engine, '--shape', size, '--json', report)
    if code: return 'WRONG', {'reason': f'compare: {said}'}
    d = json.load(open(report))['difference']
    figures = {'relative': d.get('numbers', {}).get('relative', ''), 'labels': d['labels']['agreement'] if 'labels' in d else ''}
    fine = figures['relative'] <= (2e-2 if half else 1e-5) if figures['relative'] != '' else figures['labels'] >= (0.98 if half else 0.9998)
    family = next((f for f in checkpoints if name.startswith(f)), None)
    if family:
        code, said = run(segrt, 'export', path, '-o', exported, '--shape', f'1x{size}')
        if code: return 'WRONG', {'reason': f'export: {said}'}
        graph, weights = content(exported)
        if (family, size) not in checkpoints['made']:
            original = os.path.join(folder, family + '.onnx')
            code, said = run(segrt, 'export', os.path.join(zoo, family + '.pth'), '-o', original, '--shape', f'1x{size}')
            if code: return 'WRONG', {'reason': f'export of the checkpoint: {said}'}
            checkpoints['made'][family, size] = content(original)
        same_graph, expected = checkpoints['made'][family, size]
        figures['graph'] = 'same' if graph == same_graph and weights.keys() == expected.keys() else 'DIFFERENT'
        if figures['graph'] == 'same':
            off = [float(np.linalg.norm((w.astype(np.float64) - expected[n]).ravel()) / max(np.linalg.norm(expected[n].ravel()), 1e-30)) if w.size else 0 for n, w in weights.items()]
            figures['unequal'] = sum(not np.array_equal(w, expected[n]) for n, w in weights.items())
            figures['weights'] = max(off)
        fine = fine and figures['graph'] == 'same' and figures['weights'] <= (1e-3 if half else 1e-6)
    return 'taken' if fine else 'WRONG', figures


def main():
    p = argparse.ArgumentParser()
    p.add_argument('segrt'), p.add_argument('zoo'), p.add_argument('pattern', nargs='?', default='*'), p.add_argument('--csv')
    a = p.parse_args()
    families = sorted((f[:-4] for f in os.listdir(a.zoo) if f.endswith('.pth')), key=len, reverse=True)
    checkpoints = dict.fromkeys(families); checkpoints['made'] = {}
    rows, count = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for file in sorted(os.listdir(a.zoo)):
            name = file[:-5]
            if not file.endswith('.onnx') or not fnmatch.fnmatch(name, a.pattern) or not os.path.exists(os.path.join(a.zoo, name + '.input.npy')): continue
            verdict, figures = check(a.segrt, a.zoo, name, folder, checkpoints)
            count[verdict] = count.get(verdict, 0) + 1
            rows.append({'file': name, 'verdict': verdict, **figures})
            print(f'{verdict:8s} {name:60s}', ' '.join(f'{k} {v:.1e}' if isinstance(v, float) and v < 1e-2 else f'{k} {v}' for k, v in figures.items()), flush=True)
    print(count)
    if a.csv:
        with open(a.csv, 'w', newline='') as f:
            w = csv.DictWriter(f, ['file', 'verdict', 'relative', 'labels', 'graph', 'unequal', 'weights', 'reason']); w.writeheader(); w.writerows(rows)
    sys.exit(bool(count.get('WRONG')) or not rows)


if __name__ == '__main__': main()
