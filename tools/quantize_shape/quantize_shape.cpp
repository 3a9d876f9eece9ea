// Times `paro quantize --preset fast` on random weights in the shape of a known model: some layers, step by step.
// Usage: paro_quantize_shape SHAPE [LAYERS [SAMPLES [SEQ_LEN [GROUP [DEVICE [FORWARD MOMENTS]]]]]]
//   DEVICE cpu or cuda; FORWARD and MOMENTS (cuda): f32 or split3, how products are computed
#include <cstdio>
#include <cstdlib>

#include "base/error.h"
#include "calib/cpu_device.h"
#include "calib/layer_pipeline.h"
#include "calib/numeric/random.h"
#include "model/random_model.h"
#include "timed_device.h"
#ifdef PARO_CUDA
#include "calib/cuda/cuda_device.h"
#endif

namespace paro::calib {
namespace {

/// Floating-point operations of one layer's products (a multiply-add is two): both streams' linears and attention
/// (causal half), H's upper triangle and the cross moments.
double operations(const ModelConfig& c, double tokens, double seq_len) {
  const auto dim = static_cast<double>(c.dim);
  const auto q = static_cast<double>(c.heads * c.head_dim);
  const auto kv = static_cast<double>(c.kv_heads * c.head_dim);
  const auto ffn = static_cast<double>(c.ffn_dim);
  const double weights = dim * (2 * q + 2 * kv) + 3 * dim * ffn;
  const double moments = (2 * dim * dim + q * q + ffn * ffn) / 2 + 2 * dim * dim + q * dim + ffn * dim;
  return 2.0 * tokens * (2 * weights + moments + 2 * q * seq_len);
}

int run(const std::vector<std::string>& arguments) {
  const auto argument = [&](size_t i, const char* otherwise) {
    return i < arguments.size() ? arguments[i] : std::string(otherwise);
  };
  const auto number = [&](size_t i, const char* otherwise) { return std::stoll(argument(i, otherwise)); };
  const std::string shape = argument(0, "smollm2-135m");
  QuantizeOptions options;
  options.samples = number(2, "128");
  options.seq_len = number(3, "2048");
  options.group_size = number(4, "64");
  const ModelConfig config = parse_model_config(random_shape_config(shape, RandomFormat::kDense), shape);
  const int64_t layers = std::min<int64_t>(number(1, "2"), config.layers);
  const auto source = make_random_weights(config);

  std::unique_ptr<Device> inner;
  std::function<void()> wait = [] {};
  if (argument(5, "cpu") == "cpu") {
    inner = make_cpu_device(0);
  } else {
#ifdef PARO_CUDA
    inner = make_cuda_device(0, {products_named(argument(6, "f32")), products_named(argument(7, "f32"))});
    wait = [] { cuda_check(cudaDeviceSynchronize(), "synchronizing"); };
#else
    fail_limit("this build has no CUDA");
#endif
  }
  TimedDevice device(*inner, wait);
  const auto seconds = [begin = std::chrono::steady_clock::now()] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  Random random(1);
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < options.samples * options.seq_len; ++i)
    ids.push_back(static_cast<int32_t>(random.below(config.vocab_size)));
  const int64_t tokens = std::ssize(ids);
  const LinearBits bits(options);
  EndTables tables(options, config, *source);
  // Everything online: the most there is to fit.
  LayerPipeline pipeline(options, bits, config, *source, tables, device,
                         Streams(config, std::move(ids), options.seq_len, true, device), {true, true, true, true});
  device.wait();
  std::printf("%s, %s tokens %lld, group %lld: start %.2f s\n", shape.c_str(), device.fingerprint().dump().c_str(),
              static_cast<long long>(tokens), static_cast<long long>(options.group_size), seconds());
  const double work = operations(config, static_cast<double>(tokens), static_cast<double>(options.seq_len));
  for (int64_t layer = 0; layer < layers; ++layer) {
    const double before = seconds();
    const QuantizedLayer result = pipeline.quantize(layer);
    device.wait();
    const double took = seconds() - before;
    std::printf("layer %lld: %.3f s, %.1f TFLOP of products, %.1f TFLOP/s; %lld layers would take %.0f s\n",
                static_cast<long long>(layer), took, work / 1e12, work / took / 1e12,
                static_cast<long long>(config.layers), took * static_cast<double>(config.layers));
    double steps = 0.0;
    for (const auto& [step, spent] : device.take()) {
      std::printf("  %-14s %8.3f s\n", step.c_str(), spent);
      steps += spent;
    }
    std::printf("  %-14s %8.3f s\n", "model", took - steps);
    for (const SetReport& set : result.sets)
      std::printf("  loss %.3e, to nearest %.3e, fit %.3f\n", set.losses.rounded, set.losses.rtn, set.losses.fit);
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace paro::calib

int main(int argc, char** argv) {
  try {
    return paro::calib::run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "paro_quantize_shape: %s\n", error.what());
    return 1;
  }
}
