#!/usr/bin/env python3
"""Writes a GGUF of the Llama architecture with random f16 weights and no vocabulary, for llama.cpp's own tools.

The shapes are those of `paro bench --shape`. Needs numpy and gguf. Usage: make_gguf.py SHAPE FILE
"""
import sys

import gguf
import numpy as np

# name: dim, layers, ffn, heads, kv heads, vocabulary
SHAPES = {
    "smollm2-135m": (576, 30, 1536, 9, 3, 49152),
    "smollm2-1.7b": (2048, 24, 8192, 32, 32, 49152),
}


def main() -> None:
    shape, path = sys.argv[1:]
    dim, layers, ffn, heads, kv_heads, vocab = SHAPES[shape]
    random = np.random.default_rng(1)
    writer = gguf.GGUFWriter(path, "llama", use_temp_file=False)
    writer.add_context_length(32768)
    writer.add_embedding_length(dim)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(ffn)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(dim // heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(vocab)
    writer.add_tokenizer_model("no_vocab")

    def tensor(name: str, *size: int) -> None:
        if len(size) == 1:
            writer.add_tensor(name, np.ones(size, np.float32))
        else:
            scale = np.float32(size[1] ** -0.5)
            writer.add_tensor(name, (random.standard_normal(size, np.float32) * scale).astype(np.float16))

    kv_dim = dim // heads * kv_heads
    tensor("token_embd.weight", vocab, dim)
    tensor("output_norm.weight", dim)
    for i in range(layers):
        tensor(f"blk.{i}.attn_norm.weight", dim)
        tensor(f"blk.{i}.attn_q.weight", dim, dim)
        tensor(f"blk.{i}.attn_k.weight", kv_dim, dim)
        tensor(f"blk.{i}.attn_v.weight", kv_dim, dim)
        tensor(f"blk.{i}.attn_output.weight", dim, dim)
        tensor(f"blk.{i}.ffn_norm.weight", dim)
        tensor(f"blk.{i}.ffn_gate.weight", ffn, dim)
        tensor(f"blk.{i}.ffn_up.weight", ffn, dim)
        tensor(f"blk.{i}.ffn_down.weight", dim, ffn)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
