// Each step of calibration on the GPU against the CPU's (calib/numeric), and a whole run.
#include "calib/cuda/cuda_device.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "backends/cuda/weights.h"
#include "base/dtype.h"
#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "calib/cuda/moments.h"
#include "calib/numeric/correction.h"
#include "calib/numeric/random.h"
#include "calib/numeric/rotate.h"
#include "calib/numeric/statistics.h"
#include "calib/quantize.h"
#include "gpu_test.h"
#include "timed_device.h"
#include "tiny_model.h"

namespace paro::calib {
namespace {

std::vector<float> normals(int64_t count, uint64_t seed, double strong = 1.0) {
  Random random(seed);
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(random.normal() * (i % 13 == 0 ? strong : 1.0));
  return values;
}

/// Inputs that share a component: H is far from diagonal.
std::vector<float> inputs(int64_t rows, int64_t in, uint64_t seed) {
  Random random(seed);
  std::vector<float> x(static_cast<size_t>(rows * in));
  for (int64_t r = 0; r < rows; ++r) {
    const double common = random.normal();
    for (int64_t i = 0; i < in; ++i)
      x[static_cast<size_t>(r * in + i)] =
          static_cast<float>(random.normal() + 1.5 * common * (i % 3 == 0 ? 1.0 : -0.5));
  }
  return x;
}

template <typename T>
std::vector<T> host(const DeviceArray<T>& values) {
  std::vector<T> result(static_cast<size_t>(values.size()));
  values.to_host(result.data());
  return result;
}

template <typename T, typename U>
double relative_error(const std::vector<T>& found, const std::vector<U>& expected) {
  EXPECT_EQ(found.size(), expected.size());
  double difference = 0.0;
  double size = 0.0;
  for (size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(static_cast<double>(found[i]) - static_cast<double>(expected[i]), 2);
    size += std::pow(static_cast<double>(expected[i]), 2);
  }
  return std::sqrt(difference / size);
}

PairRotation rotation_of(int64_t in, int64_t g, uint64_t seed, bool scaled) {
  const PairRounds pairs = make_pairs(PairKind::kRandom, in, g, 8, seed);
  PairRotation rotation{in, g, pairs.rounds, {}, pairs.pairs, {}};
  Random random(seed);
  for (int64_t i = 0; i < pairs.rounds * in / 2; ++i)
    rotation.theta.push_back(f16_to_f32(f32_to_f16(static_cast<float>(random.normal()))));
  for (int64_t i = 0; i < in; ++i)
    rotation.channel_scales.push_back(scaled ? f16_to_f32(f32_to_f16(static_cast<float>(0.5 + random.uniform())))
                                             : 1.0f);
  return rotation;
}

constexpr CudaDeviceOptions kExact = {.forward = CudaProducts::kF32, .moments = CudaProducts::kF32};

class CudaDeviceTest : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (IsSkipped()) return;
    device_ = make_cuda_device(0, kExact);
  }
  DeviceArray<float> on_gpu(const std::vector<float>& values) const {
    DeviceArray<float> result(context(), std::ssize(values));
    result.from_host(values.data());
    // The device has a stream of its own.
    context().synchronize();
    return result;
  }
  /// What CpuStatistics and the device hold after the same two batches.
  void collect(MomentSums& sums, Statistics& statistics, const std::vector<float>& x,
               const std::vector<float>& y) const {
    const int64_t rows = std::ssize(x) / statistics.in();
    const int64_t first = rows / 3;
    const int64_t cross = statistics.cross_rows();
    const DeviceArray<float> gx = on_gpu(x);
    const DeviceArray<float> gy = on_gpu(y);
    sums.add(gx.data(), cross > 0 ? gy.data() : nullptr, first);
    sums.add(gx.data() + first * statistics.in(), cross > 0 ? gy.data() + first * cross : nullptr, rows - first);
    statistics.add(x.data(), y.data(), first);
    statistics.add(x.data() + first * statistics.in(), y.data() + first * cross, rows - first);
    // gx and gy are freed on the other stream: the device must be done with them.
    cuda_check(cudaDeviceSynchronize(), "synchronizing");
  }
  std::unique_ptr<CudaMatrix> matrix(const std::vector<float>& w, int64_t out) const {
    auto result = std::make_unique<CudaMatrix>();
    result->out = out;
    result->in = std::ssize(w) / out;
    result->values = on_gpu(w);
    return result;
  }
  std::unique_ptr<CudaMoment> moment(const SquareMatrix& h) const {
    auto result = std::make_unique<CudaMoment>();
    result->n = h.n;
    for (int64_t i = 0; i < h.n; ++i) result->diagonal.push_back(h.row(i)[i]);
    result->h = DeviceArray<double>(context(), h.n * h.n);
    result->h.from_host(h.data.data());
    context().synchronize();
    return result;
  }
  template <typename T>
  std::vector<T> done(const DeviceArray<T>& values) const {
    cuda_check(cudaDeviceSynchronize(), "synchronizing");
    return host(values);
  }

