#!/usr/bin/env python3
"""Prints src/io/tokenizer/unicode_tables.inc: where the Unicode data of Hugging Face `tokenizers` differs from that of
the libraries paro uses.

Three tables. kLater: characters that the regex library of `tokenizers` (Oniguruma, Unicode 16) knows and an older PCRE2
or utf8proc may not, with their category. kInert: characters whose combining class or decomposition its normalizers
(Unicode 9) do not know yet, so that they are left as they are. kOtherAccents: where its StripAccents (Unicode 9
too) takes other characters than the marks.
Needs: pip install tokenizers unicodedata2; run with the oldest Python in use (3.11: Unicode 14).
"""
import unicodedata

import unicodedata2
from tokenizers import Regex, normalizers

CHARS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So".split()


def members(pattern):
    """Characters that the pattern matches, by deleting them."""
    remove = normalizers.Replace(Regex(pattern), "")
    found = set()
    for i in range(0, len(CHARS), 4096):
        chunk = CHARS[i : i + 4096]
        found |= set(chunk) - set(map(ord, remove.normalize_str("".join(map(chr, chunk)))))
    return found


def ranges(pairs):
    runs = []
    for char, label in pairs:
        if runs and runs[-1][1] == char - 1 and runs[-1][2] == label:
            runs[-1][1] = char
        else:
            runs.append([char, char, label])
    return runs


def is_inert(char, nfkd):
    text = chr(char)
    if unicodedata2.normalize("NFKD", text) != nfkd.normalize_str(text):
        return True
    order = unicodedata2.combining(text)
    if not order:
        return False
    probe = "a\u0345" + text if order < 240 else "a" + text + "\u0334"
    return nfkd.normalize_str(probe) == probe


def main():
    print("// Made by tools/conformance/tokenizer_unicode.py; included by unicode_classes.cpp.")
    later = []
    for category in CATEGORIES:
        later += [(c, category) for c in members(r"\p{%s}" % category) if unicodedata.category(chr(c)) == "Cn"]
    print("constexpr LaterRange kLater[] = {")
    for first, last, category in ranges(sorted(later)):
        print(f"    {{0x{first:X}, 0x{last:X}, UTF8PROC_CATEGORY_{category.upper()}}},")
    print("};")
    nfkd = normalizers.NFKD()
    print("constexpr CharRange kInert[] = {")
    for first, last, _ in ranges([(c, 0) for c in CHARS if is_inert(c, nfkd)]):
        print(f"    {{0x{first:X}, 0x{last:X}}},")
    print("};")
    text = "".join(chr(c) for c in CHARS)
    stripped = set(CHARS) - set(map(ord, normalizers.StripAccents().normalize_str(text)))
    print("constexpr CharRange kOtherAccents[] = {")
    for first, last, _ in ranges([(c, 0) for c in sorted(stripped ^ members(r"\p{M}"))]):
        print(f"    {{0x{first:X}, 0x{last:X}}},")
    print("};")


if __name__ == "__main__":
    main()
