"""SegFormer in PyTorch as fast as stock parts make it without a compiler of our own: fused attention, the decode head collapsed by
hand (its linear maps multiplied out, each level at its own size).  Weights by the names of published checkpoints, random where
there is none.  For gpu_side_by_side.py, which holds it to transformers' published network."""
import json, os

import torch
import torch.nn.functional as F
from torch import nn

DEPTHS = {"b0": (2, 2, 2, 2), "b1": (2, 2, 2, 2), "b2": (3, 4, 6, 3), "b3": (3, 4, 18, 3), "b4": (3, 8, 27, 3), "b5": (3, 6, 40, 3)}
HEADS, REDUCTIONS, KERNELS, STRIDES = (1, 2, 5, 8), (8, 4, 2, 1), (7, 3, 3, 3), (4, 2, 2, 2)


def widths_of(name):
    return (32, 64, 160, 256) if name == "b0" else (64, 128, 320, 512)


def random_checkpoint(name, classes, folder):
    """A folder with config.json and model.safetensors: the published sizes, numbers of a sound network's scale."""
    from safetensors.torch import save_file

    torch.manual_seed(1)
    widths, hidden = widths_of(name), 256 if name in ("b0", "b1") else 768
    w = {}

    def linear(at, out, into, bias=True):
        w[at + ".weight"] = torch.randn(out, into) * into ** -0.5
        if bias:
            w[at + ".bias"] = 0.02 * torch.randn(out)

    def convolution(at, out, into, k):
        w[at + ".weight"] = torch.randn(out, into, k, k) * (into * k * k) ** -0.5
        w[at + ".bias"] = 0.02 * torch.randn(out)

    def norm(at, width):
        w[at + ".weight"] = 1 + 0.05 * torch.randn(width)
        w[at + ".bias"] = 0.05 * torch.randn(width)

    for i, width in enumerate(widths):
        e = f"segformer.encoder.patch_embeddings.{i}"
        convolution(e + ".proj", width, widths[i - 1] if i else 3, KERNELS[i])
        norm(e + ".layer_norm", width)
        for j in range(DEPTHS[name][i]):
            b = f"segformer.encoder.block.{i}.{j}"
            norm(b + ".layer_norm_1", width)
            for part in ("query", "key", "value"):
                linear(f"{b}.attention.self.{part}", width, width)
            if REDUCTIONS[i] > 1:
                convolution(b + ".attention.self.sr", width, width, REDUCTIONS[i])
                norm(b + ".attention.self.layer_norm", width)
            linear(b + ".attention.output.dense", width, width)
            norm(b + ".layer_norm_2", width)
            linear(b + ".mlp.dense1", 4 * width, width)
            convolution(b + ".mlp.dwconv.dwconv", 4 * width, 1, 3)
            linear(b + ".mlp.dense2", width, 4 * width)
        norm(f"segformer.encoder.layer_norm.{i}", width)
        linear(f"decode_head.linear_c.{i}.proj", hidden, width)
    w["decode_head.linear_fuse.weight"] = torch.randn(hidden, 4 * hidden, 1, 1) * (4 * hidden) ** -0.5
    norm("decode_head.batch_norm", hidden)
    w["decode_head.batch_norm.running_mean"] = 0.1 * torch.randn(hidden)
    w["decode_head.batch_norm.running_var"] = 0.5 + torch.rand(hidden)
    w["decode_head.batch_norm.num_batches_tracked"] = torch.tensor(1)
    convolution("decode_head.classifier", classes, hidden, 1)
    config = {"architectures": ["SegformerForSemanticSegmentation"], "model_type": "segformer", "num_channels": 3, "num_encoder_blocks": 4,
              "depths": list(DEPTHS[name]), "sr_ratios": list(REDUCTIONS), "hidden_sizes": list(widths), "patch_sizes": list(KERNELS),
              "strides": list(STRIDES), "num_attention_heads": list(HEADS), "mlp_ratios": [4] * 4, "hidden_act": "gelu",
              "decoder_hidden_size": hidden, "layer_norm_eps": 1e-6, "reshape_last_stage": True,
              "id2label": {str(k): f"class {k}" for k in range(classes)}, "label2id": {f"class {k}": k for k in range(classes)}}
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(config, f)
    save_file({k: v.contiguous() for k, v in w.items()}, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})