  ThreadPool pool_{2};
  std::unique_ptr<Device> device_;
};

SquareMatrix moment_of(const std::vector<float>& x, int64_t in, ThreadPool& pool) {
  Statistics statistics(in, 0, pool);
  statistics.add(x.data(), nullptr, std::ssize(x) / in);
  return statistics.second_moment("test");
}

std::vector<float> transposed(const std::vector<float>& w, int64_t out) {
  const int64_t in = std::ssize(w) / out;
  std::vector<float> result(w.size());
  for (int64_t o = 0; o < out; ++o)
    for (int64_t i = 0; i < in; ++i) result[static_cast<size_t>(i * out + o)] = w[static_cast<size_t>(o * in + i)];
  return result;
}

TEST_F(CudaDeviceTest, MomentsAreTheCpus) {
  // More than one panel of rows, and a remainder.
  for (const auto& [in, cross] : {std::pair<int64_t, int64_t>{96, 160}, {2080, 96}}) {
    const int64_t rows = 500;
    const std::vector<float> x = inputs(rows, in, 1);
    const std::vector<float> y = normals(rows * cross, 2);
    for (const CudaProducts products : {CudaProducts::kF32, CudaProducts::kSplit3}) {
      const auto device = make_cuda_device(0, {.forward = CudaProducts::kF32, .moments = products});
      const auto sums = device->make_sums(in, cross);
      Statistics statistics(in, cross, pool_);
      collect(*sums, statistics, x, y);
      const auto h = device->second_moment(*sums, "test");
      const SquareMatrix expected = statistics.second_moment("test");
      // f32 sums of hundreds of terms; with split factors 2^-17 for each of them and for the product left out.
      const double bound = products == CudaProducts::kF32 ? 2e-6 : 3 * 0x1p-17;
      EXPECT_LT(relative_error(done(static_cast<CudaMoment&>(*h).h), expected.data), bound);
      for (int64_t i = 0; i < in; ++i)
        EXPECT_NEAR(h->diagonal[static_cast<size_t>(i)], expected.row(i)[i], 10 * bound * expected.row(i)[i]);
      const auto c = static_cast<CudaSums&>(*sums).cross_moment("test");
      EXPECT_LT(relative_error(done(c), statistics.cross_moment("test")), 10 * bound);
    }
  }
}

TEST_F(CudaDeviceTest, SumsThatAreNotFiniteAreRefused) {
  const auto sums = device_->make_sums(32, 0);
  const DeviceArray<float> x = on_gpu(std::vector<float>(64, INFINITY));
  sums->add(x.data(), nullptr, 2);
  EXPECT_THROW(device_->second_moment(*sums, "layer"), Error);
}

