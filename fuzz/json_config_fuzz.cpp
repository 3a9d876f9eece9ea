#include <string_view>

#include "base/json.h"
#include "fuzz_input.h"
#include "io/hub_files.h"
#include "model/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  paro::expect_no_defect([&] {
    const paro::Json json = paro::parse_json(text, "fuzz");
    paro::expect_no_defect([&] { paro::parse_model_config(json, "fuzz"); });
    paro::expect_no_defect([&] { paro::parse_hub_model(json, "fuzz"); });
  });
  return 0;
}
