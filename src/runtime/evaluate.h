// Perplexity of a text, and the divergence of a model from its teacher on it. The text is tokenized once, without
// special tokens, and cut into windows without overlap (a last partial one is dropped), each run from an empty context
// and scored from its second token on, as GPTQ and its successors do.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/engine.h"

namespace paro {

struct EvalOptions {
  int64_t window = 2048;
  int64_t limit_tokens = 0;  // 0: the whole text
  const std::atomic<bool>* cancel = nullptr;
};

struct PerplexityResult {
  double perplexity = 0.0;  // exp of the mean negative log-likelihood over the scored tokens
  int64_t tokens = 0;       // scored: (window - 1) for each window
  int64_t windows = 0;
  double seconds = 0.0;
  bool cancelled = false;
};

struct KlResult {
  PerplexityResult student;
  double teacher_perplexity = 0.0;
  double kl_mean = 0.0;         // nats, KL(teacher || student), over all positions of all windows
  double kl_p99 = 0.0;          // its 99th percentile
  double top1_agreement = 0.0;  // share of positions where both have the same most likely token
  int64_t positions = 0;
};

/// What running the weights in less than full precision adds to the divergence.
struct PrecisionLoss {
  std::string what;             // "activations", "head", "kv_cache"
  double kl = 0.0;              // nats; may be below 0 by chance
  std::optional<double> share;  // of the weights' KL; none where that is 0
};

struct PrecisionResult {
  double weights_kl = 0.0;            // with f32 activations, the head as stored, and a cache of 16 bits
  std::vector<PrecisionLoss> losses;  // each on top of those before it; empty when the engine runs so anyway
  int64_t positions = 0;
  int64_t windows = 0;
  double seconds = 0.0;
  bool cancelled = false;
};
/// What int8 activations may add, as a share of the weights' KL.
constexpr double kActivationShareLimit = 0.05;

/// Ids of the texts, each tokenized on its own, joined.
std::vector<int32_t> eval_ids(const Engine& engine, std::span<const std::string> texts);

/// Throws Error{kInput} for a text shorter than a window or logits that are not finite, Error{kUsage} for a window
/// that the model's context cannot hold.
PerplexityResult evaluate_perplexity(const Engine& engine, std::span<const int32_t> ids, const EvalOptions& options);
/// Both models run window by window; the teacher with f32 activations, a head as stored (where that was kept) and a
/// cache of 16 bits. Throws Error{kInput} when their vocabularies differ.
KlResult evaluate_kl(const Engine& student, const Engine& teacher, std::span<const int32_t> ids,
                     const EvalOptions& options);

/// KL(teacher || student) of the weights alone, and what the precision of `student`'s activations, head (which it must
/// have kept: EngineOptions::keep_stored_head) and cache add one after another. The teacher runs once for all of them.
PrecisionResult evaluate_precision(const Engine& student, const Engine& teacher, std::span<const int32_t> ids,
                                   const EvalOptions& options);

}  // namespace paro
