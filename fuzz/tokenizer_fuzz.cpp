#include <algorithm>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "fuzz_input.h"
#include "io/tokenizer/tokenizer.h"

// The input is a tokenizer.json; what stands behind a NUL byte, when there is one, is the text to encode.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t cut = input.find('\0');
  const std::string_view text =
      cut == input.npos ? "The cat's 12 \xE4\xBD\xA0\n\n <s>a\xCC\x81\xFF" : input.substr(cut + 1);
  paro::expect_no_defect([&] {
    const paro::Json json = paro::parse_json(input.substr(0, cut), "fuzz");
    const auto tokenizer = paro::Tokenizer::from_json(json, json.is_object() ? json : nullptr, "fuzz");
    std::vector<int32_t> ids = tokenizer->encode(text.substr(0, 4096));
    for (int32_t id = -1; id < std::min<int64_t>(tokenizer->vocab_size() + 1, 64); ++id) ids.push_back(id);
    paro::StreamDecoder stream(*tokenizer, false);
    std::string joined;
    for (const int32_t id : ids) joined += stream.push(id);
    joined += stream.finish();
    if (joined != tokenizer->decode(ids)) std::abort();
  });
  return 0;
}
