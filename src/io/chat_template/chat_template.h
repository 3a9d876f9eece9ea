// The subset of Jinja that Hugging Face chat templates use, rendered as Python's jinja2 inside transformers does
// (trim_blocks, lstrip_blocks, loop controls, tojson, strftime_now, raise_exception). Bounded: no template can hang
// the program or exhaust its memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"

namespace paro {

struct RenderLimits {
  int64_t steps = 5'000'000;        // expressions and statements evaluated
  int64_t output_bytes = 64 << 20;  // rendered text, and any string or list built on the way
  int64_t depth = 200;              // nesting of expressions (parsing too), macro calls and recursive loops
  int64_t now = -1;                 // what strftime_now shows, in seconds since 1970; negative: the clock
};

class ChatTemplate {
 public:
  /// Throws Error{kInput} with `place`, the line and what was expected for a template that cannot be parsed.
  static std::unique_ptr<const ChatTemplate> parse(std::string_view source, const std::string& place);
  ~ChatTemplate();

  /// Renders with the variables of `context` (an object: messages, tools, add_generation_prompt, bos_token, ...).
  /// Throws Error{kInput}: raise_exception's message, a wrong operation (with the template's line), or a limit hit.
  /// Thread-safe.
  std::string render(const Json& context, const RenderLimits& limits = {}) const;

 private:
  struct Impl;
  explicit ChatTemplate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace paro
