#include "cli/quantize_training.h"

#include <initializer_list>

#include "base/error.h"

namespace paro::cli {
namespace {

constexpr auto kLayerFlags = {"--epochs",         "--batch",          "--rotation-rate", "--weight-rate",
                              "--quantizer-rate", "--channel-scales", "--finish-epochs"};
constexpr auto kTuningFlags = {"--tune", "--tune-samples", "--tune-batch", "--tune-rate"};

class Given {
 public:
  explicit Given(const CLI::App& app) : app_(app) {}
  bool operator()(const char* flag) const { return app_.get_option(flag)->count() > 0; }
  /// value = preset unless the flag was given.
  template <typename T>
  void preset(const char* flag, T& value, T otherwise) const {
    if (!(*this)(flag)) value = otherwise;
  }
  /// Error{kUsage} when one of them was.
  void refuse(std::initializer_list<const char*> flags, const char* reason) const {
    for (const char* flag : flags)
      if ((*this)(flag)) fail_usage("{}: {}", flag, reason);
  }

 private:
  const CLI::App& app_;
};

calib::TunedParameters tuned_parameters(const std::string& list) {
  calib::TunedParameters parameters = {.scales = false};
  for (size_t begin = 0; begin <= list.size();) {
    const size_t end = std::min(list.find(',', begin), list.size());
    const std::string name = list.substr(begin, end - begin);
    begin = end + 1;
    if (name == "scales")
      parameters.scales = true;
    else if (name == "norms")
      parameters.norms = true;
    else if (name == "channels")
      parameters.channels = true;
    else if (name == "angles")
      parameters.angles = true;
    else
      fail_usage("--tune: expected a list of scales, norms, channels, angles, found '{}'", name);
  }
  return parameters;
}

/// The published recipe (docs/quantizing.md).
void apply_paper(const Given& given, calib::QuantizeOptions& options) {
  if (options.method != calib::Method::kParoQuant) fail_usage("--preset paper: needs --method paroquant");
  options.fit = calib::Fit::kTrained;
  given.preset("--samples", options.samples, int64_t{2048});
  given.preset("--seq-len", options.seq_len, int64_t{2048});
  given.preset("--validation", options.validation, int64_t{64});
  given.preset("--share-rotations", options.share_rotations, false);
  given.preset("--transform", options.transform, calib::Transform::kOnline);
  calib::LayerTraining& t = options.training;
  given.preset("--finish-epochs", t.finish_epochs, t.epochs);
}

void apply_efficientqat(const Given& given, calib::QuantizeOptions& options) {
  const double rate = options.bits == 2 ? 2e-5 : 1e-5;
  given.preset("--samples", options.samples, int64_t{4096});
  given.preset("--seq-len", options.seq_len, int64_t{2048});
  given.preset("--validation", options.validation, int64_t{64});
  given.preset("--epochs", options.training.epochs, int64_t{2});
  given.preset("--batch", options.training.batch, int64_t{2});
  given.preset("--weight-rate", options.training.weight_rate, rate);
  given.preset("--quantizer-rate", options.training.quantizer_rate, 1e-4);
  given.preset("--tune-epochs", options.tuning.epochs, int64_t{1});
  given.preset("--tune-batch", options.tuning.batch, int64_t{32});
  given.preset("--tune-rate", options.tuning.rate, rate);
}

}  // namespace

void add_training_flags(CLI::App& app, TrainingFlags& flags, calib::QuantizeOptions& options) {
  calib::LayerTraining& training = options.training;
  calib::Tuning& tuning = options.tuning;
  const char* const trained = "Training";
  app.add_option("--preset", flags.preset,
                 "a set of flags: fast (no training), standard (fast, then end-to-end tuning), paper (the published "
                 "recipe, trained layer by layer); the latter two need a build with LibTorch")
      ->check(CLI::IsMember({"fast", "standard", "paper"}))
      ->capture_default_str();
  app.add_option("--epochs", training.epochs,
                 "of training each layer (paper: 10 for each of two stages; efficientqat: 2)")
      ->check(CLI::Range(0, 1000))
      ->group(trained);
  app.add_option("--finish-epochs", training.finish_epochs,
                 "paper: of its second stage, weights, scales and zero points (as --epochs; 0: without)")
      ->check(CLI::Range(0, 1000))
      ->group(trained);
  app.add_option("--batch", training.batch, "windows of a step of training layers (paper: 16, efficientqat: 2)")
      ->check(CLI::Range(1, 4096))
      ->group(trained);
  app.add_option("--rotation-rate", training.rotation_rate, "learning rate of angles and channel scales (0.05)")
      ->check(CLI::PositiveNumber)
      ->group(trained);
  app.add_option("--weight-rate", training.weight_rate, "learning rate of weights (1e-5)")
      ->check(CLI::NonNegativeNumber)
      ->group(trained);
  app.add_option("--quantizer-rate", training.quantizer_rate,
                 "learning rate of group scales and zero points (paper: 1e-6, efficientqat: 1e-4)")
      ->check(CLI::NonNegativeNumber)
      ->group(trained);
  app.add_option("--channel-scales", flags.channel_scales, "paper: train channel scales: on or off (rotations only)")
      ->check(CLI::IsMember({"on", "off"}))
      ->group(trained);
  app.add_option("--validation", options.validation,
                 "held-out windows that choose the best state (paper, efficientqat: 64, else 8)")
      ->check(CLI::Range(1, 4096))
      ->group(trained);
  app.add_option("--tune-epochs", tuning.epochs,
                 "of end-to-end tuning behind any method but rtn (standard: 4, efficientqat: 1, else 0)")
      ->check(CLI::Range(0, 1000))
      ->group(trained);
  app.add_option("--tune-samples", tuning.samples, "windows to tune on, others than those calibrated on (as --samples)")
      ->check(CLI::Range(1, 1 << 20))
      ->group(trained);
  app.add_option("--tune-batch", tuning.batch, "windows of a step of tuning (8; efficientqat: 32)")
      ->check(CLI::Range(1, 4096))
      ->group(trained);
  app.add_option("--tune-rate", tuning.rate,
                 "its learning rate, relative to each value (1e-3); efficientqat: absolute (1e-5)")
      ->check(CLI::PositiveNumber)
      ->group(trained);
  app.add_option("--tune", flags.tuned, "what it tunes: a list of scales, norms, channels, angles (scales)")
      ->group(trained);
  app.add_option("--products", flags.products, "factors of products while training: f32, bf16, auto (bf16 on a GPU)")
      ->check(CLI::IsMember({"auto", "f32", "bf16"}))
      ->group(trained);
}

void apply_training_flags(const CLI::App& app, const TrainingFlags& flags, calib::QuantizeOptions& options) {
  const Given given(app);
  const bool efficientqat = options.method == calib::Method::kEfficientQat;
  options.training.channel_scales = flags.channel_scales == "on";
  options.tuning.parameters = tuned_parameters(flags.tuned);
  if (flags.preset == "paper") apply_paper(given, options);
  if (flags.preset == "standard") {
    if (efficientqat || options.method == calib::Method::kRtn)
      fail_usage("--preset standard: needs --method paroquant, gptq or awq");
    given.preset("--tune-epochs", options.tuning.epochs, int64_t{4});
  }
  if (efficientqat) {
    given.refuse({"--finish-epochs", "--rotation-rate", "--channel-scales"}, "--method efficientqat has no rotations");
    apply_efficientqat(given, options);
  }
  if (!options.trains_layers())
    given.refuse(kLayerFlags, "trains layers: needs --preset paper or --method efficientqat");
  if (options.tuning.epochs == 0)
    given.refuse(kTuningFlags, "needs end-to-end tuning: --preset standard or --tune-epochs");
  if (!options.trains()) given.refuse({"--validation", "--products"}, "needs a method that trains (see --preset)");
}

}  // namespace paro::cli
