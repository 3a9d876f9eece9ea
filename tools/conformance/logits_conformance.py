#!/usr/bin/env python3
"""Compares `paro logits` with transformers: random models of every family and kind of rotary embedding (those of
tools/fixtures/make_families.py, with other seeds), and one with the shape of SmolLM2-135M.

Usage: logits_conformance.py PARO [--seeds N] [--scratch FOLDER]
Needs: torch, transformers, safetensors. Ends with "N compared, M different", counted in positions (vectors of logits);
exit code 1 when any differs.

paro keeps keys and values as float16, so the peer's attention rounds them in the same way; all else of the peer is
float64. Two float32 programs differ from that by 1e-5 of the logits' standard deviation, and by more where a key or value
lies so near the middle of two float16 that it is rounded to the other one; in a deep model there are many. So the peer is
run in float32 too: a position of paro differs when one of its logits is off by more than 4 times the worst of that run,
or 0.2 % of the standard deviation where that is more.
"""

import argparse
import contextlib
import io
import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fixtures"))

import make_families  # noqa: E402
import numpy  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from transformers import AttentionInterface, AttentionMaskInterface  # noqa: E402
from transformers.masking_utils import eager_mask  # noqa: E402
from transformers.models.llama.modeling_llama import eager_attention_forward  # noqa: E402

BOUND = 2e-3  # of the standard deviation of the logits
FACTOR = 4  # times what float32 does to the peer
SHAPE = dict(vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
             num_key_value_heads=3, max_position_embeddings=8192, tie_word_embeddings=True, initializer_range=0.04,
             pad_token_id=None, bos_token_id=1, eos_token_id=2,
             rope_parameters=dict(rope_type="default", rope_theta=100000.0))


def rounding_attention(module, query, key, value, *arguments, **options):
    return eager_attention_forward(module, query, key.half().to(key.dtype), value.half().to(value.dtype), *arguments, **options)


AttentionInterface.register("rounding", rounding_attention)
AttentionMaskInterface.register("rounding", eager_mask)


def peer_logits(folder, ids, dtype):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="rounding")
    with torch.no_grad():
        return model(ids[None]).logits[0].double().numpy()


def paro_logits(paro, folder, ids, out):
    command = [paro, "logits", str(folder), "--ids", ",".join(map(str, ids.tolist())), "-o", str(out)]
    result = subprocess.run([*command, "--activations", "f32", "--quiet"], capture_output=True, text=True)
    if result.returncode:
        print("  %s" % result.stderr.strip())
        return None
    return numpy.fromfile(out, dtype="<f4")


def compare(paro, folder, ids, out):
    """Positions, positions that differ, and the largest error of paro and of the peer in float32, in deviations."""
    exact = peer_logits(folder, ids, torch.float64)
    found = paro_logits(paro, folder, ids, out)
    if found is None or found.size != exact.size:
        return len(ids), len(ids), float("inf"), 0.0

    def errors(logits):
        return numpy.abs(logits - exact).max(axis=1) / exact.std()

    peer = float(errors(peer_logits(folder, ids, torch.float32)).max())
    off = errors(found.reshape(exact.shape))
    return len(ids), int((~(off <= max(BOUND, FACTOR * peer))).sum()), float(off.max()), peer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paro")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--scratch", type=pathlib.Path)
    options = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    scratch = options.scratch or pathlib.Path(tempfile.mkdtemp())
    scratch.mkdir(parents=True, exist_ok=True)
    make_families.FOLDER = scratch
    make_families.MODELS["smollm2_135m"] = ("llama", SHAPE, 5, "bfloat16", 96)
    done = differ = 0
    for name, (model_type, settings, style, dtype, tokens) in make_families.MODELS.items():
        results = []
        for seed in range(1000, 1000 + (1 if name == "smollm2_135m" else options.seeds)):
            with contextlib.redirect_stdout(io.StringIO()):
                make_families.make_model(name, model_type, settings, style, dtype, tokens, seed)
            config = json.loads((scratch / name / "config.json").read_text())
            count = tokens if "dynamic" not in name else min(tokens, config["max_position_embeddings"])
            ids = torch.randint(0, settings["vocab_size"], (count,), generator=torch.Generator().manual_seed(seed))
            results.append(compare(options.paro, scratch / name, ids, scratch / "logits.f32"))
        positions, wrong, off, peer = (list(column) for column in zip(*results))
        print("%-18s %3d compared, %d different; largest error %.1e, of the peer in float32 %.1e"
              % (name, sum(positions), sum(wrong), max(off), max(peer)), flush=True)
        done, differ = done + sum(positions), differ + sum(wrong)
    print("%d compared, %d different" % (done, differ))
    sys.exit(differ > 0)


if __name__ == "__main__":
    main()
