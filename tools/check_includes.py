#!/usr/bin/env python3
"""Holds the includes of src/ to the arrows of docs/architecture.md: a module includes only what stands before it."""
import pathlib
import re
import sys

ALLOWED = {
    "base": set(),
    "io": {"base"},
    "kernels": {"base"},
    "model": {"base", "io"},
    "quant": {"base", "io", "kernels", "model"},
    "backends": {"base", "io", "kernels", "model", "quant"},
    "runtime": {"base", "io", "kernels", "model", "quant", "backends"},
    "calib": {"base", "io", "kernels", "model", "quant", "backends"},
    "train": {"base", "io", "kernels", "model", "quant", "backends", "calib"},
    "cli": {"train", "base", "io", "kernels", "model", "quant", "backends", "runtime", "calib"},
}

# The one file outside the cuda/ folders and train/ that knows them, behind PARO_CUDA and PARO_TORCH.
OPTIONAL_USER = pathlib.Path("cli/device.cpp")


def main() -> int:
    root = pathlib.Path(__file__).resolve().parent.parent / "src"
    wrong = []
    for path in sorted([*root.rglob("*.h"), *root.rglob("*.cpp"), *root.rglob("*.cu"), *root.rglob("*.cuh")]):
        module = path.relative_to(root).parts[0]
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
            if not match:
                continue
            target = match.group(1)
            if not (root / target).is_file():
                wrong.append(f"{path.relative_to(root)}:{number}: \"{target}\" is not a path from src/")
            elif "/cuda/" in target and "cuda" not in path.parent.parts[-1:] and path.relative_to(root) != OPTIONAL_USER:
                wrong.append(f"{path.relative_to(root)}:{number}: only cuda/ folders and {OPTIONAL_USER} include {target}")
            elif target.startswith("train/") and module != "train" and path.relative_to(root) != OPTIONAL_USER:
                wrong.append(f"{path.relative_to(root)}:{number}: only train/ and {OPTIONAL_USER} include {target}")
            elif target.split("/")[0] not in ALLOWED[module] | {module}:
                wrong.append(f"{path.relative_to(root)}:{number}: {module} must not include {target}")
    print("\n".join(wrong) if wrong else "include arrows: clean")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
