#include "runtime/evaluate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/progress.h"
#include "base/threads.h"
#include "runtime/scores.h"

namespace paro {
namespace {

// Rows of one step: several short windows share it. At 2,048 rows a layer's activations still fit the memory of a
// small machine, and products have reached their full speed.
constexpr int64_t kStepRows = 2048;
// Rows of logits at a time: 256 x 150,000 x 4 bytes = 150 MB.
constexpr int64_t kLogitRows = 256;

/// How a model is run; its weights are the same in every way.
struct RunPrecision {
  Activations activations = Activations::kF32;
  const Linear* head = nullptr;  // instead of the model's own
  KvBits kv_bits = KvBits::k16;
};

RunPrecision as_loaded(const Engine& engine) { return {activations_of(engine.ops()), nullptr, engine.kv_bits()}; }
/// The best there is.
RunPrecision exact(const Engine& engine) { return {Activations::kF32, engine.stored_head(), KvBits::k16}; }

/// Sets the activations of an op set for as long as it lives.
class ActivationsScope {
 public:
  ActivationsScope(Ops& ops, Activations activations) : ops_(ops), before_(activations_of(ops)) {
    set_activations(ops, activations);
  }
  ~ActivationsScope() { set_activations(ops_, before_); }
  ActivationsScope(const ActivationsScope&) = delete;
  ActivationsScope& operator=(const ActivationsScope&) = delete;

 private:
  Ops& ops_;
  Activations before_;
};

/// Runs windows through a model and hands out logits part by part.
class WindowRunner {
 public:
  WindowRunner(const Engine& engine, const RunPrecision& precision, int64_t window, int64_t windows_per_step)
      : engine_(engine), precision_(precision), window_(window) {
    for (int64_t i = 0; i < windows_per_step; ++i)
      caches_.push_back(make_cpu_cache(engine.config(), window, precision.kv_bits));
  }

  /// The last layer's output [ids.size(), dim] of whole windows; lives in the caller's scope.
  Tensor hidden(std::span<const int32_t> ids) {
    segments_.clear();
    for (size_t i = 0; i * static_cast<size_t>(window_) < ids.size(); ++i) {
      caches_[i]->length = 0;
      segments_.push_back({caches_[i].get(), 0, window_});
    }
    Ops& ops = engine_.ops();
    const ActivationsScope activations(ops, precision_.activations);
    const Model& model = engine_.model();
    const Batch batch = {ids, segments_};
    const Tensor x = ops.make(batch.rows(), model.config.dim);
    model.embed(ops, batch, x);
    for (const auto& layer : model.layers) {
      const OpsScope scope(ops);
      layer->forward(ops, x, batch);
    }
    return x;
  }

  /// Logits [count, vocab] of rows begin .. begin + count - 1 of `x`.
  Tensor logits(Tensor x, int64_t begin, int64_t count) {
    rows_.resize(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) rows_[static_cast<size_t>(i)] = begin + i;
    const ActivationsScope activations(engine_.ops(), precision_.activations);
    return engine_.model().logits(engine_.ops(), x, rows_, precision_.head);
  }

 private:
  const Engine& engine_;
  RunPrecision precision_;
  int64_t window_;
  std::vector<std::unique_ptr<KvCache>> caches_;
  std::vector<Segment> segments_;
  std::vector<int64_t> rows_;
};

struct RowResult {
  double student_loss = 0.0;
  double teacher_loss = 0.0;
  double kl = 0.0;
  bool agrees = false;
};

struct Totals {
  double student_loss = 0.0;
  double teacher_loss = 0.0;
  double kl = 0.0;
  int64_t scored = 0;
  int64_t agreeing = 0;
  int64_t windows = 0;
  std::vector<float> kls;
  bool cancelled = false;
};

void require_finite(const RowSum& sum, const Engine& engine) {
  if (!sum.finite) {
    fail_input("{}: its logits are not finite: the weights are damaged or not meant for this software",
               engine.checkpoint().name);
  }
}

/// One student, in one or more precisions, beside its teacher.
class Evaluation {
 public:
  Evaluation(const Engine& student, std::span<const RunPrecision> precisions, const Engine* teacher,
             std::span<const int32_t> ids, const EvalOptions& options)
      : student_(student),
        precisions_(precisions.begin(), precisions.end()),
        teacher_(teacher),
        options_(options),
        window_(options.window),
        vocab_(student.config().vocab_size),
        pool_(thread_pool_of(student.ops())) {
    check(student);
    if (teacher != nullptr) {
      check(*teacher);
      if (teacher->config().vocab_size != vocab_) {
        fail_input("{}: vocabulary of {} tokens; its teacher {} has {}", student.checkpoint().name, vocab_,
                   teacher->checkpoint().name, teacher->config().vocab_size);
      }
    }
    student.check_ids(ids);
    if (options.limit_tokens > 0) ids = ids.first(std::min(ids.size(), static_cast<size_t>(options.limit_tokens)));
    windows_ = static_cast<int64_t>(ids.size()) / window_;
    if (windows_ == 0) fail_input("the text has {} tokens: less than one window of {}", ids.size(), window_);
    ids_ = ids.first(static_cast<size_t>(windows_ * window_));
  }

