#include "calib/options.h"

#include "base/error.h"

namespace paro::calib {

namespace {

Json training_settings(const QuantizeOptions& options) {
  const LayerTraining& t = options.training;
  Json result = {{"epochs", t.epochs},
                 {"batch", t.batch},
                 {"weight_rate", t.weight_rate},
                 {"quantizer_rate", t.quantizer_rate}};
  if (options.method == Method::kEfficientQat) return result;
  result["finish_epochs"] = t.finish_epochs;
  result["rotation_rate"] = t.rotation_rate;
  result["channel_scales"] = t.channel_scales;
  return result;
}

Json tuning_settings(const QuantizeOptions& options) {
  const Tuning& t = options.tuning;
  Json parameters = Json::array();
  if (t.parameters.scales) parameters.push_back("scales");
  if (t.parameters.norms) parameters.push_back("norms");
  if (t.parameters.channels) parameters.push_back("channels");
  if (t.parameters.angles) parameters.push_back("angles");
  return {{"epochs", t.epochs},
          {"samples", options.tuning_samples()},
          {"batch", t.batch},
          {"rate", t.rate},
          {"parameters", parameters}};
}

}  // namespace

void QuantizeOptions::check() const {
  const bool merged = method == Method::kParoQuant && transform == Transform::kMerged;
  if (format != "paroquant" && rotations > 0 && !merged)
    fail_usage(
        "--format {}: holds no rotations; expected --transform merged, --rotations 0 or a method without them "
        "(awq, gptq, rtn)",
        format);
  if (bits < 2 || bits > 4) fail_usage("--bits {}: expected 2, 3 or 4", bits);
  if (format == "awq" && bits != 4) fail_usage("--bits {}: --format awq holds 4 bits only", bits);
  if (tuning.epochs > 0 && method == Method::kRtn) fail_usage("--tune-epochs: --method rtn knows no calibration text");
  if (tuning.epochs > 0 && act_order) fail_usage("--tune-epochs: not with --act-order");
  if (!act_order) return;
  if (method != Method::kGptq) fail_usage("--act-order: expected --method gptq");
  if (format != "gptq")
    fail_usage("--act-order: expected --format gptq (no other says which input is where), found {}", format);
}

QuantizationConfig QuantizeOptions::quantization() const {
  return {.method = format, .bits = bits, .group_size = group_size, .rotations = rotations, .act_order = act_order};
}

Json QuantizeOptions::settings() const {
  const char* const methods[] = {"paroquant", "gptq", "rtn", "awq", "efficientqat"};
  const char* const corrections[] = {"full", "target", "off"};
  Json result = {
      {"method", methods[static_cast<int>(method)]}, {"bits", bits}, {"group_size", group_size}, {"format", format}};
  if (!skip.empty()) result["skip"] = skip;
  if (method == Method::kRtn) return result;
  if (!trains_layers()) result["clip"] = clip;
  const char* const transforms[] = {"online", "hybrid", "merged"};
  if (method == Method::kParoQuant) result["transform"] = transforms[static_cast<int>(transform)];
  if (collects_by_set()) {
    result["correction"] = corrections[static_cast<int>(correction)];
    result["sweeps"] = sweeps;
    result["act_order"] = act_order;
  }
  if (method != Method::kAwq && method != Method::kEfficientQat) result["rotations"] = rotations;
  if (rotations > 0) {
    const char* const kinds[] = {"random", "butterfly", "magnitude"};
    result["pairs"] = kinds[static_cast<int>(pairs)];
    if (pair_fraction < 1.0) result["pair_fraction"] = pair_fraction;
    result["share_rotations"] = share_rotations;
  }
  if (trains_layers()) result["training"] = training_settings(*this);
  if (tuning.epochs > 0) result["tuning"] = tuning_settings(*this);
  if (trains()) result["validation"] = validation;
  Json files = Json::array();
  for (const auto& file : calibration) files.push_back(file.filename().string());
  result["calibration"] = files.empty() ? Json("sampled from the model itself") : files;
  result["samples"] = samples;
  result["seq_len"] = seq_len;
  result["seed"] = seed;
  return result;
}

}  // namespace paro::calib
