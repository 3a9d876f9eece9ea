// Quantized linears of every format from whatever tensors a safetensors file holds.
#include "fuzz_input.h"
#include "io/safetensors.h"
#include "quant/method.h"

namespace {

// Larger shapes only cost time and memory.
constexpr int64_t kMaxSize = 4096;

void load_all(const paro::WeightSource& source, const std::string& name) {
  const paro::TensorInfo* scales = source.find(name + ".scales");
  const paro::TensorInfo& words = source.require(name + ".qweight");
  if (scales == nullptr || scales->shape.size() != 2 || words.shape.empty()) return;
  const int64_t out = scales->shape[1];
  const bool bias = source.has(name + ".bias");
  for (const paro::QuantizationFormat* format : paro::quantization_formats())
    for (const int bits : {2, 3, 4, 8}) {
      const int64_t in = format->method == "gptq" ? words.shape[0] * 32 / bits : words.shape[0];
      if (in > kMaxSize || out > kMaxSize) continue;
      paro::QuantizationConfig config;
      config.method = format->method;
      config.bits = bits;
      config.mixed = bits == 2;
      config.zeros_minus_one = bits != 3;
      config.act_order = true;
      paro::expect_no_defect([&] { format->load({source, name, out, in, bias, config}, {}); });
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const paro::FuzzFile file(data, size);
  paro::expect_no_defect([&] {
    const auto tensors = paro::SafetensorsFile::open(file.path());
    for (const paro::TensorInfo& info : tensors->tensors())
      if (info.name.ends_with(".qweight")) load_all(*tensors, info.name.substr(0, info.name.size() - 8));
  });
  return 0;
}