  /// One for each precision.
  std::vector<Totals> run() {
    const int64_t per_step = std::min(windows_, std::max<int64_t>(1, kStepRows / window_));
    std::vector<std::unique_ptr<WindowRunner>> students;
    for (const RunPrecision& precision : precisions_)
      students.push_back(std::make_unique<WindowRunner>(student_, precision, window_, per_step));
    std::unique_ptr<WindowRunner> teacher;
    if (teacher_ != nullptr) teacher = std::make_unique<WindowRunner>(*teacher_, exact(*teacher_), window_, per_step);
    Progress progress(students.size() == 1 ? "evaluating" : "comparing precisions", windows_);
    std::vector<Totals> totals(students.size());
    for (int64_t at = 0; at < windows_; at += per_step) {
      if (options_.cancel != nullptr && *options_.cancel) {
        for (Totals& t : totals) t.cancelled = true;
        break;
      }
      const int64_t count = std::min(per_step, windows_ - at);
      step(ids_.subspan(static_cast<size_t>(at * window_), static_cast<size_t>(count * window_)), students,
           teacher.get(), totals);
      for (Totals& t : totals) t.windows += count;
      const Totals& last = totals.back();
      progress.advance(
          count, fmt::format("perplexity {:.4f}", std::exp(last.student_loss / static_cast<double>(last.scored))));
    }
    return totals;
  }

 private:
  void check(const Engine& engine) const {
    if (window_ < 2) fail_usage("--window: expected at least 2 tokens, found {}", window_);
    if (window_ > engine.config().context_length()) {
      fail_usage("--window {}: the context of {} holds {} tokens", window_, engine.checkpoint().name,
                 engine.config().context_length());
    }
  }

  void step(std::span<const int32_t> ids, std::span<const std::unique_ptr<WindowRunner>> students,
            WindowRunner* teacher, std::span<Totals> totals) {
    const OpsScope scope(student_.ops());
    std::unique_ptr<OpsScope> teacher_scope;
    if (teacher != nullptr && &teacher_->ops() != &student_.ops()) {
      teacher_scope = std::make_unique<OpsScope>(teacher_->ops());
    }
    std::vector<Tensor> x;
    for (const auto& student : students) x.push_back(student->hidden(ids));
    const Tensor y = teacher != nullptr ? teacher->hidden(ids) : Tensor{};
    const auto rows = static_cast<int64_t>(ids.size());
    for (int64_t begin = 0; begin < rows; begin += kLogitRows) {
      const int64_t count = std::min(kLogitRows, rows - begin);
      const OpsScope teacher_part(teacher != nullptr ? teacher_->ops() : student_.ops());
      const Tensor t = teacher != nullptr ? teacher->logits(y, begin, count) : Tensor{};
      for (size_t i = 0; i < students.size(); ++i) {
        const OpsScope part(student_.ops());
        score(ids, begin, count, students[i]->logits(x[i], begin, count).f32(), t.f32(), totals[i]);
      }
    }
  }

  /// The token that row `row` of the step predicts, or -1 for the last of a window.
  int64_t target(std::span<const int32_t> ids, int64_t row) const {
    return (row + 1) % window_ == 0 ? -1 : ids[static_cast<size_t>(row + 1)];
  }

  void score(std::span<const int32_t> ids, int64_t begin, int64_t count, const float* s, const float* t,
             Totals& totals) {
    results_.assign(static_cast<size_t>(count), {});
    pool_.parallel_for(count, 4, [&](int64_t from, int64_t to) {
      for (int64_t i = from; i < to; ++i) {
        RowResult& result = results_[static_cast<size_t>(i)];
        const float* own = s + i * vocab_;
        const int64_t id = target(ids, begin + i);
        const RowSum sum = row_sum(own, vocab_);
        require_finite(sum, student_);
        if (id >= 0) result.student_loss = sum.log_sum_exp - static_cast<double>(own[id]);
        if (t == nullptr) continue;
        const float* other = t + i * vocab_;
        const RowSum other_sum = row_sum(other, vocab_);
        require_finite(other_sum, *teacher_);
        if (id >= 0) result.teacher_loss = other_sum.log_sum_exp - static_cast<double>(other[id]);
        result.kl = row_kl(other, other_sum, own, sum, vocab_);
        result.agrees = row_top(own, vocab_, sum.max) == row_top(other, vocab_, other_sum.max);
      }
    });
    // Added in order: the sums do not depend on the threads.
    for (int64_t i = 0; i < count; ++i) {
      const RowResult& result = results_[static_cast<size_t>(i)];
      totals.student_loss += result.student_loss;
      totals.teacher_loss += result.teacher_loss;
      totals.scored += target(ids, begin + i) >= 0 ? 1 : 0;
      if (t == nullptr) continue;
      totals.kl += result.kl;
      totals.agreeing += result.agrees ? 1 : 0;
      totals.kls.push_back(static_cast<float>(result.kl));
    }
  }

