#include "calib/dense_weights.h"

#include "base/error.h"

namespace paro::calib {

std::unique_ptr<Linear> DenseWeightFactory::linear(const WeightSource& source, const std::string& name, int64_t out,
                                                   int64_t in, bool bias) {
  if (source.has(name + ".qweight"))
    fail_input("{}: \"{}\" is quantized already: expected a full-precision checkpoint", source.place(name + ".qweight"),
               name);
  source.require(name + ".weight", {out, in});
  if (bias) source.require(name + ".bias", {out});
  auto made = make_dense_linear(source.load_f32(name + ".weight"), out, in,
                                bias ? source.load_f32(name + ".bias") : std::vector<float>{});
  made->name = name;
  return made;
}

std::vector<float> weight_of(const Linear& linear) {
  const auto* dense = dynamic_cast<const CpuLinear*>(&linear);
  PARO_CHECK(dense != nullptr);
  return dense->dequantize();
}

std::vector<float> bias_of(const WeightSource& source, const std::string& name) {
  return source.has(name + ".bias") ? source.load_f32(name + ".bias") : std::vector<float>{};
}

}  // namespace paro::calib
