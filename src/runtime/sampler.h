// From logits to the next token: penalties, temperature, top-k, top-p, min-p, a seeded draw. Order and meaning of the
// filters are those of transformers (penalties, temperature, top-k, top-p, min-p). Nothing here sorts the vocabulary.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/json.h"

namespace paro {

struct SamplingParams {
  double temperature = 1.0;         // 0: the most likely token
  int64_t top_k = 0;                // 0: all
  double top_p = 1.0;               // 1: all
  double min_p = 0.0;               // 0: all
  double repetition_penalty = 1.0;  // tokens of prompt and answer: logits divided (positive) or multiplied (negative)
  double presence_penalty = 0.0;    // tokens of the answer: subtracted once
  double frequency_penalty = 0.0;   // tokens of the answer: subtracted for each occurrence
  uint64_t seed = 0;

  /// Throws Error{kUsage} naming the parameter, its range and what was found (NaN included).
  void check() const;
};

/// The sampling settings that a generation_config.json gives (do_sample false: temperature 0); `fallback` for the
/// rest. null: `fallback`. Throws Error{kInput} naming `place` for values of a wrong type or range.
SamplingParams sampling_defaults(const Json& generation_config, const std::string& place,
                                 const SamplingParams& fallback);

/// State of one sequence: its random numbers and the tokens that count for penalties.
class Sampler {
 public:
  explicit Sampler(const SamplingParams& params);

  /// A token of the prompt: counts for the repetition penalty.
  void add_prompt(std::span<const int32_t> ids);
  /// A token of the answer.
  void add_answer(int32_t id);
  /// The next token; logits [vocab]. Equal logits: the lower id first. Throws Error{kInput} for logits that are not
  /// finite (minus infinity is a mask).
  int32_t sample(std::span<const float> logits);

  const SamplingParams& params() const { return params_; }

 private:
  struct Candidate {
    float logit;
    int32_t id;
  };
  std::span<const float> penalised(std::span<const float> logits);
  int32_t draw(std::span<const float> logits, float max);
  void keep_top_k(std::span<const float> logits, float least);
  void keep_top_p(double total);

  SamplingParams params_;
  std::mt19937_64 random_;
  struct Counts {
    bool prompt = false;
    int32_t answer = 0;
  };
  std::unordered_map<int32_t, Counts> counts_;
  std::vector<float> adjusted_;
  std::vector<Candidate> candidates_;
  std::vector<double> weights_;
};

/// Index of the largest logit, the first of equals. Throws Error{kInput} when one is NaN or infinite.
int32_t greedy_token(std::span<const float> logits);

}  // namespace paro
