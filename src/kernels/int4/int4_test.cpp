#include "kernels/int4/int4.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/dense/dense.h"
#include "kernels/int4/test_weight.h"
#include "kernels/rotate/test_rotation.h"
#include "kernels/test_variants.h"

namespace paro {
namespace {

// Rows made ready by the variant's own lanes.
Int8Buffer quantize(const std::vector<float>& x, int64_t rows, int64_t lanes, int64_t in, int64_t group_size) {
  const std::vector<float> ones(static_cast<size_t>(in), 1.0f);
  const RotationTables plain = make_rotation_tables(in, group_size, 0, nullptr, nullptr, ones.data());
  Int8Buffer out(rows, lanes, in, group_size);
  rotate_kernels(Isa::kReference)
      .rotate_quantize(plain, {x.data(), plain.in}, out.view, 0, out.view.padded() / lanes, 0, in / group_size);
  return out;
}

TEST(Int4Kernel, PackingKeepsEveryCode) {
  for (int64_t out : {8, 16, 24, 40}) {
    std::vector<uint8_t> codes(static_cast<size_t>(out * 64));
    for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(i * 7 % 16);
    const std::vector<uint8_t> zeros(static_cast<size_t>(out * 2), 5);
    const std::vector<float> scales(static_cast<size_t>(out * 2), 0.5f);
    const std::vector<float> w = unpack_int4(pack_int4(codes.data(), zeros.data(), scales.data(), out, 64, 32));
    ASSERT_EQ(w.size(), codes.size());
    for (size_t i = 0; i < w.size(); ++i) EXPECT_EQ(w[i], (static_cast<float>(codes[i]) - 5.0f) * 0.5f);
  }
}

TEST(Int4Kernel, ReferenceAgainstDouble) {
  const int64_t in = 256, out = 24, rows = 3, g = 64;
  const PackedInt4 weight = random_int4(out, in, g, 1);
  const std::vector<float> w = unpack_int4(weight);
  const std::vector<float> x = random_floats(rows * in, 2);
  const Int8Buffer q = quantize(x, rows, 1, in, g);
  std::vector<float> y(static_cast<size_t>(rows * out));
  int4_kernels(Isa::kReference).multiply(weight, q.view, 0, rows, 0, weight.tiles(), nullptr, y.data());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t o = 0; o < out; ++o) {
      double expected = 0.0, size = 0.0;
      for (int64_t i = 0; i < in; ++i) {
        const double term = static_cast<double>(w[static_cast<size_t>(o * in + i)]) * q.at(r, i, g) *
                            static_cast<double>(q.scales[static_cast<size_t>(i / g * rows + r)]);
        expected += term;
        size += std::abs(term);
      }
      // Exact inside a group; one rounding of the scales' product and one of the sum for each group.
      EXPECT_NEAR(y[static_cast<size_t>(r * out + o)], expected, size * 2 * (in / g) * 0x1p-24);
    }
  }
}

TEST(Int4Kernel, EveryVariantGivesTheReferencesBits) {
  for (int64_t g : {32, 64, 128}) {
    for (int64_t out : {8, 16, 40, 72}) {
      const int64_t in = 3 * g;
      const PackedInt4 weight = random_int4(out, in, g, 3);
      const std::vector<float> bias = random_floats(out, 4);
      for (int64_t rows : {1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 31, 32, 33}) {
        const std::vector<float> x = random_floats(rows * in, 5);
        std::vector<float> expected(static_cast<size_t>(rows * out));
        const Int8Buffer plain = quantize(x, rows, 1, in, g);
        const float* b = rows % 2 == 0 ? bias.data() : nullptr;
        int4_kernels(Isa::kReference).multiply(weight, plain.view, 0, rows, 0, weight.tiles(), b, expected.data());
        for_each_variant(int4_variants(), [&](const Int4Kernels& kernels) {
          for (int64_t lanes : {int64_t{1}, kernels.lanes}) {
            const Int8Buffer q = quantize(x, rows, lanes, in, g);
            std::vector<float> y(expected.size() + 1, 77.0f);
            kernels.multiply(weight, q.view, 0, rows, 0, weight.tiles(), b, y.data());
            EXPECT_EQ(y.back(), 77.0f);
            for (size_t i = 0; i < expected.size(); ++i)
              ASSERT_EQ(y[i], expected[i])
                  << isa_name(kernels.isa) << " rows " << rows << " lanes " << lanes << " group " << g << " at " << i;
          }
        });
      }
    }
  }
}

