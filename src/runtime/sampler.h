// From logits to the next token: penalties, temperature, top-k, top-p, min-p, a seeded draw. Order and meaning of the
// filters are those of transformers. The draw takes a number u in [0, 1) and walks the kept tokens in the order of
// their ids until their weights pass u times their sum. Nothing here sorts the vocabulary: maxima of blocks of logits
// bound what can be kept, and the last kept token is found by selection.
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
    double weight;  // exp((logit - max) / temperature)
    /// Greater logits first, of equal ones the lower id.
    bool before(const Candidate& other) const { return logit != other.logit ? logit > other.logit : id < other.id; }
  };
  std::span<const float> penalised(std::span<const float> logits);
  int32_t draw(std::span<const float> logits);
  int32_t draw_from_all(std::span<const float> logits);
  int32_t draw_from_candidates();
  double uniform();
  double weight(float logit) const;
  float reach(double distance) const;
  double weigh_blocks(std::span<const float> logits);
  float kth_maximum(int64_t k, float least);
  float mass_threshold(std::span<const float> logits, double needed, float least);
  void gather(std::span<const float> logits, float least);
  double weigh_candidates();
  void keep_top_k(size_t k);
  void keep_top_p(double needed);
  void keep_until(const Candidate& last);

  SamplingParams params_;
  std::mt19937_64 random_;
  struct Counts {
    bool prompt = false;
    int32_t answer = 0;
  };
  std::unordered_map<int32_t, Counts> counts_;
  std::vector<float> adjusted_;
  // Of one call; members so that the token loop allocates nothing.
  float max_ = 0.0f;
  std::vector<float> maxima_;          // of blocks of logits (runtime/scores.h)
  std::vector<double> block_weights_;  // sums of weights of blocks
  std::vector<float> order_;           // maxima_, in an order that selection leaves
  std::vector<uint32_t> histogram_;
  std::vector<Candidate> candidates_;  // by id
  std::vector<Candidate> selection_;   // candidates_, in an order that selection leaves
};

/// Index of the largest logit, the first of equals. Throws Error{kInput} when one is NaN or infinite.
int32_t greedy_token(std::span<const float> logits);

}  // namespace paro
