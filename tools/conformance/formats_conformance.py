#!/usr/bin/env python3
"""Checks the AWQ and GPTQ checkpoints that `paro quantize` writes: read by an unpacker of our own (numpy, from the
published layouts, nothing of paro), put into transformers as plain weights and run there in float64, they must give the
logits that `paro logits` gives. Where GPTQModel and optimum are installed (what transformers' own AWQ and GPTQ loaders
need; with torch 2.14: 3 GB more than requirements.txt), `AutoModelForCausalLM.from_pretrained` of the folder as it is
must give them too.

Usage: formats_conformance.py PARO TOKENIZER.json [--scratch FOLDER]
Needs: torch, transformers, safetensors. Ends with "N compared, M different", counted in positions (vectors of logits).
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import logits_conformance
import numpy
import torch
import transformers
from safetensors.numpy import load_file
from safetensors.torch import save_file

AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]  # AutoAWQ's GEMM layout: column of nibble p
TOKENS = 64
# name: flags; the format is the method's default but for the last two
RUNS = {
    "rtn": ["--method", "rtn"],
    "awq": ["--method", "awq"],
    "gptq": ["--method", "gptq"],
    "gptq act-order": ["--method", "gptq", "--act-order", "--correction", "off", "--skip", "layers.1.mlp.up_proj"],
    "gptq as awq": ["--method", "gptq", "--format", "awq", "--skip", "layers.0.self_attn"],
    "awq as gptq": ["--method", "awq", "--format", "gptq", "--group-size", "128"],
}
# The peers' kernels on a CPU round activations to float16 or bfloat16: their error may be that of the plain weights run in
# bfloat16, times this.
PEER_FACTOR = 4


def nibbles(words):  # int32 [rows, n] -> [rows, n, 8], lowest first
    return (words.view(numpy.uint32)[..., None] >> (4 * numpy.arange(8, dtype=numpy.uint32))) & 15


def unpack_awq(tensors, name, config):
    def columns(words):  # [rows, n] -> [rows, 8 n]
        found = nibbles(words)
        result = numpy.empty_like(found)
        result[..., AWQ_ORDER] = found
        return result.reshape(words.shape[0], -1).astype(numpy.float64)

    group = config["group_size"]
    zeros = numpy.repeat(columns(tensors[name + ".qzeros"]), group, axis=0)
    scales = numpy.repeat(tensors[name + ".scales"].astype(numpy.float64), group, axis=0)
    return ((columns(tensors[name + ".qweight"]) - zeros) * scales).T


def unpack_gptq(tensors, name, config):
    assert config["checkpoint_format"] == "gptq_v2" and config["bits"] == 4
    words = tensors[name + ".qweight"]
    codes = nibbles(words).transpose(0, 2, 1).reshape(-1, words.shape[1]).astype(numpy.float64)
    zeros = nibbles(tensors[name + ".qzeros"])
    zeros = zeros.reshape(zeros.shape[0], -1).astype(numpy.float64)
    g_idx = tensors[name + ".g_idx"]
    return ((codes - zeros[g_idx]) * tensors[name + ".scales"].astype(numpy.float64)[g_idx]).T


def plain_model(folder, plain):
    """The checkpoint with dense float64 weights, as transformers reads it."""
    tensors = load_file(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    quantization = config.pop("quantization_config")
    unpack = {"awq": unpack_awq, "gptq": unpack_gptq}[quantization["quant_method"]]
    parts = (".qweight", ".qzeros", ".scales", ".g_idx")
    names = [name[: -len(".qweight")] for name in tensors if name.endswith(".qweight")]
    result = {name: torch.from_numpy(value.astype(numpy.float64)) for name, value in tensors.items() if not name.endswith(parts)}
    for name in names:
        result[name + ".weight"] = torch.from_numpy(numpy.ascontiguousarray(unpack(tensors, name, quantization)))
    config["torch_dtype"] = "float64"
    shutil.rmtree(plain, ignore_errors=True)
    plain.mkdir(parents=True)
    (plain / "config.json").write_text(json.dumps(config))
    save_file(result, plain / "model.safetensors", metadata={"format": "pt"})
    return len(names)


def write_source(folder, tokenizer):
    config = transformers.LlamaConfig(
        vocab_size=1024, hidden_size=256, intermediate_size=512, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, initializer_range=0.08, pad_token_id=None, bos_token_id=1,
        eos_token_id=2)
    torch.manual_seed(7)
    model = transformers.LlamaForCausalLM(config)
    for name, value in model.named_parameters():
        if "norm" in name:
            torch.nn.init.uniform_(value, 0.3, 2.0)  # channels of different loudness: scales that are not all 1
    model.half().save_pretrained(folder)
    shutil.copy(tokenizer, folder / "tokenizer.json")


def loaded_by_peer(folder, ids):
    """Logits of the folder as it is through transformers' own loader; None where what it needs is missing."""
    try:
        import gptqmodel  # noqa: F401
        import optimum  # noqa: F401
    except ImportError:
        return None
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, device_map="cpu", dtype=torch.float16)
    with torch.no_grad():
        return model(ids[None]).logits[0].double().numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paro")
    parser.add_argument("tokenizer", type=pathlib.Path)
    parser.add_argument("--scratch", type=pathlib.Path)
    options = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    scratch = options.scratch or pathlib.Path(tempfile.mkdtemp())
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    write_source(scratch / "source", options.tokenizer)
    text = scratch / "text.txt"
    text.write_text("".join("The %d stones of the river turn over %d times. " % (i * i % 97, i * 7 % 31) for i in range(400)))
    done = differ = 0
    for name, flags in RUNS.items():
        folder = scratch / name.replace(" ", "-")
        common = ["-o", str(folder), "--samples", "8", "--seq-len", "64", "--calibration", str(text), "--quiet"]
        if "--group-size" not in flags:
            common += ["--group-size", "64"]
        subprocess.run([options.paro, "quantize", str(scratch / "source"), *common, *flags], check=True, stdout=subprocess.DEVNULL)
        linears = plain_model(folder, scratch / "plain")
        ids = torch.randint(0, 1024, (TOKENS,), generator=torch.Generator().manual_seed(done))
        exact = logits_conformance.peer_logits(scratch / "plain", ids, torch.float64)
        found = logits_conformance.paro_logits(options.paro, folder, ids, scratch / "logits.f32").reshape(exact.shape)
        float32 = numpy.abs(logits_conformance.peer_logits(scratch / "plain", ids, torch.float32) - exact).max() / exact.std()
        off = numpy.abs(found - exact).max(axis=1) / exact.std()
        wrong = int((~(off <= max(logits_conformance.BOUND, logits_conformance.FACTOR * float32))).sum())
        line = "%-16s %d linears, largest error %.1e" % (name, linears, off.max())
        done, differ = done + TOKENS, differ + wrong
        peer = loaded_by_peer(folder, ids)
        if peer is None:
            line += "; GPTQModel or optimum is missing: not loaded as it is"
        else:
            off = numpy.abs(peer - exact).max(axis=1) / exact.std()
            plain = numpy.abs(logits_conformance.peer_logits(scratch / "plain", ids, torch.bfloat16) - exact)
            bound = PEER_FACTOR * plain.max() / exact.std()
            bad = int((~(off <= bound)).sum())
            line += "; as transformers loads it %.1e (the plain weights in bfloat16 %.1e)" % (off.max(), bound / PEER_FACTOR)
            done, differ = done + TOKENS, differ + bad
        print(line, flush=True)
    print("%d compared, %d different" % (done, differ))
    sys.exit(differ > 0)


if __name__ == "__main__":
    main()
