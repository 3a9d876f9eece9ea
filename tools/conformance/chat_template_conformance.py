#!/usr/bin/env python3
"""Renders every *.jinja of a folder with many conversations through transformers and through paro, and compares.

Usage: chat_template_conformance.py PARO_RENDER_TEMPLATE FOLDER [--verbose]
Needs: transformers, jinja2. Real templates: vendor/llama.cpp/models/templates of llama-cpp-python's source package.
"""

import argparse
import difflib
import itertools
import pathlib
import sys

from chat_template_peer import Paro, render_peer, same

SYSTEM = {"role": "system", "content": "You are a helpful assistant. Antworte höflich: ja/nein, <b>\"quotes\"</b> & 'more'."}
USER = {"role": "user", "content": "  What's the weather in Zürich 東京 🌍?\nThanks.  "}
ANSWER = {"role": "assistant", "content": "It is sunny.\n\nBye."}
THOUGHT = {"role": "assistant", "content": "<think>\nLet me see.\n</think>\n\nIt rains.", "reasoning_content": "Let me see."}
REASONED = {"role": "assistant", "content": "It rains.", "reasoning_content": "Let me\nsee.", "thinking": "Let me\nsee."}
PARTS = {"role": "user", "content": [{"type": "text", "text": "Look: "}, {"type": "image"}, {"type": "text", "text": "?"}]}
PARAMETERS = {
    "type": "object",
    "properties": {
        "location": {"type": "string", "description": "The city, e.g. \"Paris\" <FR>"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
        "days": {"type": ["integer", "null"], "minimum": 1, "maximum": 1.5e20},
        "options": {"type": "object", "properties": {"x": {"type": "array", "items": {"type": "number"}}}},
    },
    "required": ["location"],
}
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "Weather of a place.", "parameters": PARAMETERS,
                                      "return": {"type": "string", "description": "text"}}},
    {"type": "function", "function": {"name": "noop", "description": "Nothing", "parameters": {"type": "object", "properties": {}}}},
]


def call(identifier, arguments):
    function = {"name": "get_weather", "arguments": arguments}
    return {"role": "assistant", "content": "", "tool_calls": [{"id": identifier, "type": "function", "function": function}]}


ARGUMENTS = {"location": "Zürich", "days": 2, "exact": True, "ratio": 0.1, "nothing": None, "list": [1, "a"]}
RESULT = {"role": "tool", "tool_call_id": "call12345", "name": "get_weather", "content": "{\"temperature\": 21.5}"}
TWO = call("call12345", ARGUMENTS)
TWO["tool_calls"] = TWO["tool_calls"] + [{"id": "abcdefghi", "type": "function", "function": {"name": "noop", "arguments": {}}}]
RESULT2 = {"role": "tool", "tool_call_id": "abcdefghi", "name": "noop", "content": "done"}

CONVERSATIONS = {
    "user": [USER],
    "system": [SYSTEM, USER],
    "turns": [SYSTEM, USER, ANSWER, USER],
    "answered": [USER, ANSWER],
    "no-system turns": [USER, ANSWER, USER, ANSWER, USER],
    "thought": [USER, THOUGHT, USER],
    "reasoned": [SYSTEM, USER, REASONED, USER],
    "reasoned last": [USER, REASONED],
    "call dict": [SYSTEM, USER, call("call12345", ARGUMENTS), RESULT],
    "call text": [USER, call("call12345", "{\"location\": \"Z\"}"), RESULT, ANSWER, USER],
    "call two": [USER, TWO, RESULT, RESULT2, ANSWER],
    "call reasoned": [USER, dict(TWO, reasoning_content="Hm.", content=None), RESULT, RESULT2],
    "call pending": [USER, call("call12345", ARGUMENTS)],
    "result list": [USER, call("call12345", ARGUMENTS), dict(RESULT, content=[{"type": "text", "text": "ok"}])],
    "parts": [SYSTEM, PARTS, ANSWER, PARTS],
    "system parts": [dict(SYSTEM, content=[{"type": "text", "text": "Be nice"}]), USER],
    "developer": [dict(SYSTEM, role="developer"), USER],
    "wrong order": [USER, USER],
    "unknown role": [{"role": "narrator", "content": "Once"}],
    "empty": [],
    "no content": [{"role": "user"}],
    "null content": [USER, {"role": "assistant", "content": None}, USER],
}
OPTIONS = [{}, {"enable_thinking": False}, {"enable_thinking": True}, {"thinking": True}, {"reasoning_effort": "high"}]


def contexts():
    for (name, messages), tools, prompt in itertools.product(CONVERSATIONS.items(), (None, TOOLS), (False, True)):
        for options in OPTIONS if prompt else OPTIONS[:2]:
            context = {"messages": messages, "tools": tools, "documents": None, "add_generation_prompt": prompt,
                       "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", **options}
            yield "%s tools=%d prompt=%d %s" % (name, tools is not None, prompt, options), context


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    paro = Paro(options.binary)
    passed = failed = rendered = 0
    for path in sorted(options.folder.glob("*.jinja")):
        template = path.read_text(encoding="utf-8")
        wrong = 0
        for name, context in contexts():
            expected, found = render_peer(template, context), paro.render(template, context)
            rendered += expected[0] == "text"
            if same(expected, found):
                passed += 1
                continue
            failed += 1
            wrong += 1
            if wrong == 1 or options.verbose:
                print("DIFFERS %s: %s" % (path.name, name))
                if expected[0] == found[0]:
                    lines = difflib.unified_diff(expected[1].split("\n"), found[1].split("\n"), "python", "paro", n=1)
                    print("\n".join(list(lines)[:30]))
                else:
                    print("  python: %s %r\n  paro:   %s %r" % (*[x[:300] for x in expected], *[x[:300] for x in found]))
        print("%-60s %s" % (path.name, "ok" if not wrong else "%d differ" % wrong))
    print("%d of the comparisons are texts, the others errors on both sides" % rendered)
    print("%d compared, %d different" % (passed + failed, failed))
    sys.exit(failed != 0)


main()
