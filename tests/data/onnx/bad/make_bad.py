#!/usr/bin/env python3
"""Writes the small hostile ONNX files of this folder (onnx 1.16 or later): python make_bad.py.

Each is refused by name, at once and without much memory; tests/program/cases/bad_onnx.sh tries them all."""
import os

import numpy
import onnx
from onnx import TensorProto, helper

FOLDER = os.path.dirname(os.path.abspath(__file__))
X = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 64, 96])
Y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)


def node(op, inputs, output, **more):
    return helper.make_node(op, inputs, [output], **more)


def save(name, nodes, constants=(), functions=(), x=X):
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]
    graph = helper.make_graph(list(nodes), "bad", [x], [Y], list(constants))
    model = helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=8)
    with open(os.path.join(FOLDER, name + ".onnx"), "wb") as file:
        file.write(model.SerializeToString())


def constant(name, value):
    return onnx.numpy_helper.from_array(numpy.array(value), name)


def raw(name, dims, data=b"\0" * 48):
    return TensorProto(name=name, data_type=TensorProto.FLOAT, dims=dims, raw_data=data)


def external(location, offset, length):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1024, 1024], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(value)
    return tensor


def function(name, nodes):
    return helper.make_function("f", name, ["i"], ["o"], nodes, [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)])


save("cyclic", [node("Add", ["x", "b"], "a"), node("Relu", ["a"], "b"), node("Relu", ["b"], "y")])
save("reads_itself", [node("Add", ["x", "a"], "a"), node("Relu", ["a"], "y")])
save("function_calls_itself", [node("F", ["x"], "y", domain="f")], functions=[function("F", [node("F", ["i"], "o", domain="f")])])
calls = []
for depth in range(10):
    steps, last = [], "i"
    for k in range(10):
        steps.append(node("Relu" if depth == 9 else f"F{depth + 1}", [last], f"t{k}", **({} if depth == 9 else {"domain": "f"})))
        last = f"t{k}"
    calls.append(function(f"F{depth}", steps + [node("Identity", [last], "o")]))
save("functions_of_functions", [node("F0", ["x"], "y", domain="f")], functions=calls)
save("negative_dimension", [node("MatMul", ["x", "w"], "y")], [raw("w", [-3, 4])])
save("overflowing_dimensions", [node("MatMul", ["x", "w"], "y")], [raw("w", [1 << 40, 1 << 40])])
save("negative_input", [node("Relu", ["x"], "y")], x=helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, -5, 64]))
save("path_upwards", [node("MatMul", ["x", "w"], "y")], [external("../../etc/passwd", 0, 4 << 20)])
save("path_absolute", [node("MatMul", ["x", "w"], "y")], [external("/etc/passwd", 0, 4 << 20)])
save("path_through_a_folder", [node("MatMul", ["x", "w"], "y")], [external("sub/../../x", 0, 4 << 20)])
save("external_missing", [node("MatMul", ["x", "w"], "y")], [external("missing.bin", 0, 4 << 20)])
save("external_too_long", [node("MatMul", ["x", "w"], "y")], [external("make_bad.py", 0, 1 << 62)])
save("external_behind_the_end", [node("MatMul", ["x", "w"], "y")], [external("make_bad.py", (1 << 63) - 1, 4 << 20)])
save("constant_of_a_shape", [node("ConstantOfShape", ["s"], "k"), node("Add", ["x", "k"], "y")], [constant("s", [1 << 20, 1 << 12])])
save("endless_range", [node("Range", ["a", "b", "d"], "k"), node("Add", ["x", "k"], "y")],
     [constant("a", numpy.int64(0)), constant("b", numpy.int64(1 << 60)), constant("d", numpy.int64(1))])
save("expanded", [node("Expand", ["a", "s"], "k"), node("Add", ["x", "k"], "y")], [constant("a", numpy.float32(0)), constant("s", [1 << 28])])
steps, last = [], "a"
for k in range(40):
    steps.append(node("Concat", [last, last], f"k{k}", axis=0))
    last = f"k{k}"
save("doubled_forty_times", steps + [node("Add", ["x", last], "y")], [constant("a", numpy.zeros(64, numpy.float32))])
steps, last = [node("ConstantOfShape", ["s"], "k")], "k"
for k in range(40):
    steps.append(node("Exp", [last], f"e{k}"))
    last = f"e{k}"
save("computed_for_long", steps + [node("Add", ["x", last], "y")], [constant("s", [1 << 22])])
