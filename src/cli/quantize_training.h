// The flags of `paro quantize` that say what is trained, and the presets: sets of values for flags that were not given.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "calib/options.h"

namespace paro::cli {

struct TrainingFlags {
  std::string preset = "fast";
  std::string channel_scales = "on";
  std::string tuned = "scales";
  std::string products = "auto";
};

/// Flags write into `flags` and `options`; both live as long as `app` is used.
void add_training_flags(CLI::App& app, TrainingFlags& flags, calib::QuantizeOptions& options);

/// After parsing, with options.method and options.bits set: fills in what the preset (and Method::kEfficientQat) says
/// where the command line says nothing. Error{kUsage} for flags that have nothing to act on.
void apply_training_flags(const CLI::App& app, const TrainingFlags& flags, calib::QuantizeOptions& options);

}  // namespace paro::cli
