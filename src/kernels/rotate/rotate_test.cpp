#include "kernels/rotate/rotate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/rotate/test_rotation.h"
#include "kernels/test_variants.h"

namespace paro {
namespace {

const RotateKernels& reference() { return rotate_kernels(Isa::kReference); }

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(RotateKernel, ReferenceAgainstDouble) {
  const int64_t in = 256;
  const RandomRotation r = random_rotation(in, 64, 8, 1);
  const RotationTables tables =
      make_rotation_tables(in, 64, 8, r.theta.data(), r.pairs.data(), r.channel_scales.data());
  const std::vector<float> x = random_floats(in, 2);
  std::vector<float> y(x.size());
  reference().rotate(tables, x.data(), 1, 0, in / 64, y.data());
  std::vector<double> expected(x.begin(), x.end());
  double norm = 0.0;
  for (size_t i = 0; i < x.size(); ++i) norm += std::pow(expected[i] *= r.channel_scales[i], 2);
  for (size_t k = 0; k < 8; ++k) {
    for (size_t t = 0; t < in / 2; ++t) {
      const size_t begin = 2 * t / 64 * 64;
      double& a = expected[begin + static_cast<size_t>(r.pairs[k * in + 2 * t])];
      double& b = expected[begin + static_cast<size_t>(r.pairs[k * in + 2 * t + 1])];
      const double c = std::cos(static_cast<double>(r.theta[k * in / 2 + t]));
      const double s = std::sin(static_cast<double>(r.theta[k * in / 2 + t]));
      const double rotated = c * a + s * b;
      b = c * b - s * a;
      a = rotated;
    }
  }
  // Three roundings a round, each at most 2^-24 of a value bounded by the norm, and those of the tables.
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(y[i], expected[i], 8 * 5 * 0x1p-24 * std::sqrt(norm));
}

// The angles of the int8 path are multiples of 2^-14: the inputs that its codes stand for, against the exact rotation.
TEST(RotateKernel, Int8PathAgainstF32) {
  for (bool fillers : {false, true}) {
    for (int64_t g : {32, 64, 128}) {
      const int64_t in = 4 * g;
      const RotationTables tables = random_tables(in, g, 8, 11, fillers);
      const std::vector<float> x = random_floats(in, 12);
      std::vector<float> exact(x.size());
      reference().rotate(tables, x.data(), 1, 0, 4, exact.data());
      Int8Buffer out(1, 1, in, g);
      reference().rotate_quantize(tables, {x.data(), tables.in}, out.view, 0, 1, 0, 4);
      for (int64_t group = 0; group < 4; ++group) {
        double norm = 0.0;
        for (int64_t i = group * g; i < (group + 1) * g; ++i)
          norm += std::pow(x[static_cast<size_t>(i)] * tables.channel_scales[static_cast<size_t>(i)], 2);
        const float scale = out.scales[static_cast<size_t>(group)];
        // Half a step of int8; a round turns by angles whose cos and sin are off by half of 2^-14 each.
        const double bound = scale * 0.5 + 8 * 0x1p-14 * std::sqrt(norm);
        for (int64_t i = group * g; i < (group + 1) * g; ++i)
          EXPECT_NEAR(out.at(0, i, g) * scale, exact[static_cast<size_t>(i)], bound);
      }
    }
  }
}

TEST(RotateKernel, EveryVariantGivesTheReferencesBits) {
  for (int64_t group_size : {32, 64, 128}) {
    const int64_t in = 3 * group_size;
    for (bool fillers : {false, true}) {
      const RotationTables tables = random_tables(in, group_size, 5, 3, fillers);
      for (int64_t rows : {1, 2, 7, 8, 9, 16, 17, 33}) {
        const std::vector<float> x = random_floats(rows * in, 4);
        std::vector<float> expected(x.size());
        reference().rotate(tables, x.data(), rows, 0, 3, expected.data());
        Int8Buffer plain(rows, 1, in, group_size);
        reference().rotate_quantize(tables, {x.data(), tables.in}, plain.view, 0, rows, 0, 3);
        for_each_variant(rotate_variants(), [&](const RotateKernels& kernels) {
          std::vector<float> y(x.size());
          kernels.rotate(tables, x.data(), rows, 0, 1, y.data());
          kernels.rotate(tables, x.data(), rows, 1, 3, y.data());
          EXPECT_TRUE(same_bits(y, expected)) << isa_name(kernels.isa) << " rows " << rows;
          y = x;
          kernels.rotate(tables, y.data(), rows, 0, 3, y.data());
          EXPECT_TRUE(same_bits(y, expected)) << "in place";
          for (int64_t lanes : {int64_t{1}, kernels.lanes}) {
            Int8Buffer out(rows, lanes, in, group_size);
            kernels.rotate_quantize(tables, {x.data(), tables.in}, out.view, 0, out.view.padded() / lanes, 0, 3);
            for (int64_t r = 0; r < rows; ++r) {
              for (int64_t i = 0; i < in; ++i) ASSERT_EQ(out.at(r, i, group_size), plain.at(r, i, group_size));
              for (int64_t g = 0; g < 3; ++g) {
                const auto at = static_cast<size_t>(g * out.view.padded() + r);
                EXPECT_EQ(out.scales[at], plain.scales[static_cast<size_t>(g * rows + r)]);
                EXPECT_EQ(out.sums[at], plain.sums[static_cast<size_t>(g * rows + r)]);
              }
            }
          }
        });
      }
    }
  }
}

TEST(RotateKernel, IdentityCostsNothingAndChangesNothing) {
  std::vector<float> ones(128, 1.0f);
  const std::vector<float> theta(4 * 64, 0.0f);
  const RandomRotation r = random_rotation(128, 128, 4, 5);
  const RotationTables tables = make_rotation_tables(128, 128, 4, theta.data(), r.pairs.data(), ones.data());
  EXPECT_TRUE(tables.identity());
  const std::vector<float> x = random_floats(2 * 128, 6);
  for_each_variant(rotate_variants(), [&](const RotateKernels& kernels) {
    std::vector<float> y(x.size());
    kernels.rotate(tables, x.data(), 2, 0, 1, y.data());
    EXPECT_TRUE(same_bits(x, y));
  });
  // Nothing to read, and the int8 codes are those of the input as it is.
  EXPECT_EQ(tables.bytes(), 0);
  const RotationTables none = make_rotation_tables(128, 128, 0, nullptr, nullptr, ones.data());
  for_each_variant(rotate_variants(), [&](const RotateKernels& kernels) {
    for (int64_t lanes : {int64_t{1}, kernels.lanes}) {
      Int8Buffer found(2, lanes, 128, 128), plain(2, lanes, 128, 128);
      kernels.rotate_quantize(tables, {x.data(), tables.in}, found.view, 0, found.view.padded() / lanes, 0, 1);
      kernels.rotate_quantize(none, {x.data(), none.in}, plain.view, 0, plain.view.padded() / lanes, 0, 1);
      for (int64_t row = 0; row < 2; ++row) {
        float absmax = 0.0f;
        for (int64_t i = 0; i < 128; ++i) absmax = std::max(absmax, std::abs(x[static_cast<size_t>(row * 128 + i)]));
        for (int64_t i = 0; i < 128; ++i) {
          EXPECT_EQ(found.at(row, i, 128), plain.at(row, i, 128));
          EXPECT_EQ(found.at(row, i, 128), std::nearbyint(x[static_cast<size_t>(row * 128 + i)] * (127.0f / absmax)));
        }
      }
    }
  });
}

TEST(RotateKernel, QuantizationIsWithinHalfAStep) {
  const int64_t in = 64;
  const RotationTables tables = random_tables(in, 64, 0, 7);
  for (float size : {1e-20f, 1.0f, 1e20f}) {
    const std::vector<float> x = random_floats(16 * in, 8, size);
    std::vector<float> y(x.size());
    reference().rotate(tables, x.data(), 16, 0, 1, y.data());
    for_each_variant(rotate_variants(), [&](const RotateKernels& kernels) {
      Int8Buffer out(16, kernels.lanes, in, 64);
      kernels.rotate_quantize(tables, {x.data(), tables.in}, out.view, 0, out.view.padded() / kernels.lanes, 0, 1);
      for (int64_t r = 0; r < 16; ++r) {
        int32_t sum = 0;
        const float scale = out.scales[static_cast<size_t>(r)];
        for (int64_t i = 0; i < in; ++i) {
          sum += out.at(r, i, 64);
          // Half a step, and three roundings of products up to 127 steps.
          EXPECT_NEAR(out.at(r, i, 64) * scale, y[static_cast<size_t>(r * in + i)], scale * (0.5f + 127 * 0x1p-22f));
        }
        EXPECT_EQ(sum, out.sums[static_cast<size_t>(r)]);
      }
    });
  }
}

TEST(RotateKernel, ZerosInfinitiesAndNaN) {
  const float inf = std::numeric_limits<float>::infinity();
  const RotationTables tables = random_tables(32, 32, 0, 9);
  for_each_variant(rotate_variants(), [&](const RotateKernels& kernels) {
    for (int64_t lanes : {int64_t{1}, kernels.lanes}) {
      for (float value : {0.0f, 1e-40f, inf, -inf, std::nanf("")}) {
        for (size_t place : {size_t{0}, size_t{13}, size_t{31}}) {
          std::vector<float> x(32, 0.0f);
          x[place] = value;
          Int8Buffer out(1, lanes, 32, 32);
          kernels.rotate_quantize(tables, {x.data(), tables.in}, out.view, 0, 1, 0, 1);
          // A value that is no number must not vanish: the scale carries it into the product.
          EXPECT_EQ(std::isfinite(out.scales[0]), std::isfinite(value)) << isa_name(kernels.isa) << " " << value;
          for (int64_t i = 0; i < 32; ++i) EXPECT_EQ(out.at(0, i, 32), 0);
          EXPECT_EQ(out.sums[0], 0);
        }
      }
    }
  });
}

}  // namespace
}  // namespace paro
