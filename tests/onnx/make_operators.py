"""Writes ../data/onnx: one small graph for each family of operators, an input and ONNX Runtime's answer beside it; tests of
the interpreter and seeds for the fuzz harnesses.

    python make_operators.py [OUT]        needs numpy, onnx, onnxruntime (PyPI)
"""
import os, sys
import numpy as np, onnxruntime as ort
from onnx import TensorProto as T, helper as h, numpy_helper as nh, save

out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), '../data/onnx'); os.makedirs(out, exist_ok=True); r = np.random.default_rng(0)
def f(name, *shape): return nh.from_array(r.normal(0, .5, shape).astype(np.float32), name)
def i(name, *values): return nh.from_array(np.array(values, np.int64), name)
def write(name, nodes, inits, shape=(1, 3, 8, 8), opset=17, out_type=T.FLOAT, domain=None, functions=()):
    g = h.make_graph(nodes, name, [h.make_tensor_value_info('x', T.FLOAT, shape)], [h.make_tensor_value_info('y', out_type, None)], inits)
    imports = [h.make_opsetid('', opset)] + ([h.make_opsetid(domain, 1)] if domain else [])
    path = os.path.join(out, name); save(h.make_model(g, opset_imports=imports, functions=list(functions)), path + '.onnx')
    options = ort.SessionOptions(); options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(path + '.onnx', options, providers=['CPUExecutionProvider'])
    x = r.normal(0, 1, [d if isinstance(d, int) else {'n': 2}.get(d, 8) for d in shape]).astype(np.float32)
    np.save(path + '.input.npy', x); np.save(path + '.output.npy', session.run(None, {'x': x})[0])
N = h.make_node
MS = 'com.microsoft'

write('conv', [N('Conv', ['x', 'w', 'b'], ['c'], strides=[2, 2], pads=[1, 1, 1, 1]), N('Relu', ['c'], ['d']), N('Conv', ['d', 'dw'], ['y'], group=4, pads=[1, 1, 1, 1])], [f('w', 4, 3, 3, 3), f('b', 4), f('dw', 4, 1, 3, 3)], ('n', 3, 'h', 'w'))
write('tokens', [N('Shape', ['x'], ['s']), N('Gather', ['s', 'zero'], ['n'], axis=0), N('Unsqueeze', ['n', 'zero1'], ['n1']), N('Concat', ['n1', 'three', 'minus'], ['t'], axis=0), N('Reshape', ['x', 't'], ['r']), N('Transpose', ['r'], ['p'], perm=[0, 2, 1]),
                 N('MatMul', ['p', 'w'], ['m']), N('Add', ['m', 'b'], ['a']), N('LayerNormalization', ['a', 'g', 'b'], ['l'], epsilon=1e-6), N('Softmax', ['l'], ['y'], axis=-1)],
      [nh.from_array(np.array(0, np.int64), 'zero'), i('zero1', 0), i('three', 3), i('minus', -1), f('w', 3, 4), f('b', 4), f('g', 4)], ('n', 3, 'h', 'w'))
write('norm_written_out', [N('ReduceMean', ['x'], ['m'], axes=[-1]), N('Sub', ['x', 'm'], ['d']), N('Pow', ['d', 'two'], ['p']), N('ReduceMean', ['p'], ['v'], axes=[-1]), N('Add', ['v', 'e'], ['ve']), N('Sqrt', ['ve'], ['s']), N('Div', ['d', 's'], ['q']), N('Erf', ['q'], ['er']), N('Mul', ['q', 'er'], ['y'])],
      [nh.from_array(np.array(2, np.float32), 'two'), nh.from_array(np.array(1e-5, np.float32), 'e')], opset=13)
