#include "train/torch_trainer.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <c10/util/Exception.h>
#include <torch/version.h>

#include <chrono>

#include "base/error.h"
#include "base/topology.h"
#include "train/layer_trainer.h"
#include "train/tuning.h"

namespace paro::train {
namespace {

at::Device device_of(const std::string& name) {
  if (name == "cpu" || (name == "auto" && !at::hasCUDA())) return at::kCPU;
  if (!at::hasCUDA())
    fail_limit("--device {}: this LibTorch ({}) sees no CUDA device; use --device cpu", name, TORCH_VERSION);
  return at::Device(name == "auto" ? "cuda" : name);
}

/// LibTorch's errors as ours: memory that ran out is a limit.
template <typename Work>
auto translated(Work work) {
  try {
    return work();
  } catch (const c10::Error& error) {
    const std::string message = error.what_without_backtrace();
    if (message.find("memory") != std::string::npos)
      fail_limit(
          "out of memory while training ({}); use a smaller --batch or --tune-batch, a shorter --seq-len or fewer "
          "--samples",
          message.substr(0, message.find('\n')));
    throw;
  }
}

class TranslatedLayers : public calib::LayerQuantizer {
 public:
  explicit TranslatedLayers(std::unique_ptr<calib::LayerQuantizer> inner) : inner_(std::move(inner)) {}
  calib::QuantizedLayer quantize(int64_t index) override {
    return translated([&] { return inner_->quantize(index); });
  }
  void replay(int64_t index, const calib::QuantizedLayer& layer) override {
    translated([&] { inner_->replay(index, layer); });
  }
  std::vector<float> logits(int64_t tokens) override {
    return translated([&] { return inner_->logits(tokens); });
  }

 private:
  std::unique_ptr<calib::LayerQuantizer> inner_;
};

class TorchTrainer : public calib::Trainer {
 public:
  explicit TorchTrainer(const TorchOptions& options) : options_(options) {}

  std::unique_ptr<calib::LayerQuantizer> layer_trainer(calib::TrainingTask task) override {
    return translated(
        [&] { return std::make_unique<TranslatedLayers>(make_layer_trainer(std::move(task), options_)); });
  }
  calib::TunedModel tune(const calib::TrainingTask& task, std::vector<calib::QuantizedLayer> layers,
                         int64_t logit_tokens) override {
    const bool published = task.options.method == calib::Method::kEfficientQat;
    const TuneLoss loss = published ? TuneLoss::kNextToken : TuneLoss::kDivergence;
    return translated([&] { return tune_end_to_end(task, std::move(layers), logit_tokens, loss, options_); });
  }
  Json fingerprint() const override {
    return {{"torch", TORCH_VERSION},
            {"torch_device", options_.device.str()},
            {"torch_threads", at::get_num_threads()},
            {"products", options_.products == at::kFloat ? "f32" : "bf16"}};
  }
  double measure_rate() override;

 private:
  TorchOptions options_;
};

double TorchTrainer::measure_rate() {
  const int64_t n = options_.device.is_cpu() ? 1024 : 8192;
  const at::Tensor a = at::ones({n, n}, at::TensorOptions(options_.device).dtype(options_.products));
  at::mm(a, a);
  const auto start = std::chrono::steady_clock::now();
  // Reading a value waits for the device.
  const double value = at::mm(at::mm(a, a), a)[0][0].item<double>();
  PARO_CHECK(value > 0.0);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  // What lies between the products takes as long again.
  return 0.5 * 4.0 * static_cast<double>(n * n * n) / seconds;
}

}  // namespace

std::unique_ptr<calib::Trainer> make_trainer(const std::string& device, int threads, Products products) {
  TorchOptions options;
  options.device = device_of(device);
  const bool bf16 = products == Products::kBf16 || (products == Products::kAuto && options.device.is_cuda());
  options.products = bf16 ? at::kBFloat16 : at::kFloat;
  at::set_num_threads(threads > 0 ? threads : physical_cores());
  return std::make_unique<TorchTrainer>(options);
}

}  // namespace paro::train
