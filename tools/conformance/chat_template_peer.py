"""The peer of the chat-template conformance: transformers' own environment, with a frozen clock."""

import datetime
import json
import subprocess

import transformers.utils.chat_template_utils as chat

NOW = 1721995200  # 2024-07-26 12:00:00 UTC


class FrozenDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.fromtimestamp(NOW)


chat.datetime = FrozenDatetime


def render_peer(template, context):
    """("text", rendered) or ("error", message) from Python."""
    try:
        return "text", chat._compile_jinja_template(template).render(**context)
    except Exception as error:  # noqa: BLE001 - every failure of a template counts as one
        return "error", "%s: %s" % (type(error).__name__, error)


class Paro:
    """The program paro_render_template."""

    def __init__(self, binary):
        self.process = subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def request(self, template, context, **extra):
        line = json.dumps({"template": template, "context": context, "now": NOW, **extra})
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        reply = self.process.stdout.readline()
        if not reply:
            raise SystemExit("paro_render_template ended with %s on %s" % (self.process.wait(), line[:2000]))
        return json.loads(reply)

    def render(self, template, context):
        reply = self.request(template, context)
        return ("error", reply["error"]) if "error" in reply else ("text", reply["text"])


def same(a, b):
    return a[0] == b[0] and (a[0] == "error" or a[1] == b[1])
