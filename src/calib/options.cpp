#include "calib/options.h"

#include <algorithm>

#include "base/error.h"
#include "calib/mapped_values.h"

namespace paro::calib {

namespace {

Json training_settings(const QuantizeOptions& options) {
  const LayerTraining& t = options.training;
  Json result = {
      {"epochs", t.epochs}, {"batch", t.batch}, {"weight_rate", t.weight_rate}, {"quantizer_rate", t.quantizer_rate}};
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
  const auto is_width = [](int64_t b) { return b == 2 || b == 3 || b == 4 || b == 8; };
  if (!is_width(bits)) fail_usage("--bits {}: expected 2, 3, 4 or 8", bits);
  if (format == "awq" && bits != 4) fail_usage("--bits {}: --format awq holds 4 bits only", bits);
  for (const BitsRule& rule : bits_for) {
    if (!is_width(rule.bits) && rule.bits != 16)
      fail_usage("--bits-for {}={}: expected 2, 3, 4, 8 or 16", rule.pattern, rule.bits);
    if (format == "awq" && rule.bits != 4 && rule.bits != 16)
      fail_usage("--bits-for {}={}: --format awq holds 4 bits (or 16) only", rule.pattern, rule.bits);
  }
  for (const auto& [flag, width] :
       {std::pair("--embedding-bits", embedding_bits), std::pair("--head-bits", head_bits)}) {
    if (!width || *width == 16) continue;
    if (*width != 4 && *width != 8) fail_usage("{} {}: expected 4, 8 or 16", flag, *width);
    if (format != "paroquant")
      fail_usage("{} {}: --format {} keeps embeddings and head in 16 bits; expected --format paroquant", flag, *width,
                 format);
    if (trains()) fail_usage("{} {}: not with training, which keeps embeddings and head as they are", flag, *width);
  }
  if (target_bits && !collects_by_set())
    fail_usage("--target-bits {}: needs --method paroquant or gptq, which calibrate linear by linear", *target_bits);
  if (target_bits && format == "awq")
    fail_usage("--target-bits {}: --format awq holds 4 bits only; expected paroquant or gptq", *target_bits);
  if (tuning.epochs > 0 && method == Method::kRtn) fail_usage("--tune-epochs: --method rtn knows no calibration text");
  if (tuning.epochs > 0 && act_order) fail_usage("--tune-epochs: not with --act-order");
  if (!act_order) return;
  if (method != Method::kGptq) fail_usage("--act-order: expected --method gptq");
  if (format != "gptq")
    fail_usage("--act-order: expected --format gptq (no other says which input is where), found {}", format);
}

int64_t QuantizeOptions::state_bytes() const {
  const double bytes = state_memory < 0.0 ? 0.5 * static_cast<double>(physical_memory_bytes()) : state_memory * 1e9;
  return static_cast<int64_t>(bytes);
}

bool QuantizeOptions::only_four_bits() const {
  return bits == 4 && !target_bits && std::all_of(bits_for.begin(), bits_for.end(), [](const BitsRule& rule) {
           return rule.bits == 4 || rule.bits == 16;
         });
}

QuantizationConfig QuantizeOptions::quantization() const {
  return {.method = format, .bits = bits, .group_size = group_size, .rotations = rotations, .act_order = act_order};
}

const char* method_name(Method method) {
  const char* const names[] = {"paroquant", "gptq", "rtn", "awq", "efficientqat"};
  return names[static_cast<int>(method)];
}

Json QuantizeOptions::settings() const {
  const char* const corrections[] = {"full", "target", "off"};
  Json result = {{"method", method_name(method)}, {"bits", bits}, {"group_size", group_size}, {"format", format}};
  for (const BitsRule& rule : bits_for) result["bits_for"].push_back(fmt::format("{}={}", rule.pattern, rule.bits));
  if (target_bits) result["target_bits"] = *target_bits;
  if (embedding_bits) result["embedding_bits"] = *embedding_bits;
  if (head_bits) result["head_bits"] = *head_bits;
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
  for (const CalibrationFile& file : calibration) files.push_back(file.label());
  result["calibration"] = files.empty() ? Json("sampled from the model itself") : files;
  result["samples"] = samples;
  result["seq_len"] = seq_len;
  result["seed"] = seed;
  return result;
}

}  // namespace paro::calib
