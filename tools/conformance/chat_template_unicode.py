#!/usr/bin/env python3
"""Compares what str methods and filters say about every character with Python's answer.

Usage: chat_template_unicode.py PARO_RENDER_TEMPLATE   (with the Python version whose tables are generated: 3.11)
"""

import sys

from chat_template_peer import Paro, render_peer

TEMPLATE = (
    "{% for c in text %}{{ c.upper() }} {{ c.lower() }} {{ c.title() }} {{ c.capitalize() }} {{ c.swapcase() }} {{ [c] }}"
    "{{ [c.isalpha(), c.isdigit(), c.isdecimal(), c.isnumeric(), c.isalnum(), c.isspace(), c.isupper(), c.islower(),"
    " c.istitle(), c.isprintable(), ('a' ~ c ~ 'b').splitlines()|length, (c ~ 'x').strip()|length, c|tojson(true)] }};{% endfor %}"
)


def main():
    paro, wrong = Paro(sys.argv[1]), 0
    points = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    for begin in range(0, len(points), 4096):
        text = "".join(points[begin : begin + 4096])
        expected, found = render_peer(TEMPLATE, {"text": text}), paro.render(TEMPLATE, {"text": text})
        if expected != found:
            parts = [(c, a, b) for c, a, b in zip(text, expected[1].split("];"), found[1].split("];")) if a != b]
            wrong += len(parts) or 1
            print("U+%04X..: %r" % (ord(text[0]), parts[:3] or found[1][:200]))
    print("%d compared, %d different" % (len(points), wrong))
    sys.exit(wrong != 0)


main()
