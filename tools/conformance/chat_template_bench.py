#!/usr/bin/env python3
"""Time of rendering a conversation of 1,000 messages, paro beside transformers.

Usage: chat_template_bench.py PARO_RENDER_TEMPLATE TEMPLATE.jinja...
"""

import pathlib
import sys
import time

from chat_template_peer import Paro, render_peer

messages = [{"role": "system", "content": "Be brief."}]
for i in range(500):
    messages.append({"role": "user", "content": "Question %d: %s" % (i, "what is it? " * 20)})
    messages.append({"role": "assistant", "content": "Answer %d. %s" % (i, "It is that. " * 40)})
context = {"messages": messages[:-1], "tools": None, "documents": None, "add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>"}
paro = Paro(sys.argv[1])
for path in map(pathlib.Path, sys.argv[2:]):
    template = path.read_text(encoding="utf-8")
    render_peer(template, context)
    start = time.perf_counter()
    kind, text = render_peer(template, context)
    peer = (time.perf_counter() - start) * 1e3
    reply = paro.request(template, context, repeat=10)
    same = "same" if reply.get("text") == text else "DIFFERENT"
    print("%-50s paro %6.2f ms, transformers (with its compilation) %7.2f ms, %s" % (path.name, reply.get("ms", -1), peer, same if kind == "text" else kind))