write('resize', [N('Resize', ['x', '', '', 'sz'], ['a'], mode='linear', coordinate_transformation_mode='half_pixel'), N('Resize', ['a', '', 'sc'], ['b'], mode='nearest', coordinate_transformation_mode='asymmetric', nearest_mode='floor'), N('ArgMax', ['b'], ['y'], axis=1, keepdims=0)],
      [i('sz', 1, 3, 11, 13), nh.from_array(np.array([1, 1, .5, 2], np.float32), 'sc')], opset=13, out_type=T.INT64)
write('moves', [N('Slice', ['x', 'st', 'en', 'ax', 'sp'], ['a']), N('Pad', ['a', 'pd'], ['b'], mode='reflect'), N('Split', ['b', 'spl'], ['c', 'd', 'e'], axis=1), N('Concat', ['e', 'c'], ['g'], axis=1), N('Expand', ['g', 'ex'], ['k']), N('Tile', ['k', 'ti'], ['l']), N('Squeeze', ['l', 'sq'], ['y'])],
      [i('st', -1, 1), i('en', -2**63, 99), i('ax', 3, 2), i('sp', -1, 2), i('pd', 0, 0, 1, 1, 0, 0, 0, 2), i('spl', 1, 1, 1), i('ex', 1, 1, 1, 1), i('ti', 1, 1, 2, 1), i('sq', 0)])
write('scatter', [N('Shape', ['x'], ['s']), N('ConstantOfShape', ['s'], ['z']), N('Range', ['a', 'b', 'c'], ['rg']), N('ScatterND', ['z', 'ix', 'up'], ['sc']), N('Equal', ['rg', 'c'], ['eq']), N('Where', ['eq', 'rg', 'c'], ['wh']), N('Cast', ['wh'], ['f'], to=1), N('ReduceSum', ['f'], ['rs'], keepdims=0), N('Mul', ['sc', 'rs'], ['y'])],
      [nh.from_array(np.array(v, np.int64), n) for n, v in (('a', 0), ('b', 5), ('c', 1))] + [i('ix', 0, 1), f('up', 8, 8)])
initial = [N('Reshape', ['x', 'rs'], ['t'])]
write('attention23', initial + [N('Attention', ['t', 't', 't'], ['y'], q_num_heads=2, kv_num_heads=2)], [i('rs', 1, -1, 8)], opset=23)
write('ms_attention', initial + [N('Attention', ['t', 'w', 'b'], ['a'], domain=MS, num_heads=2), N('MultiHeadAttention', ['a', 't', 't', 'b'], ['c'], domain=MS, num_heads=2), N('SkipLayerNormalization', ['c', 't', 'g', 'g'], ['d', '', '', 'e'], domain=MS), N('BiasGelu', ['d', 'g'], ['f'], domain=MS), N('FusedMatMul', ['f', 'e'], ['y'], domain=MS, alpha=.5, transB=1)],
      [i('rs', 1, -1, 8), f('w', 8, 24), f('b', 24), f('g', 8)], domain=MS)
fn = h.make_function('local', 'F', ['a'], ['b'], [N('Softmax', ['a'], ['t']), N('Identity', ['t'], ['b'])], [h.make_opsetid('', 17)], ['axis']); at = fn.node[0].attribute.add(); at.name = 'axis'; at.ref_attr_name = 'axis'; at.type = 2
write('functions', [N('F', ['x'], ['p'], domain='local', axis=1), N('F', ['p'], ['q'], domain='local'), N('BatchNormalization', ['q', 'g', 'g', 'g', 'g'], ['y'])], [nh.from_array(np.ones(3, np.float32), 'g')], domain='local', functions=[fn])
then = h.make_graph([N('Relu', ['x'], ['o'])], 'then', [], [h.make_tensor_value_info('o', T.FLOAT, None)]); other = h.make_graph([N('Neg', ['x'], ['o'])], 'else', [], [h.make_tensor_value_info('o', T.FLOAT, None)])
write('branch', [N('Size', ['x'], ['s']), N('Greater', ['s', 'k'], ['c']), N('If', ['c'], ['y'], then_branch=then, else_branch=other)], [nh.from_array(np.array(9, np.int64), 'k')])
