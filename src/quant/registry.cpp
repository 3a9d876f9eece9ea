#include "base/error.h"
#include "quant/method.h"

namespace paro {

std::span<const QuantizationFormat* const> quantization_formats() {
  static const QuantizationFormat* const formats[] = {
      &kParo4Format,
      &kAwqFormat,
      &kGptqFormat,
  };
  return formats;
}

const QuantizationFormat& require_format(std::string_view method, const std::string& place) {
  std::string known;
  for (const QuantizationFormat* format : quantization_formats()) {
    if (format->method == method) return *format;
    known += fmt::format("{}\"{}\"", known.empty() ? "" : ", ", format->method);
  }
  fail_input("{}: quantized by the method \"{}\"; there are {}", place, method, known);
}

const QuantizationFormat& format_of(const QuantizationConfig& config, const std::string& place) {
  return config.method.empty() ? kParo4Format : require_format(config.method, place);
}

}  // namespace paro