TEST(Int4Kernel, RangesOfRowsAndTilesGiveTheSameBits) {
  const int64_t in = 128, out = 104, rows = 150;
  const PackedInt4 weight = random_int4(out, in, 64, 6);
  const std::vector<float> x = random_floats(rows * in, 7);
  for_each_variant(int4_variants(), [&](const Int4Kernels& kernels) {
    const Int8Buffer q = quantize(x, rows, kernels.lanes, in, 64);
    std::vector<float> whole(static_cast<size_t>(rows * out)), parts(whole.size());
    kernels.multiply(weight, q.view, 0, rows, 0, weight.tiles(), nullptr, whole.data());
    for (int64_t row = 0; row < rows; row += 32)
      for (int64_t tile = 0; tile < weight.tiles(); tile += 2)
        kernels.multiply(weight, q.view, row, std::min(row + 32, rows), tile, std::min(tile + 2, weight.tiles()),
                         nullptr, parts.data());
    EXPECT_EQ(whole, parts) << isa_name(kernels.isa);
  });
}

// The largest sums that 16 bits have to hold: every code 15 or 0, every activation +127 or -127.
TEST(Int4Kernel, ExtremeValuesDoNotOverflow) {
  for (int64_t g : {32, 64, 128}) {
    for (uint8_t code : {0, 15}) {
      for (uint8_t zero : {0, 15}) {
        const std::vector<uint8_t> codes(static_cast<size_t>(16 * g), code);
        const std::vector<uint8_t> zeros(16, zero);
        const std::vector<float> scales(16, 1.0f);
        const PackedInt4 weight = pack_int4(codes.data(), zeros.data(), scales.data(), 16, g, g);
        for (float sign : {1.0f, -1.0f}) {
          for (int64_t rows : {1, 4, 9}) {
            const std::vector<float> x(static_cast<size_t>(rows * g), sign * 127.0f);
            for_each_variant(int4_variants(), [&](const Int4Kernels& kernels) {
              const Int8Buffer q = quantize(x, rows, rows == 1 ? 1 : kernels.lanes, g, g);
              std::vector<float> y(static_cast<size_t>(rows * 16));
              kernels.multiply(weight, q.view, 0, rows, 0, 1, nullptr, y.data());
              for (float value : y) EXPECT_NEAR(value, sign * 127.0f * static_cast<float>((code - zero) * g), 0.1f);
            });
          }
        }
      }
    }
  }
}

TEST(Int4Kernel, FloatActivationsAgainstDouble) {
  for (int64_t g : {32, 64, 128}) {
    for (int64_t out : {8, 16, 40}) {
      const int64_t in = 2 * g;
      const PackedInt4 weight = random_int4(out, in, g, 8);
      const std::vector<float> w = unpack_int4(weight);
      const std::vector<float> bias = random_floats(out, 9);
      for (int64_t rows : {1, 2, 5, 6, 7, 12, 13, 33, 100}) {
        const std::vector<float> x = random_floats(rows * in, 10);
        std::vector<float> blocked(x.size());
        block_inputs(x.data(), rows, in, g, 0, rows, blocked.data());
        for_each_variant(int4_variants(), [&](const Int4Kernels& kernels) {
          std::vector<float> y(static_cast<size_t>(rows * out));
          kernels.multiply_f32(weight, blocked.data(), rows, 0, rows, 0, weight.tiles(), bias.data(), y.data());
          for (int64_t r = 0; r < rows; ++r) {
            for (int64_t o = 0; o < out; ++o) {
              double expected = bias[static_cast<size_t>(o)], size = std::abs(expected);
              for (int64_t i = 0; i < in; ++i) {
                const double term = static_cast<double>(w[static_cast<size_t>(o * in + i)]) *
                                    static_cast<double>(x[static_cast<size_t>(r * in + i)]);
                expected += term;
                size += std::abs(term);
              }
              ASSERT_NEAR(y[static_cast<size_t>(r * out + o)], expected, size * (in + 1) * 0x1p-24);
            }
          }
        });
      }
    }
  }
}

}  // namespace
}  // namespace paro