TEST_F(CudaDeviceTest, CorrectionIsTheCpus) {
  const int64_t in = 160, out = 72, rows = 700;
  const std::vector<float> x = inputs(rows, in, 3);
  const std::vector<float> w = normals(out * in, 4);
  for (const CrossMoment cross : {CrossMoment::kInputs, CrossMoment::kOutputs}) {
    const int64_t cross_rows = cross == CrossMoment::kInputs ? in : out;
    const std::vector<float> y = cross == CrossMoment::kInputs ? inputs(rows, in, 5) : normals(rows * out, 5);
    const auto sums = device_->make_sums(in, cross_rows);
    Statistics statistics(in, cross_rows, pool_);
    collect(*sums, statistics, x, y);
    const auto h = device_->second_moment(*sums, "test");
    const auto corrected = matrix(w, out);
    WeightMatrix* const weights[] = {corrected.get()};
    device_->correct(weights, *sums, cross, *h, 0.01, "test");
    const SquareMatrix moment = statistics.second_moment("test");
    const std::vector<double> wanted = statistics.cross_moment("test");
    const std::vector<float> expected =
        corrected_weight(w.data(), out, moment,
                         cross == CrossMoment::kInputs ? excess_from_inputs(w.data(), out, moment, wanted, pool_)
                                                       : excess_from_outputs(w.data(), out, moment, wanted, pool_),
                         0.01, pool_);
    // Moments to 1e-6, made worse by the condition of H + 1 %: some hundreds.
    EXPECT_LT(relative_error(done(corrected->values), expected), 3e-4);
    EXPECT_GT(relative_error(w, expected), 0.1);
  }
}

TEST_F(CudaDeviceTest, RotatedMomentIsTheCpus) {
  for (const bool scaled : {false, true}) {
    const int64_t in = 256;
    SquareMatrix h = moment_of(inputs(900, in, 6), in, pool_);
    const auto rotated = moment(h);
    const PairRotation rotation = rotation_of(in, 128, 7, scaled);
    device_->rotate(*rotated, rotation);
    rotate_second_moment(rotation, h, pool_);
    EXPECT_LT(relative_error(done(rotated->h), h.data), 1e-14);
  }
}

TEST_F(CudaDeviceTest, NearestCodesAndTheirLossAreTheCpus) {
  for (const int64_t g : {32, 64, 128}) {
    const int64_t in = 256, out = 45;
    const std::vector<float> w = normals(out * in, 8, 6.0);
    const PairRotation rotation = rotation_of(in, g, 9, true);
    const Rounded found = device_->round(*matrix(w, out), rotation, nullptr, {.group_size = g});
    std::vector<float> wt = transposed(w, out);
    rotate_transposed(rotation, wt.data(), out, pool_);
    const Kernels& kernels = kernels_for(Isa::kReference);
    const Rounded expected = round_to_nearest(wt, out, {.group_size = g}, kernels, pool_);
    EXPECT_EQ(found.codes, expected.codes);
    EXPECT_EQ(found.scales, expected.scales);
    EXPECT_EQ(found.zeros, expected.zeros);

    const SquareMatrix h = moment_of(inputs(900, in, 10), in, pool_);
    const auto plain = round_to_nearest(transposed(w, out), out, {.group_size = g}, kernels, pool_);
    double loss = 0.0;
    for (int64_t o = 0; o < out; ++o) {
      std::vector<double> e;
      for (int64_t i = 0; i < in; ++i) {
        const auto at = static_cast<size_t>(o * (in / g) + i / g);
        e.push_back((double{static_cast<float>(plain.codes[static_cast<size_t>(o * in + i)])} - plain.zeros[at]) *
                        plain.scales[at] -
                    w[static_cast<size_t>(o * in + i)]);
      }
      for (int64_t i = 0; i < in; ++i)
        for (int64_t j = 0; j < in; ++j) loss += e[static_cast<size_t>(i)] * h.row(i)[j] * e[static_cast<size_t>(j)];
    }
    EXPECT_NEAR(device_->nearest_loss(*matrix(w, out), *moment(h), {.group_size = g}), loss, 1e-4 * loss);
  }
}