class Labels(nn.Module):
    """A network of logits at a quarter of the size, to labels of 8 bits at the input's."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        logits = self.network(x)
        logits = getattr(logits, "logits", logits)
        return F.interpolate(logits, size=x.shape[2:], mode="bilinear", align_corners=False).argmax(1).to(torch.uint8)


class Collapsed(nn.Module):
    """From the folder of a checkpoint."""

    def __init__(self, folder):
        super().__init__()
        from safetensors.torch import load_file

        w = {k: v.float() for k, v in load_file(os.path.join(folder, "model.safetensors")).items()}
        with open(os.path.join(folder, "config.json")) as f:
            config = json.load(f)
        self.depths, self.heads, self.reductions = config["depths"], config["num_attention_heads"], config["sr_ratios"]
        scale = w["decode_head.batch_norm.weight"] / torch.sqrt(w["decode_head.batch_norm.running_var"] + 1e-5)
        fuse = w["decode_head.linear_fuse.weight"][:, :, 0, 0] * scale[:, None]
        bias = w["decode_head.batch_norm.bias"] - w["decode_head.batch_norm.running_mean"] * scale
        hidden = fuse.shape[0]
        for i in range(4):  # the concatenation begins with the last stage
            part = fuse[:, (3 - i) * hidden:(4 - i) * hidden]
            w[f"level.{i}"] = part @ w[f"decode_head.linear_c.{i}.proj.weight"]
            bias = bias + part @ w[f"decode_head.linear_c.{i}.proj.bias"]
        w["bias"] = bias
        for name, value in w.items():
            if value.is_floating_point() and not name.startswith(("decode_head.linear", "decode_head.batch_norm")):
                self.register_parameter(name.replace(".", "_"), nn.Parameter(value, requires_grad=False))

    def get(self, name):
        return getattr(self, name.replace(".", "_"))

    def both(self, at):
        return self.get(at + ".weight"), self.get(at + ".bias")

    def norm(self, x, at):
        return F.layer_norm(x, x.shape[-1:], *self.both(at), 1e-5)

    def attention(self, x, at, i, h, w):
        n, tokens, width = x.shape
        heads, r = self.heads[i], self.reductions[i]
        source = x
        if r > 1:
            grid = x.transpose(1, 2).reshape(n, width, h, w)
            source = F.conv2d(grid, *self.both(at + ".self.sr"), stride=r).flatten(2).transpose(1, 2)
            source = self.norm(source, at + ".self.layer_norm")
        parts = [F.linear(y, *self.both(f"{at}.self.{part}")).view(n, -1, heads, width // heads).transpose(1, 2)
                 for part, y in (("query", x), ("key", source), ("value", source))]
        y = F.scaled_dot_product_attention(*parts)
        return F.linear(y.transpose(1, 2).reshape(n, tokens, width), *self.both(at + ".output.dense"))

    def mix_ffn(self, x, at, h, w):
        x = F.linear(x, *self.both(at + ".dense1"))
        n, tokens, width = x.shape
        x = F.conv2d(x.transpose(1, 2).reshape(n, width, h, w), *self.both(at + ".dwconv.dwconv"), padding=1, groups=width)
        return F.linear(F.gelu(x.flatten(2).transpose(1, 2)), *self.both(at + ".dense2"))

    def forward(self, x):
        merged = size = None
        for i in range(4):
            at = f"segformer.encoder.patch_embeddings.{i}"
            x = F.conv2d(x, *self.both(at + ".proj"), stride=STRIDES[i], padding=KERNELS[i] // 2)
            n, _, h, w = x.shape
            x = self.norm(x.flatten(2).transpose(1, 2), at + ".layer_norm")
            for j in range(self.depths[i]):
                at = f"segformer.encoder.block.{i}.{j}"
                x = x + self.attention(self.norm(x, at + ".layer_norm_1"), at + ".attention", i, h, w)
                x = x + self.mix_ffn(self.norm(x, at + ".layer_norm_2"), at + ".mlp", h, w)
            x = self.norm(x, f"segformer.encoder.layer_norm.{i}")
            level = F.linear(x, self.get(f"level.{i}")).transpose(1, 2).reshape(n, -1, h, w)
            x = x.transpose(1, 2).reshape(n, -1, h, w)
            if merged is None:
                merged, size = level, (h, w)
            else:
                merged = merged + F.interpolate(level, size=size, mode="bilinear", align_corners=False)
        merged = F.relu(merged + self.get("bias")[None, :, None, None])
        return F.conv2d(merged, *self.both("decode_head.classifier"))
