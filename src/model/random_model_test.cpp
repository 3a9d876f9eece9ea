#include "model/random_model.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"

namespace paro {
namespace {

ModelConfig small(RandomFormat format) {
  ModelConfig config = parse_model_config(random_shape_config("smollm2-135m", format), "shape");
  config.layers = 1;
  return config;
}

TEST(RandomModel, EveryShapeIsAConfigThatIsAccepted) {
  for (const std::string& name : random_shape_names()) {
    for (const RandomFormat format : {RandomFormat::kDense, RandomFormat::kParo4}) {
      const ModelConfig config = parse_model_config(random_shape_config(name, format), name);
      EXPECT_EQ(config.quantization.bits, format == RandomFormat::kParo4 ? 4 : 0);
    }
  }
  EXPECT_THROW(random_shape_config("gpt-9", RandomFormat::kDense), Error);
}

TEST(RandomModel, TensorsHaveTheirBytesAndAreTheSameEveryTime) {
  const auto first = make_random_weights(small(RandomFormat::kParo4));
  const auto second = make_random_weights(small(RandomFormat::kParo4));
  const std::string name = "model.layers.0.mlp.down_proj.qweight";
  const LoadedTensor a = first->load(name);
  const LoadedTensor b = second->load(name);
  EXPECT_EQ(a.view.shape, (std::vector<int64_t>{1536, 576 / 8}));
  EXPECT_EQ(std::memcmp(a.view.data, b.view.data, static_cast<size_t>(a.view.bytes())), 0);
}

TEST(RandomModel, LinearsOfOneInputShareTheirRotation) {
  const auto source = make_random_weights(small(RandomFormat::kParo4));
  const LoadedTensor q = source->load("model.layers.0.self_attn.q_proj.theta");
  const LoadedTensor k = source->load("model.layers.0.self_attn.k_proj.theta");
  const LoadedTensor o = source->load("model.layers.0.self_attn.o_proj.theta");
  const auto size = static_cast<size_t>(q.view.bytes());
  EXPECT_EQ(std::memcmp(q.view.data, k.view.data, size), 0);
  EXPECT_NE(std::memcmp(q.view.data, o.view.data, size), 0);
}

}  // namespace
}  // namespace paro