TEST_F(CudaDeviceTest, SecondOrderRoundingIsTheCpus) {
  for (const int64_t g : {32, 64, 128})
    for (const int64_t sweeps : {0, 2}) {
      const int64_t in = 384, out = 75;
      const std::vector<float> w = normals(out * in, 11, 4.0);
      const SquareMatrix h = moment_of(inputs(1200, in, 12), in, pool_);
      const PairRotation none = {in,
                                 g,
                                 1,
                                 std::vector<float>(static_cast<size_t>(in / 2)),
                                 make_pairs(PairKind::kRandom, in, g, 0, 0).pairs,
                                 std::vector<float>(static_cast<size_t>(in), 1.0f)};
      const RoundOptions options = {.group_size = g, .sweeps = sweeps};
      const auto device_h = moment(h);
      const Rounded found = device_->round(*matrix(w, out), none, device_h.get(), options);
      const Rounded expected =
          round_second_order(transposed(w, out), out, h, options, kernels_for(Isa::kReference), pool_);
      // A value on the edge between two codes goes another way when a sum's last bit does, and those after it follow.
      size_t equal = 0;
      for (size_t i = 0; i < expected.codes.size(); ++i) equal += found.codes[i] == expected.codes[i] ? 1 : 0;
      EXPECT_GT(static_cast<double>(equal), 0.97 * static_cast<double>(expected.codes.size())) << g << " " << sweeps;
      EXPECT_NEAR(found.loss, expected.loss, 0.01 * expected.loss) << g << " " << sweeps;
      EXPECT_NEAR(found.reference, expected.reference, 1e-4 * expected.reference);
    }
}

TEST_F(CudaDeviceTest, RotationFitReachesTheCpusLoss) {
  for (const int64_t g : {32, 64, 128}) {
    const int64_t in = 2 * g;
    const std::vector<int64_t> outs = {300, 70};
    std::vector<std::unique_ptr<CudaMatrix>> matrices;
    std::vector<const WeightMatrix*> weights;
    std::vector<float> stacked;
    FitProblem expected_problem;
    SharedFit problem;
    for (size_t i = 0; i < outs.size(); ++i) {
      const std::vector<float> w = normals(outs[i] * in, 13 + i, 5.0);
      matrices.push_back(matrix(w, outs[i]));
      weights.push_back(matrices.back().get());
      stacked.insert(stacked.end(), w.begin(), w.end());
      problem.row_weight.push_back(0.5f + static_cast<float>(i));
      expected_problem.row_weight.insert(expected_problem.row_weight.end(), static_cast<size_t>(outs[i]),
                                         problem.row_weight.back());
      expected_problem.out += outs[i];
    }
    problem.weights = weights;
    problem.group_energy = expected_problem.group_energy = {1.5, 0.7};
    expected_problem.weight = stacked.data();
    const PairRounds pairs = make_pairs(PairKind::kRandom, in, g, 8, 15);
    const Kernels& kernels = kernels_for(Isa::kReference);
    const FitResult found = device_->fit(problem, pairs, {});
    const FitResult expected = fit_rotation(expected_problem, pairs, {}, kernels, pool_);
    EXPECT_NEAR(found.loss_before, expected.loss_before, 1e-5 * expected.loss_before) << g;
    // Paths of Adam part where two channels tie; where they end differs little.
    EXPECT_NEAR(found.loss_after, expected.loss_after, 0.01 * expected.loss_after) << g;
    EXPECT_LT(found.loss_after, 0.8 * found.loss_before) << g;
    // After one step from angle 0 both are at the same place: the gradients agree.
    const FitOptions once = {.steps = 1};
    const std::vector<float> a = device_->fit(problem, pairs, once).theta;
    const std::vector<float> b = fit_rotation(expected_problem, pairs, once, kernels, pool_).theta;
    size_t alike = 0;
    for (size_t i = 0; i < a.size(); ++i) alike += std::fabs(a[i] - b[i]) < 1e-4f ? 1 : 0;
    EXPECT_GT(static_cast<double>(alike), 0.98 * static_cast<double>(a.size())) << g;
  }
}

TEST_F(CudaDeviceTest, QuantizedLinearMultipliesWithItsMeaning) {
  const int64_t in = 256, out = 24, g = 64;
  Random random(16);
  Paro4Weight weight;
  weight.in = in;
  weight.out = out;
  weight.group_size = g;
  for (int64_t i = 0; i < out * in; ++i) weight.codes.push_back(static_cast<uint8_t>(random.below(16)));
  for (int64_t i = 0; i < out * in / g; ++i) {
    weight.zeros.push_back(static_cast<uint8_t>(random.below(16)));
    weight.scales.push_back(f16_to_f32(f32_to_f16(static_cast<float>(0.1 + random.uniform()))));
  }
  weight.rotation = std::make_shared<PairRotation>(rotation_of(in, g, 17, true));
  const auto linear = device_->make_linear(weight);
  const auto w = device_->weight_of(*linear);
  EXPECT_LT(relative_error(done(static_cast<CudaMatrix&>(*w).values), dequantize_paro4(weight)), 1e-7);
}

