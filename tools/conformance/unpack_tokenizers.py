#!/usr/bin/env python3
"""Writes the tiny tokenizers of tests/fixtures/tokenizer/tokenizers.json as folders with a tokenizer.json each.

Usage: unpack_tokenizers.py FOLDER
"""

import json
import pathlib
import sys

fixture = json.loads((pathlib.Path(__file__).resolve().parents[2] / "tests/fixtures/tokenizer/tokenizers.json").read_text())
keys = ["added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder"]
for tokenizer in fixture["tokenizers"]:
    folder = pathlib.Path(sys.argv[1]) / tokenizer["name"]
    folder.mkdir(parents=True, exist_ok=True)
    document = {"version": "1.0", **{key: tokenizer[key] for key in keys}, "model": fixture["models"][tokenizer["model"]]}
    (folder / "tokenizer.json").write_text(json.dumps(document))