  const Engine& student_;
  std::vector<RunPrecision> precisions_;
  const Engine* teacher_;
  const EvalOptions& options_;
  std::span<const int32_t> ids_;
  int64_t window_;
  int64_t vocab_;
  int64_t windows_ = 0;
  ThreadPool& pool_;
  std::vector<RowResult> results_;
};

PerplexityResult perplexity_of(const Totals& totals, double loss, double seconds) {
  PerplexityResult result;
  result.perplexity = totals.scored > 0 ? std::exp(loss / static_cast<double>(totals.scored)) : 0.0;
  result.tokens = totals.scored;
  result.windows = totals.windows;
  result.seconds = seconds;
  result.cancelled = totals.cancelled;
  return result;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

std::vector<int32_t> eval_ids(const Engine& engine, std::span<const std::string> texts) {
  std::vector<int32_t> ids;
  for (const std::string& text : texts) {
    const std::vector<int32_t> part = engine.tokenizer().encode(text, false);
    ids.insert(ids.end(), part.begin(), part.end());
  }
  return ids;
}

PerplexityResult evaluate_perplexity(const Engine& engine, std::span<const int32_t> ids, const EvalOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const RunPrecision precision = as_loaded(engine);
  const Totals totals = Evaluation(engine, {&precision, 1}, nullptr, ids, options).run().front();
  return perplexity_of(totals, totals.student_loss, seconds_since(start));
}

KlResult evaluate_kl(const Engine& student, const Engine& teacher, std::span<const int32_t> ids,
                     const EvalOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const RunPrecision precision = as_loaded(student);
  Totals totals = Evaluation(student, {&precision, 1}, &teacher, ids, options).run().front();
  KlResult result;
  result.student = perplexity_of(totals, totals.student_loss, seconds_since(start));
  result.teacher_perplexity = perplexity_of(totals, totals.teacher_loss, 0.0).perplexity;
  result.positions = static_cast<int64_t>(totals.kls.size());
  if (result.positions == 0) return result;
  result.kl_mean = totals.kl / static_cast<double>(result.positions);
  result.top1_agreement = static_cast<double>(totals.agreeing) / static_cast<double>(result.positions);
  const auto at = static_cast<int64_t>(0.99 * static_cast<double>(result.positions - 1));
  std::nth_element(totals.kls.begin(), totals.kls.begin() + at, totals.kls.end());
  result.kl_p99 = static_cast<double>(totals.kls[static_cast<size_t>(at)]);
  return result;
}

PrecisionResult evaluate_precision(const Engine& student, const Engine& teacher, std::span<const int32_t> ids,
                                   const EvalOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const RunPrecision loaded = as_loaded(student);
  std::vector<RunPrecision> precisions = {exact(student)};
  std::vector<PrecisionLoss> losses;
  const auto change = [&](std::string what, auto RunPrecision::*part) {
    if (precisions.back().*part == loaded.*part) return;
    precisions.push_back(precisions.back());
    precisions.back().*part = loaded.*part;
    losses.push_back({std::move(what)});
  };
  change("activations", &RunPrecision::activations);
  change("head", &RunPrecision::head);
  change("kv_cache", &RunPrecision::kv_bits);
  PrecisionResult result;
  if (losses.empty()) return result;
  const std::vector<Totals> totals = Evaluation(student, precisions, &teacher, ids, options).run();
  result.windows = totals.front().windows;
  result.positions = static_cast<int64_t>(totals.front().kls.size());
  result.cancelled = totals.front().cancelled;
  result.seconds = seconds_since(start);
  if (result.positions == 0) return result;
  const auto kl = [&](size_t i) { return totals[i].kl / static_cast<double>(result.positions); };
  result.weights_kl = kl(0);
  for (size_t i = 0; i < losses.size(); ++i) {
    losses[i].kl = kl(i + 1) - kl(i);
    if (result.weights_kl > 0.0) losses[i].share = losses[i].kl / result.weights_kl;
  }
  result.losses = std::move(losses);
  return result;
}

}  // namespace paro
