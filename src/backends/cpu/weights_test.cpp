#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include "backends/cpu/cpu_ops.h"
#include "base/error.h"

namespace paro {
namespace {

class MemorySource : public WeightSource {
 public:
  void put(const std::string& name, DType type, std::vector<int64_t> shape, const void* data) {
    const TensorView view{type, shape, static_cast<const std::byte*>(data)};
    // One byte off: files promise no alignment.
    auto copy = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(view.bytes()) + 1);
    std::memcpy(copy->data() + 1, data, static_cast<size_t>(view.bytes()));
    data_[name] = {TensorView{type, shape, copy->data() + 1}, copy};
    infos_.push_back({name, type, shape, view.bytes(), std::string(dtype_name(type))});
    std::sort(infos_.begin(), infos_.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  }
  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  LoadedTensor load(std::string_view name) const override { return data_.at(std::string(name)); }
  std::string place(std::string_view) const override { return "memory"; }

 private:
  std::map<std::string, LoadedTensor> data_;
  std::vector<TensorInfo> infos_;
};

void expect_input_error(const std::string& part, const std::function<void()>& body) {
  try {
    body();
    ADD_FAILURE() << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInput);
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(CpuWeights, EmbeddingsOfEveryType) {
  const float values[6] = {1.0f, -2.0f, 0.5f, 3.0f, 4.0f, -0.25f};
  uint16_t f16[6], bf16[6];
  double f64[6];
  for (int i = 0; i < 6; ++i) f16[i] = f32_to_f16(values[i]), bf16[i] = f32_to_bf16(values[i]), f64[i] = values[i];
  MemorySource source;
  source.put("a.weight", DType::kF32, {2, 3}, values);
  source.put("b.weight", DType::kF16, {2, 3}, f16);
  source.put("c.weight", DType::kBF16, {2, 3}, bf16);
  source.put("d.weight", DType::kF64, {2, 3}, f64);
  source.put("e.weight", DType::kI16, {2, 3}, f16);
  auto factory = make_cpu_weight_factory({});
  auto ops = make_cpu_ops({1});
  for (const char* name : {"a", "b", "c", "d"}) {
    const auto table = factory->embedding(source, name, 2, 3);
    const Tensor out = ops->make(3, 3);
    const int32_t ids[] = {1, 0, 1};
    ops->embed(*table, ids, out);
    for (int i = 0; i < 9; ++i) EXPECT_EQ(out.f32()[i], values[ids[i / 3] * 3 + i % 3]) << name;
    const int32_t beyond[] = {2, 0, -1};
    expect_input_error("token id 2", [&] { ops->embed(*table, beyond, out); });
  }
  expect_input_error("e.weight", [&] { factory->embedding(source, "e", 2, 3); });
  expect_input_error("a.weight", [&] { factory->embedding(source, "a", 3, 2); });
  expect_input_error("f.weight", [&] { factory->embedding(source, "f", 2, 3); });
}

TEST(CpuWeights, VectorsAreFinite) {
  const float values[3] = {1.0f, 2.0f, std::numeric_limits<float>::infinity()};
  MemorySource source;
  source.put("good.weight", DType::kF32, {2}, values);
  source.put("bad.weight", DType::kF32, {3}, values);
  auto factory = make_cpu_weight_factory({});
  EXPECT_EQ(factory->vector(source, "good", 2)->dim, 2);
  expect_input_error("bad.weight", [&] { factory->vector(source, "bad", 3); });
  expect_input_error("good.weight", [&] { factory->vector(source, "good", 3); });
}

}  // namespace
}  // namespace paro
