#!/usr/bin/env python3
"""Prints the demo's table from the result files of `paro eval --json` and `paro bench --json`."""
import json
import pathlib
import sys


def speed(bench: dict, kind: str) -> str:
    return f"{bench[kind][0]['tokens_per_second']:.0f}"


def megabytes(folder: pathlib.Path) -> str:
    return f"{sum(f.stat().st_size for f in folder.glob('*.safetensors')) / 1e6:.0f} MB"


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    texts = [pathlib.Path(text).name for text in sys.argv[2:]]
    bench = {name: json.loads((folder / f"{name}.bench.json").read_text())
             for name in ("teacher", "smollm2-rtn", "smollm2-paro")}
    evals = {name: [json.loads((folder / f"{name}.{text}.json").read_text()) for text in texts]
             for name in ("smollm2-rtn", "smollm2-paro")}

    header = ["", "size", *(f"{what}, {text}" for text in texts for what in ("perplexity", "KL")),
              "prefill tok/s", "decode tok/s"]
    teacher = ["teacher (dequantized Q4_1, 16 bit)", f"{bench['teacher']['weights_bytes'] / 1e6:.0f} MB"]
    for result in evals["smollm2-paro"]:
        teacher += [f"{result['teacher_perplexity']:.2f}", "0"]
    rows = [teacher + [speed(bench["teacher"], "prefill"), speed(bench["teacher"], "decode")]]
    for name, title in (("smollm2-rtn", "round to nearest, 4 bit"), ("smollm2-paro", "ParoQuant fast, 4 bit")):
        row = [title, megabytes(folder / name)]
        for result in evals[name]:
            row += [f"{result['perplexity']:.2f}", f"{result['kl_mean']:.4f}"]
        rows.append(row + [speed(bench[name], "prefill"), speed(bench[name], "decode")])

    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    print()
    for row in [header, ["-" * width for width in widths], *rows]:
        print("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                        for i, (cell, width) in enumerate(zip(row, widths))))
    print("\nKL: mean KL divergence to the teacher in nats, lower is better. Sizes: the checkpoint's tensors; the\n"
          "embedding and head stay 16-bit in this format and are half of this small model.")


if __name__ == "__main__":
    main()
