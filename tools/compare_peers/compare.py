#!/usr/bin/env python3
"""Runs paro and llama.cpp's llama-bench in strict alternation on models of one shape and prints the ratios.

Usage: compare.py --paro PARO --llama-bench BENCH --shape SHAPE --files F16 Q4_0 Q4_K_M [--alternations 5] [--threads 2]

Every alternation runs paro once and llama-bench once for each file, in turn; a ratio is taken inside an alternation
(paro against the fastest of the files), and the median of the ratios and their range are printed: machines are shared
and drift, so only neighbours in time are compared. The weights are random on both sides.
"""
import argparse
import json
import statistics
import subprocess


def paro(args: argparse.Namespace) -> dict:
    command = [args.paro, "bench", "--shape", args.shape, "--rows", str(args.prefill), "--contexts", "0",
               "--tokens", str(args.decode), "--repeats", "1", "--threads", str(args.threads), "--json", "--quiet"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {"prefill": report["prefill"][0]["tokens_per_second"], "decode": report["decode"][0]["tokens_per_second"],
            "prefill_share": report["prefill"][0]["share_of_limit"],
            "decode_share": report["decode"][0]["share_of_limit"]}


def llama(args: argparse.Namespace, file: str) -> dict:
    command = [args.llama_bench, "-m", file, "-t", str(args.threads), "-p", str(args.prefill), "-n", str(args.decode),
               "-r", "1", "-o", "json"]
    rows = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {"prefill" if row["n_prompt"] else "decode": row["avg_ts"] for row in rows}


def spread(values: list[float], digits: int) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--paro", required=True)
    parser.add_argument("--llama-bench", required=True)
    parser.add_argument("--shape", required=True)
    parser.add_argument("--files", nargs="+", required=True)
    parser.add_argument("--alternations", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prefill", type=int, default=512)
    parser.add_argument("--decode", type=int, default=64)
    args = parser.parse_args()

    ours, theirs = [], []
    for _ in range(args.alternations):
        ours.append(paro(args))
        theirs.append({file: llama(args, file) for file in args.files})
        print(".", end="", flush=True)
    print(f"\n{args.shape}, {args.threads} threads, {args.alternations} alternations; tokens/s, median (range)")
    for phase, size in (("prefill", args.prefill), ("decode", args.decode)):
        print(f"{phase} {size}")
        print(f"  {'paro':<32}{spread([r[phase] for r in ours], 1)}; "
              f"share of the machine's limit {spread([r[phase + '_share'] for r in ours], 2)}")
        for file in args.files:
            print(f"  {file.rsplit('/', 1)[-1]:<32}{spread([r[file][phase] for r in theirs], 1)}")
        ratios = [mine[phase] / max(theirs[i][file][phase] for file in args.files) for i, mine in enumerate(ours)]
        print(f"  ratio to the fastest            {spread(ratios, 2)}")


if __name__ == "__main__":
    main()
