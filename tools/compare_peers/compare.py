#!/usr/bin/env python3
"""Runs paro and llama.cpp's llama-bench in strict alternation on models of one shape and prints the ratios.

Usage: compare.py --paro PARO --llama-bench BENCH --shape SHAPE --files F16 Q4_0 Q4_K_M [--alternations 5] [--threads 2]

Every alternation runs paro once and llama-bench once for each file, in turn; ratios (paro's tokens/s over the file's)
are taken inside an alternation, and their median and range are printed, for each file and for the fastest of them in
that alternation: machines are shared and drift, so only neighbours in time are compared. The weights are random on both
sides; paro's are in 4 bits with rotations, group 128 (64 for 135m), its head in 8 bits.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys


def output_of(command: list[str]) -> str:
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"compare_peers: {' '.join(command)}: exit code {result.returncode}\n{result.stderr.strip()}")
    return result.stdout


def paro(args: argparse.Namespace) -> dict:
    report = json.loads(output_of([
        args.paro, "bench", "--shape", args.shape, "--rows", str(args.prefill), "--contexts", "0",
        "--tokens", str(args.decode), "--repeats", "1", "--threads", str(args.threads), "--json", "--quiet"]))
    result = {"threads": report["threads"], "isa": report["isa"], "read": report["machine"]["read_gbps"]}
    for phase in ("prefill", "decode"):
        result[phase] = report[phase][0]["tokens_per_second"]
        result[phase + "_share"] = report[phase][0]["share_of_limit"]
    return result


def llama(args: argparse.Namespace, file: str) -> dict:
    rows = json.loads(output_of([args.llama_bench, "-m", file, "-t", str(args.threads), "-p", str(args.prefill),
                                 "-n", str(args.decode), "-r", "1", "-o", "json"]))
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
    parser.add_argument("--decode", type=int, default=128)
    args = parser.parse_args()

    # A process on one of its cores costs llama.cpp, whose threads wait for each other, far more than that core.
    if os.getloadavg()[0] > 0.5:
        print(f"compare_peers: warning: other processes are running (load {os.getloadavg()[0]:.1f}); the ratios will "
              "say little", file=sys.stderr)
    ours, theirs = [], []
    for _ in range(args.alternations):
        ours.append(paro(args))
        theirs.append({file: llama(args, file) for file in args.files})
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(f"{args.shape}: {args.threads} threads, {ours[0]['isa']}, reads {spread([r['read'] for r in ours], 1)} GB/s; "
          f"{args.alternations} alternations; median (range)")
    print(f"{'':<14}{'':<34}{'tokens/s':<26}{'ratio of paro to it':<24}")
    for phase, size in (("prefill", args.prefill), ("decode", args.decode)):
        share = spread([100 * r[phase + "_share"] for r in ours], 0)
        print(f"{f'{phase} {size}':<14}{'paro':<34}{spread([r[phase] for r in ours], 1):<26}{share} % of the limit")
        for file in args.files:
            ratios = [mine[phase] / other[file][phase] for mine, other in zip(ours, theirs)]
            print(f"{'':<14}{os.path.basename(file):<34}{spread([r[file][phase] for r in theirs], 1):<26}"
                  f"{spread(ratios, 2)}")
        ratios = [mine[phase] / max(other[file][phase] for file in args.files) for mine, other in zip(ours, theirs)]
        print(f"{'':<14}{'the fastest of them':<60}{spread(ratios, 2)}")


if __name__ == "__main__":
    main()
