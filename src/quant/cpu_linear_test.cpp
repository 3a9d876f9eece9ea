#include "quant/cpu_linear.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/elementwise/elementwise.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/test_variants.h"
#include "kernels/variants.h"
#include "quant/paro4/format.h"
#include "quant/paro4/paro4_linear.h"
#include "quant/paro4/rtn.h"
#include "quant/test_linear.h"
#include "quant/test_source.h"

namespace paro {
namespace {

using ::testing::HasSubstr;

TEST(Paro4Linear, MeansItsDequantizedWeight) {
  for (int64_t g : {32, 64, 128}) {
    const int64_t in = 3 * g, out = 40;
    Paro4Weight weight = quantize_rtn(random_floats(out * in, 1).data(), out, in, g, make_rotation(in, g, 2));
    weight.bias = random_floats(out, 3);
    const auto linear = make_paro4_linear(weight);
    const std::vector<float> whole = dequantize_paro4(weight);
    const std::vector<float> packed = linear->dequantize();
    for (size_t i = 0; i < whole.size(); ++i) EXPECT_NEAR(packed[i], whole[i], 1e-5);
    Arena arena;
    ThreadPool pool(2);
    for (int64_t rows : {1, 2, 5, 8, 17, 33}) {
      const std::vector<float> x = random_floats(rows * in, 4);
      for (Isa isa : supported_isas()) {
        // f32: rounding of in products and 8 rounds. int8: at most half a step of 1/127 of the largest value of a
        // group; the errors of the channels are independent, so that a hundredth of the norms is never reached.
        CpuContext context{pool, arena, isa, Activations::kF32};
        expect_product(*linear, x, weight.bias, run(*linear, context, x), 1e-5);
        context.activations = Activations::kInt8;
        expect_product(*linear, x, weight.bias, run(*linear, context, x), 1e-2);
      }
    }
  }
}

// An input made piece by piece gives what the same input gives when it is computed whole beforehand.
TEST(CpuLinear, ComputesNormalisedAndGatedInputsOnTheWay) {
  const int64_t in = 384, out = 48;
  const auto paro =
      make_paro4_linear(quantize_rtn(random_floats(out * in, 1).data(), out, in, 128, make_rotation(in, 128, 2)));
  const auto dense = make_dense_linear(random_floats(out * in, 3), out, in, {});
  Arena arena;
  for (const Isa isa : supported_isas()) {
    const NormKernels& norms = variant_for(norm_variants(), isa);
    const ElementKernels& elements = variant_for(elementwise_variants(), isa);
    for (const int64_t rows : {1, 3, 16, 37}) {
      const std::vector<float> x = random_floats(rows * in, 4), up = random_floats(rows * in, 5);
      const std::vector<float> norm = random_floats(in, 6);
      std::vector<float> factors, normalised(x.size()), gated(x.size());
      for (int64_t r = 0; r < rows; ++r) {
        factors.push_back(norms.factor(x.data() + r * in, 1e-5f, in));
        norms.rms_norm(x.data() + r * in, norm.data(), 1e-5f, in, normalised.data() + r * in);
      }
      elements.silu_mul(x.data(), up.data(), gated.data(), rows * in);
      for (const int threads : {1, 3}) {
        ThreadPool pool(threads);
        for (const Activations activations : {Activations::kInt8, Activations::kF32}) {
          const CpuContext context{pool, arena, isa, activations};
          for (const CpuLinear* linear : {paro.get(), dense.get()}) {
            EXPECT_EQ(run(*linear, context, {x.data(), norm.data(), factors.data()}, rows),
                      run(*linear, context, normalised));
            EXPECT_EQ(run(*linear, context, {.x = x.data(), .up = up.data()}, rows), run(*linear, context, gated));
          }
        }
      }
    }
  }
}

TEST(Paro4Linear, Int8ResultsAreTheSameBitsForAnyThreadsRowsAndInstructionSet) {
  const int64_t in = 256, out = 328, rows = 140;
  const auto linear =
      make_paro4_linear(quantize_rtn(random_floats(out * in, 1).data(), out, in, 64, make_rotation(in, 64, 2)));
  const std::vector<float> x = random_floats(rows * in, 3);
  Arena arena;
  ThreadPool one(1), two(2), three(3);
  const std::vector<float> expected = run(*linear, {one, arena, Isa::kReference, Activations::kInt8}, x);
  for (Isa isa : supported_isas()) {
    for (ThreadPool* pool : {&one, &two, &three})
      EXPECT_EQ(run(*linear, {*pool, arena, isa, Activations::kInt8}, x), expected) << isa_name(isa);
    for (int64_t row : {0, 77, 139}) {
      const std::vector<float> single(x.begin() + row * in, x.begin() + (row + 1) * in);
      const std::vector<float> part(expected.begin() + row * out, expected.begin() + (row + 1) * out);
      EXPECT_EQ(run(*linear, {two, arena, isa, Activations::kInt8}, single), part) << isa_name(isa);
    }
  }
}

TEST(Paro4Linear, F16ActivationsAreTheF32OnesRoundedOnce) {
  Arena arena;
  ThreadPool pool(2);
  const int64_t g = 64, in = 5 * g, out = 40;
  for (const auto& rotation : {make_rotation(in, g, 2), identity_rotation(in, g)}) {
    const Paro4Weight weight = quantize_rtn(random_floats(out * in, 1).data(), out, in, g, rotation);
    const auto linear = make_paro4_linear(weight);
    const std::vector<float> w = dequantize_paro4_rotated(weight);
    for (int64_t rows : {1, 3, 18}) {
      const std::vector<float> x = random_floats(rows * in, 4);
      for (Isa isa : supported_isas()) {
        const ArenaScope scope(arena);
        const CpuContext f32{pool, arena, isa, Activations::kF32}, f16{pool, arena, isa, Activations::kF16};
        const PreparedInput exact = linear->prepare(f32, {x.data()}, rows);
        const PreparedInput rounded = linear->prepare(f16, {x.data()}, rows);
        for (int64_t i = 0; i < rows * in; ++i)
          ASSERT_EQ(rounded.x[i], f16_to_f32(f32_to_f16(exact.x[i]))) << i << " " << isa_name(isa);
        std::vector<float> y32(static_cast<size_t>(rows * out)), y16(y32.size());
        linear->multiply(f32, exact, y32.data());
        linear->multiply(f16, rounded, y16.data());
        EXPECT_NE(y16, y32);
        for (int64_t k = 0; k < rows * out; ++k) {
          // Half a unit of f16 (subnormals: 2^-25) for each input, and what `in` sums in f32 lose in both products.
          double bound = 0.0;
          for (int64_t i = 0; i < in; ++i) {
            const double a = std::abs(exact.x[k / out * in + i]),
                         b = std::abs(w[static_cast<size_t>(k % out * in + i)]);
            bound += a * b * (0x1p-11 + 2.0 * static_cast<double>(in) * 0x1p-24) + b * 0x1p-25;
          }
          ASSERT_NEAR(y16[static_cast<size_t>(k)], y32[static_cast<size_t>(k)], bound) << isa_name(isa);
        }
      }
    }
  }
}

TEST(Paro4Linear, F16ActivationsStayFiniteAndKeepWhatIsNot) {
  Arena arena;
  ThreadPool pool(1);
  const int64_t in = 64;
  const auto linear =
      make_paro4_linear(quantize_rtn(random_floats(8 * in, 1).data(), 8, in, 32, identity_rotation(in, 32)));
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::vector<float> x(static_cast<size_t>(in));
  x[0] = 65520.0f;  // would round to infinity
  x[1] = -3e38f;
  x[2] = -kInfinity;
  x[3] = std::numeric_limits<float>::quiet_NaN();
  x[4] = 65503.0f;
  x[5] = 1e-9f;
  for (Isa isa : supported_isas()) {
    const PreparedInput input = linear->prepare({pool, arena, isa, Activations::kF16}, {x.data()}, 1);
    EXPECT_EQ(input.x[0], 65504.0f);
    EXPECT_EQ(input.x[1], -65504.0f);
    EXPECT_EQ(input.x[2], -kInfinity);
    EXPECT_TRUE(std::isnan(input.x[3]));
    EXPECT_EQ(input.x[4], 65504.0f);
    EXPECT_EQ(input.x[5], 0.0f);
  }
}

TEST(Paro4Linear, EqualRotationsPrepareOnce) {
  const auto make = [](uint32_t seed, int64_t out) {
    return make_paro4_linear(quantize_rtn(random_floats(out * 64, 9).data(), out, 64, 32, make_rotation(64, 32, seed)));
  };
  const auto a = make(1, 8), b = make(1, 16), c = make(2, 8);
  const auto dense = make_dense_linear(std::vector<float>(64, 1.0f), 1, 64, {});
  EXPECT_TRUE(a->same_input(*b));
  EXPECT_FALSE(a->same_input(*c));
  EXPECT_FALSE(a->same_input(*dense));
  EXPECT_FALSE(dense->same_input(*a));
}

TEST(Paro4Linear, RotationsThatDoNothingAreOneAndCostNothing) {
  // As a file holds them: rounds with angles of 0, whatever their pairs.
  const auto make = [](uint32_t seed, int64_t rows) {
    PairRotation idle = *make_rotation(64, 32, seed);
    std::fill(idle.theta.begin(), idle.theta.end(), 0.0f);
    std::fill(idle.channel_scales.begin(), idle.channel_scales.end(), 1.0f);
    return make_paro4_linear(quantize_rtn(random_floats(rows * 64, 9).data(), rows, 64, 32,
                                          std::make_shared<const PairRotation>(std::move(idle))));
  };
  const auto a = make(1, 8), b = make(2, 8);
  const auto plain =
      make_paro4_linear(quantize_rtn(random_floats(8 * 64, 9).data(), 8, 64, 32, identity_rotation(64, 32)));
  EXPECT_TRUE(a->same_input(*b));
  EXPECT_TRUE(a->same_input(*plain));
  EXPECT_EQ(a->weight_bytes(), plain->weight_bytes());
  Arena arena;
  ThreadPool pool(2);
  for (const int64_t rows : {1, 5}) {
    const std::vector<float> x = random_floats(rows * 64, 3);
    for (const Activations activations : {Activations::kF32, Activations::kInt8})
      for (const Isa isa : supported_isas())
        EXPECT_EQ(run(*a, {pool, arena, isa, activations}, x), run(*plain, {pool, arena, isa, activations}, x));
  }
}

TEST(DenseLinear, FromMemoryAgainstDouble) {
  Arena arena;
  ThreadPool pool(2);
  for (int64_t in : {64, 100}) {
    const int64_t out = 77;
    const std::vector<float> bias = random_floats(out, 2);
    const auto linear = make_dense_linear(random_floats(out * in, 1), out, in, bias);
    for (int64_t rows : {1, 3, 8, 9, 40, 200}) {
      const std::vector<float> x = random_floats(rows * in, 3);
      for (Isa isa : supported_isas()) expect_product(*linear, x, bias, run(*linear, {pool, arena, isa}, x), 1e-5);
    }
  }
}

TEST(MakeCpuLinear, FixtureThroughTheFactoryWithThreeRotations) {
  const auto source = SafetensorsFile::open(PARO_SOURCE_DIR "/tests/fixtures/paro4.safetensors");
  const QuantizationConfig config{"paroquant", 4, 32, 3};
  const auto q = make_cpu_linear(*source, "q", 24, 64, true, config);
  const auto k = make_cpu_linear(*source, "k", 8, 64, false, config);
  const auto o = make_cpu_linear(*source, "o", 16, 64, false, config);
  EXPECT_FALSE(q->same_input(*k));
  EXPECT_EQ(q->name, "q");
  Arena arena;
  ThreadPool pool(2);
  const std::vector<float> x = random_floats(2 * 64, 1);
  for (const auto* linear : {q.get(), k.get(), o.get()}) {
    const std::vector<float> expected = source->load_f32(linear->name + ".expected");
    const std::vector<float> w = linear->dequantize();
    for (size_t i = 0; i < w.size(); ++i) EXPECT_NEAR(w[i], expected[i], 1e-5);
    const std::vector<float> bias = linear == q.get() ? source->load_f32("q.bias") : std::vector<float>{};
    expect_product(*linear, x, bias, run(*linear, {pool, arena, active_isa(), Activations::kF32}, x), 1e-5);
  }
}

TEST(MakeCpuLinear, DenseTypesAndErrors) {
  MemorySource source;
  source.add("a.weight", DType::kBF16, {8, 4}, std::vector<uint16_t>(32, f32_to_bf16(0.5f)));
  source.add("b.weight", DType::kI32, {8, 4}, std::vector<int32_t>(32));
  const QuantizationConfig none;
  const auto a = make_cpu_linear(source, "a", 8, 4, false, none);
  EXPECT_EQ(a->dequantize(), std::vector<float>(32, 0.5f));
  EXPECT_EQ(a->weight_bytes(), 64);
  EXPECT_THAT(error_of([&] { make_cpu_linear(source, "a", 8, 5, false, none); }), HasSubstr("[8, 5]"));
  EXPECT_THAT(error_of([&] { make_cpu_linear(source, "a", 8, 4, true, none); }), HasSubstr("a.bias"));
  EXPECT_THAT(error_of([&] { make_cpu_linear(source, "b", 8, 4, false, none); }), HasSubstr("found I32"));
  EXPECT_THAT(error_of([&] { make_cpu_linear(source, "c", 8, 4, false, none); }),
              HasSubstr("neither c.weight nor c.qweight"));
}

TEST(MakeCpuLinear, TheConfigurationMustMeanWhatTheTensorsAre) {
  MemorySource source;
  source.add(paro4_tensors("x", quantize_rtn(random_floats(8 * 64, 1).data(), 8, 64, 32, make_rotation(64, 32, 2))));
  const auto message = [&](const QuantizationConfig& config) {
    return error_of([&] { make_cpu_linear(source, "x", 8, 64, false, config); });
  };
  EXPECT_EQ(message({"paroquant", 4, 32, 8}), "(no error)");
  EXPECT_EQ(message({}), "(no error)");
  EXPECT_THAT(message({"gptq", 4, 32, 0}), HasSubstr("\"x.qweight\": expected shape [8, 8], found [64, 1]"));
  EXPECT_THAT(message({"nf4", 4, 32, 0}), HasSubstr("\"nf4\"; there are \"paroquant\", \"awq\", \"gptq\""));
  EXPECT_THAT(message({"paroquant", 5, 32, 8}), HasSubstr("expected 2, 3, 4 or 8 bits, found 5"));
  EXPECT_THAT(message({"paroquant", 2, 32, 8}), HasSubstr("x.qweight: a 2-bit weight needs"));
  EXPECT_THAT(message({"paroquant", 4, 64, 8}), HasSubstr("groups of 64"));
  source.remove("x.theta");
  EXPECT_THAT(message({"", 0, 0, 0}), HasSubstr("GPTQ, AWQ"));
}

TEST(RoundedToInt8, IsWithinHalfAStepOfTheWeight) {
  ThreadPool pool(2);
  Arena arena;
  const int64_t out = 133, in = 70;
  std::vector<float> w = random_floats(out * in, 5);
  const std::vector<float> bias = random_floats(out, 6);
  std::fill_n(w.begin() + 3 * in, in, 0.0f);
  const auto rounded = rounded_to_int8(*make_dense_linear(w, out, in, bias), pool);
  ASSERT_NE(rounded, nullptr);
  EXPECT_EQ(rounded->weight_bytes(), out * in + out * 4);
  const std::vector<float> values = rounded->dequantize();
  for (int64_t o = 0; o < out; ++o) {
    float largest = 0.0f;
    for (int64_t i = 0; i < in; ++i) largest = std::max(largest, std::abs(w[static_cast<size_t>(o * in + i)]));
    for (int64_t i = 0; i < in; ++i)
      EXPECT_NEAR(values[static_cast<size_t>(o * in + i)], w[static_cast<size_t>(o * in + i)],
                  largest * (0.5f / 127.0f + 1e-6f));
  }
  for (int64_t rows : {1, 5, 40}) {
    const std::vector<float> x = random_floats(rows * in, 7);
    expect_product(*rounded, x, bias, run(*rounded, {pool, arena}, x), 1e-5);
  }
  EXPECT_EQ(rounded_to_int8(*rounded, pool), nullptr) << "has 8 bits already";

  EXPECT_EQ(rounded_to_int4(*make_paro4_linear(quantize_rtn(w.data(), 64, 64, 32, identity_rotation(64, 32))), pool),
            nullptr)
      << "has 4 bits already";

  w[0] = std::numeric_limits<float>::quiet_NaN();
  const auto broken = rounded_to_int8(*make_dense_linear(w, out, in, {}), pool);
  const std::vector<float> y = run(*broken, {pool, arena}, random_floats(in, 8));
  EXPECT_TRUE(std::isnan(y[0]));
  EXPECT_TRUE(std::isfinite(y[1]));
}

TEST(RoundedToInt4, IsNoWorseThanTheWholeRangeInAnyGroup) {
  ThreadPool pool(2);
  Arena arena;
  const int64_t out = 533, in = 96, g = kRoundedInt4Group;  // more than one range of outputs, the last tile not full
  std::vector<float> w = random_floats(out * in, 5);
  for (float& v : w) v = v * v * v;  // long tails: a smaller range is better
  const std::vector<float> bias = random_floats(out, 6);
  std::fill_n(w.begin() + 3 * in, in, 0.0f);
  const auto dense = make_dense_linear(w, out, in, bias);
  const auto rounded = rounded_to_int4(*dense, pool);
  ASSERT_NE(rounded, nullptr);
  const std::vector<float> values = rounded->dequantize();
  const std::vector<float> whole =
      dequantize_paro4_rotated(quantize_rtn(w.data(), out, in, g, identity_rotation(in, g)));
  double total = 0.0, whole_total = 0.0;
  for (size_t group = 0; group < w.size(); group += static_cast<size_t>(g)) {
    double error = 0.0, whole_error = 0.0;
    for (size_t i = group; i < group + static_cast<size_t>(g); ++i) {
      error += std::pow(static_cast<double>(values[i]) - w[i], 2);
      whole_error += std::pow(static_cast<double>(whole[i]) - w[i], 2);
    }
    EXPECT_LE(error, whole_error * (1.0 + 1e-5) + 1e-12) << group;
    total += error;
    whole_total += whole_error;
  }
  // Trying 13, 17 and 33 ranges down to 0.6 of the whole one on such values leaves 0.974, 0.971 and 0.964 of the error.
  EXPECT_LT(total, 0.975 * whole_total);
  for (int64_t rows : {1, 5, 40}) {
    const std::vector<float> x = random_floats(rows * in, 7);
    expect_product(*rounded, x, bias, run(*rounded, {pool, arena, active_isa(), Activations::kF32}, x), 1e-5);
    expect_product(*rounded, x, bias, run(*rounded, {pool, arena, active_isa(), Activations::kInt8}, x), 1e-2);
  }
  EXPECT_EQ(rounded_to_int4(*rounded, pool), nullptr) << "has 4 bits already";
  EXPECT_EQ(rounded_to_int4(*rounded_to_int8(*dense, pool), pool), nullptr) << "has 8 bits";
}

TEST(RoundedToInt4, KeepsAGridThatFitsAndWhatIsNotFinite) {
  ThreadPool pool(2);
  Arena arena;
  const int64_t out = 16, in = 64;
  std::vector<float> w(static_cast<size_t>(out * in));
  for (size_t i = 0; i < w.size(); ++i) w[i] = (static_cast<float>(i % 16) - 5.0f) * 0.25f;
  EXPECT_EQ(rounded_to_int4(*make_dense_linear(w, out, in, {}), pool)->dequantize(), w);

  w[0] = std::numeric_limits<float>::infinity();
  const auto broken = rounded_to_int4(*make_dense_linear(w, out, in, {}), pool);
  for (Activations activations : {Activations::kInt8, Activations::kF32}) {
    const std::vector<float> y = run(*broken, {pool, arena, active_isa(), activations}, random_floats(in, 8));
    EXPECT_TRUE(std::isnan(y[0]));
    EXPECT_TRUE(std::isfinite(y[1]));
  }
}

}  // namespace
}  // namespace paro
