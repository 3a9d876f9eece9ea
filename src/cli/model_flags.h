// Flags that commands which run a model share: the model itself, activations, context, sampling.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "runtime/engine.h"
#include "runtime/generate.h"

namespace paro::cli {

/// How products are computed and the cache is kept, and whether packed weights are.
struct PrecisionFlags {
  std::string activations = "int8";
  std::string head_bits = "auto";
  int kv_bits = 16;
  bool no_prepared_cache = false;

  void add(CLI::App& app);
  void apply(EngineOptions& options) const;
};

struct ModelFlags {
  std::string model;
  PrecisionFlags precision;
  int64_t context = 0;

  void add(CLI::App& app, bool with_context = true);
  EngineOptions engine_options(const CommonFlags& common) const;
  /// Loads `model`.
  std::unique_ptr<Engine> load(const CommonFlags& common) const;
};

struct SamplingFlags {
  std::optional<double> temperature;
  std::optional<int64_t> top_k;
  std::optional<double> top_p;
  std::optional<double> min_p;
  std::optional<double> repetition_penalty;
  std::optional<double> presence_penalty;
  std::optional<double> frequency_penalty;
  std::optional<uint64_t> seed;
  std::vector<std::string> stop;
  bool ignore_eos = false;

  void add(CLI::App& app);
  /// What was given on the command line, `base` for the rest. Throws Error{kUsage} for values out of range.
  SamplingParams over(SamplingParams base) const;
};

/// The text behind --prompt: TEXT, or @FILE, or with "-" standard input.
std::string prompt_text(const std::string& argument);
/// A fresh seed for runs that name none.
uint64_t random_seed();

}  // namespace paro::cli
