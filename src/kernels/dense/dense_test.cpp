#include "kernels/dense/dense.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/test_variants.h"

namespace paro {
namespace {

// A weight whose first byte lies `shift` bytes after an aligned address.
struct Weight {
  Weight(DType dtype, int64_t out, int64_t in, int64_t shift, uint32_t seed) : values(random_floats(out * in, seed)) {
    const auto size = static_cast<size_t>(dtype_size(dtype));
    // Exactly as long as the weight: a read beyond it is found by the sanitizer.
    bytes.resize(static_cast<size_t>(shift) + values.size() * size);
    for (size_t i = 0; i < values.size(); ++i) {
      std::byte* at = bytes.data() + shift + i * size;
      if (dtype == DType::kF32) {
        std::memcpy(at, &values[i], 4);
        continue;
      }
      if (dtype == DType::kI8) {
        const float scale = 0.01f * static_cast<float>(1 + i / static_cast<size_t>(in));
        const auto code = static_cast<int8_t>(static_cast<int64_t>(i * 2654435761u >> 8) % 255 - 127);
        bytes[static_cast<size_t>(shift) + i] = static_cast<std::byte>(code);
        values[i] = static_cast<float>(code) * scale;
        if (i % static_cast<size_t>(in) == 0) scales.push_back(scale);
        continue;
      }
      const uint16_t bits = dtype == DType::kF16 ? f32_to_f16(values[i]) : f32_to_bf16(values[i]);
      std::memcpy(at, &bits, 2);
      values[i] = dtype == DType::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
    }
    view = {bytes.data() + shift, dtype, in, out, scales.data()};
  }
  std::vector<float> values;
  std::vector<std::byte> bytes;
  std::vector<float> scales;
  DenseWeight view;
};

void expect_product(const Weight& w, const std::vector<float>& x, const float* bias, const std::vector<float>& y) {
  const int64_t in = w.view.in, out = w.view.out;
  for (size_t k = 0; k < y.size(); ++k) {
    const int64_t r = static_cast<int64_t>(k) / out, o = static_cast<int64_t>(k) % out;
    double expected = bias == nullptr ? 0.0 : bias[o];
    double size = std::abs(expected);
    for (int64_t i = 0; i < in; ++i) {
      const double term = static_cast<double>(w.values[static_cast<size_t>(o * in + i)]) *
                          static_cast<double>(x[static_cast<size_t>(r * in + i)]);
      expected += term;
      size += std::abs(term);
    }
    ASSERT_NEAR(y[k], expected, size * static_cast<double>(in + 2) * 0x1p-24) << "row " << r << " output " << o;
  }
}

TEST(DenseKernel, FewRowsOfEveryTypeAgainstDouble) {
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (int64_t in : {1, 7, 8, 15, 33, 64, 100}) {
      for (int64_t out : {1, 4, 5, 11}) {
        const Weight w(dtype, out, in, in % 2 == 0 ? 0 : 1, 1);
        const std::vector<float> bias = random_floats(out, 2);
        for (int64_t rows : {1, 2, 3, 4, 5, 8}) {
          const std::vector<float> x = random_floats(rows * in, 3);
          for_each_variant(dense_variants(), [&](const DenseKernels& kernels) {
            std::vector<float> y(static_cast<size_t>(rows * out));
            const float* b = rows % 2 == 0 ? bias.data() : nullptr;
            kernels.few_rows(w.view, x.data(), rows, 0, out, b, y.data());
            expect_product(w, x, b, y);
          });
        }
      }
    }
  }
}

TEST(DenseKernel, Int8WeightsWithRowsOf16Bits) {
  for (int64_t in : {1, 15, 16, 31, 33, 64, 100, 576, 9000}) {
    for (int64_t out : {1, 4, 7}) {
      const Weight w(DType::kI8, out, in, in % 2, 7);
      const std::vector<float> bias = random_floats(out, 8);
      for (int64_t rows : {1, 2, 3, 8}) {
        const float* b = rows % 2 == 0 ? bias.data() : nullptr;
        const std::vector<float> x = random_floats(rows * in, 9);
        std::vector<int16_t> q(x.size());
        std::vector<float> scales(static_cast<size_t>(rows));
        round_to_int16(x.data(), rows, in, q.data(), scales.data());
        std::vector<float> rounded(x.size());
        for (size_t i = 0; i < x.size(); ++i) {
          const float scale = scales[i / static_cast<size_t>(in)];
          rounded[i] = static_cast<float>(q[i]) * scale;
          // Half a step, and the roundings of a product of up to 2^15 steps.
          ASSERT_NEAR(rounded[i], x[i], scale * (0.5f + 0x1p15f * 0x1p-22f));
        }
        std::vector<float> expected(static_cast<size_t>(rows * out));
        dense_kernels(Isa::kReference)
            .few_rows_int8(w.view, {q.data(), scales.data(), rows}, 0, out, b, expected.data());
        expect_product(w, rounded, b, expected);
        for_each_variant(dense_variants(), [&](const DenseKernels& kernels) {
          std::vector<float> y(expected.size());
          kernels.few_rows_int8(w.view, {q.data(), scales.data(), rows}, 0, out, b, y.data());
          EXPECT_EQ(std::memcmp(y.data(), expected.data(), y.size() * sizeof(float)), 0)
              << isa_name(kernels.isa) << " in " << in << " rows " << rows;
        });
      }
    }
  }
}

TEST(DenseKernel, LargestSumsOf16BitRowsFit) {
  for (int64_t in : {515, 516, 4128, 8192, 16400}) {
    std::vector<std::byte> codes(static_cast<size_t>(in), static_cast<std::byte>(127));
    const float one = 1.0f;
    const DenseWeight w{codes.data(), DType::kI8, in, 1, &one};
    const std::vector<float> x(static_cast<size_t>(in), 3.0f);
    std::vector<int16_t> q(x.size());
    float scale = 0.0f;
    round_to_int16(x.data(), 1, in, q.data(), &scale);
    for_each_variant(dense_variants(), [&](const DenseKernels& kernels) {
      float y = 0.0f;
      kernels.few_rows_int8(w, {q.data(), &scale, 1}, 0, 1, nullptr, &y);
      EXPECT_NEAR(y, 3.0f * 127.0f * static_cast<float>(in), 1e-3f * y) << isa_name(kernels.isa);
    });
  }
}

TEST(DenseKernel, RowsOf16BitsKeepWhatIsNotFinite) {
  std::vector<float> x(20, 1.0f);
  std::vector<int16_t> q(x.size());
  float scale = 0.0f;
  for (float value : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    x[7] = value;
    round_to_int16(x.data(), 1, 20, q.data(), &scale);
    EXPECT_TRUE(std::isnan(scale));
  }
  std::fill(x.begin(), x.end(), 0.0f);
  round_to_int16(x.data(), 1, 20, q.data(), &scale);
  EXPECT_EQ(scale, 0.0f);
}

TEST(DenseKernel, ManyRowsOfEveryTypeAgainstDouble) {
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kI8}) {
    for (int64_t in : {5, 64, 130, 300}) {
      for (int64_t out : {3, 16, 37}) {
        const Weight w(dtype, out, in, in % 2 == 0 ? 0 : 1, 4);
        const std::vector<float> bias = random_floats(out, 5);
        for (int64_t rows : {1, 9, 12, 33}) {
          const std::vector<float> x = random_floats(rows * in, 6);
          std::vector<float> blocked(x.size());
          block_inputs(x.data(), rows, in, kDenseBlock, 0, rows, blocked.data());
          for_each_variant(dense_variants(), [&](const DenseKernels& kernels) {
            std::vector<float> y(static_cast<size_t>(rows * out));
            const float* b = rows % 2 == 0 ? bias.data() : nullptr;
            kernels.many_rows(w.view, blocked.data(), rows, 0, rows, 0, out, b, y.data());
            expect_product(w, x, b, y);
          });
        }
      }
    }
  }
}

}  // namespace
}  // namespace paro
