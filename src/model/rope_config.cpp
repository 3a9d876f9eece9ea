#include "model/rope_config.h"

#include <string>

#include "base/error.h"

namespace paro {
namespace {

using Scaling = RopeConfig::Scaling;

constexpr int64_t kMaxPositions = int64_t{1} << 30;

const Json kNothing = Json::object();

/// The object that holds the settings, and the name errors give it.
ConfigReader settings_of(const ConfigReader& config) {
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const Json* value = config.find(key);
    if (value == nullptr) continue;
    const std::string place = fmt::format("{}: \"{}\"", config.place(), key);
    if (!value->is_object()) fail_input("{}: expected an object, found {}", place, json_kind(*value));
    if (value->empty()) continue;
    for (const auto& [name, inner] : value->items())
      if (inner.is_object()) fail_input("{}: settings per layer type (\"{}\") are not supported", place, name);
    return ConfigReader(*value, place);
  }
  return ConfigReader(kNothing, config.place());
}

Scaling kind_of(const ConfigReader& settings) {
  const std::string kind = settings.text("rope_type", settings.text("type", "default"));
  if (kind == "default") return Scaling::kNone;
  if (kind == "linear") return Scaling::kLinear;
  if (kind == "dynamic") return Scaling::kDynamic;
  if (kind == "llama3") return Scaling::kLlama3;
  if (kind == "yarn") return Scaling::kYarn;
  fail_input("{}: \"rope_type\": expected default, linear, dynamic, llama3 or yarn, found \"{}\"", settings.place(),
             kind);
}

void parse_llama3(const ConfigReader& settings, RopeConfig& rope) {
  rope.low_freq_factor = settings.number("low_freq_factor", 0.0);
  rope.high_freq_factor = settings.number("high_freq_factor", 0.0);
  if (rope.high_freq_factor <= rope.low_freq_factor)
    fail_input("{}: \"high_freq_factor\": expected more than \"low_freq_factor\" ({}), found {}", settings.place(),
               rope.low_freq_factor, rope.high_freq_factor);
}

/// A beta that is 0 or null means its default, as in transformers.
double beta(const ConfigReader& settings, const char* key, double fallback) {
  const double value = settings.number(key, fallback, -1.0);
  if (value < 0.0) fail_input("{}: \"{}\": expected a positive number, found {}", settings.place(), key, value);
  return value == 0.0 ? fallback : value;
}

void parse_yarn(const ConfigReader& settings, RopeConfig& rope) {
  rope.beta_fast = beta(settings, "beta_fast", 32.0);
  rope.beta_slow = beta(settings, "beta_slow", 1.0);
  rope.attention_factor = settings.number("attention_factor", 0.0, 0.0);
  rope.mscale = settings.number("mscale", 0.0, -1e6);
  rope.mscale_all_dim = settings.number("mscale_all_dim", 0.0, -1e6);
  rope.truncate = settings.boolean("truncate", true);
}

}  // namespace

RopeConfig parse_rope_config(const ConfigReader& config, double default_theta, int64_t max_positions,
                             int64_t head_dim) {
  const ConfigReader settings = settings_of(config);
  RopeConfig rope;
  // At theta 1 every pair turns at one speed and yarn divides by log(1).
  rope.theta = settings.number("rope_theta", config.number("rope_theta", default_theta, 1.0), 1.0);
  const double partial =
      settings.number("partial_rotary_factor", config.number("partial_rotary_factor", 1.0, 0.0), 0.0);
  if (partial != 1.0)
    fail_input("{}: \"partial_rotary_factor\": expected 1 for this model_type, found {}", settings.place(), partial);
  rope.scaling = kind_of(settings);
  if (rope.scaling == Scaling::kNone) return rope;

  const int64_t inner = settings.integer("original_max_position_embeddings", max_positions, 1, kMaxPositions);
  rope.original_max_positions = config.integer("original_max_position_embeddings", inner, 1, kMaxPositions);
  // yarn without a factor: the ratio of the context lengths.
  const bool implied = rope.scaling == Scaling::kYarn && !settings.has("factor");
  rope.factor = implied ? static_cast<double>(max_positions) / static_cast<double>(rope.original_max_positions)
                        : settings.number("factor", 0.0);
  if (rope.scaling == Scaling::kLlama3) parse_llama3(settings, rope);
  if (rope.scaling == Scaling::kYarn) parse_yarn(settings, rope);
  if (rope.scaling == Scaling::kDynamic) {
    if (head_dim <= 2) fail_input("{}: dynamic scaling needs a head_dim above 2, found {}", settings.place(), head_dim);
    if (rope.factor < 1.0)
      fail_input("{}: \"factor\": expected at least 1 for dynamic scaling, found {}", settings.place(), rope.factor);
  }
  return rope;
}

}  // namespace paro
