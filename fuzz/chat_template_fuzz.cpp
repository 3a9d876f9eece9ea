// The template is the input; the context has a bit of everything.
#include <string_view>

#include "base/json.h"
#include "fuzz_input.h"
#include "io/chat_template/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const paro::Json context = paro::parse_json(
      R"({"messages": [{"role": "user", "content": "hé <b>"}, {"role": "assistant", "content": [{"type": "text"}]}],
          "tools": null, "n": 3, "f": 0.5, "yes": true, "add_generation_prompt": true, "bos_token": "<s>"})",
      "context");
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  paro::expect_no_defect([&] {
    paro::RenderLimits limits;
    limits.steps = 20'000;
    limits.output_bytes = 1 << 16;
    limits.depth = 30;
    limits.now = 0;
    paro::ChatTemplate::parse(text, "fuzz")->render(context, limits);
  });
  return 0;
}