class CudaQuantize : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (IsSkipped()) return;
    set_log_level(LogLevel::kQuiet);
    write_tiny_model(folder_ / "source", {.layers = 3});
    std::string text;
    Random random(18);
    const char* const list[] = {"the ", "river ", "and ", "a ", "stone ", "turns ", "under ", "old ", "doors. "};
    for (int i = 0; i < 2000; ++i) text += list[random.below(9)];
    write_file(folder_ / "text.txt", text);
  }
  void TearDown() override { set_log_level(LogLevel::kInfo); }
  QuantizeOptions options(const std::string& output) const {
    QuantizeOptions o;
    o.model = (folder_ / "source").string();
    o.output = folder_ / output;
    o.group_size = 32;
    o.rotations = 4;
    o.calibration = {folder_ / "text.txt"};
    o.samples = 8;
    o.seq_len = 64;
    o.threads = 2;
    return o;
  }
  Json quantized(const std::string& output, Device* device, bool shared = true) const {
    QuantizeOptions o = options(output);
    o.share_rotations = shared;
    return device == nullptr ? calib::quantize(o) : calib::quantize(o, *device);
  }
  void expect_same_bytes(const std::string& one, const std::string& two) const {
    size_t compared = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / one)) {
      if (entry.path().extension() != ".safetensors") continue;
      EXPECT_EQ(read_file(entry.path()), read_file(folder_ / two / entry.path().filename().string()));
      ++compared;
    }
    EXPECT_GT(compared, 0u);
  }
  TemporaryFolder folder_;
};

TEST_F(CudaQuantize, AWholeRunGivesTheCpusLosses) {
  int run = 0;
  for (const bool shared : {true, false})
    for (const CudaDeviceOptions& options : {kExact, CudaDeviceOptions{}}) {
      const auto device = make_cuda_device(0, options);
      const Json gpu = quantized(fmt::format("gpu{}", run), device.get(), shared);
      const Json cpu = quantized(fmt::format("cpu{}", run++), nullptr, shared);
      // quantize() itself refuses a checkpoint that does not give the stream's logits again.
      EXPECT_LT(gpu["verify_kl"].get<double>(), 1e-5);
      ASSERT_EQ(gpu["layers"].size(), cpu["layers"].size());
      double gpu_loss = 0.0;
      double cpu_loss = 0.0;
      for (size_t layer = 0; layer < cpu["layers"].size(); ++layer)
        for (size_t set = 0; set < 4; ++set) {
          gpu_loss += gpu["layers"][layer]["sets"][set]["loss"].get<double>();
          cpu_loss += cpu["layers"][layer]["sets"][set]["loss"].get<double>();
        }
      EXPECT_NEAR(gpu_loss, cpu_loss, 0.05 * cpu_loss);
    }
}

TEST_F(CudaQuantize, TheSameSeedGivesTheSameBytes) {
  const auto device = make_cuda_device(0);
  quantized("one", device.get());
  quantized("two", device.get());
  expect_same_bytes("one", "two");
}

TEST_F(CudaQuantize, AResumedRunGivesTheSameBytes) {
  const auto device = make_cuda_device(0);
  quantized("whole", device.get());
  QuantizeOptions o = options("parts");
  std::atomic<bool> cancel = false;
  o.cancel = &cancel;
  // Some 110 of these calls make a layer: the second one is broken off.
  int calls = 0;
  TimedDevice counting(*device, [&] { cancel = cancel || ++calls > 150; });
  EXPECT_THROW(calib::quantize(o, counting), Cancelled);
  EXPECT_TRUE(std::filesystem::exists(o.output / ".paro-work" / "layer-00000.json"));
  EXPECT_FALSE(std::filesystem::exists(o.output / ".paro-work" / "layer-00002.json"));
  o.cancel = nullptr;
  o.resume = true;
  calib::quantize(o, *device);
  expect_same_bytes("whole", "parts");
}

}  // namespace
}  // namespace paro::calib
