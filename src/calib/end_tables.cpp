#include "calib/end_tables.h"

#include "base/error.h"
#include "base/log.h"

namespace paro::calib {
namespace {

const char* const kEmbedding = "model.embed_tokens";
const char* const kHead = "lm_head";
constexpr double kDamping = 0.01;  // as of the layers' targets

}  // namespace

EndBits end_bits(const QuantizeOptions& options, const ModelConfig& config) {
  EndBits bits = {options.embedding_bits.value_or(16), options.head_bits.value_or(16)};
  if (config.tied_embeddings) {
    if (options.embedding_bits && options.head_bits && bits.embedding != bits.head)
      fail_usage(
          "--embedding-bits {} --head-bits {}: the model's embeddings are tied, one table serves both; expected "
          "the same bits (or --transform hybrid, which unties them)",
          bits.embedding, bits.head);
    bits.embedding = bits.head = options.embedding_bits ? bits.embedding : bits.head;
  }
  if ((bits.embedding == 4 || bits.head == 4) && config.dim % kRowTableInputs != 0)
    fail_input("{}: 4 bits need a model dimension that is a multiple of {}, found {}; use 8",
               bits.embedding == 4 ? "--embedding-bits 4" : "--head-bits 4", kRowTableInputs, config.dim);
  return bits;
}

EndTables::EndTables(const QuantizeOptions& options, const ModelConfig& config, const WeightSource& base)
    : options_(options), config_(config), base_(base), bits_(end_bits(options, config)) {
  if (bits_.embedding < 16) add(kEmbedding, to_nearest(kEmbedding, bits_.embedding));
}

bool EndTables::round_head(const Model& ends, Streams& streams, Device& device) {
  if (bits_.head == 16 || config_.tied_embeddings) return false;
  const Linear& head = *ends.head;
  // Rounding holds the weight about four times in f32.
  const bool fits = device.can_keep(4 * head.out * head.in * static_cast<int64_t>(sizeof(float)));
  if (bits_.head == 8 || !options_.collects_by_set() || !fits) {
    if (bits_.head == 4 && !fits) log_info("the head is rounded to nearest: more would take too much memory");
    add(kHead, to_nearest(kHead, bits_.head));
    return true;
  }
  Ops& ops = device.ops();
  const bool corrected = options_.corrected();
  const auto sums = device.make_sums(head.in, corrected ? head.in : 0);
  const auto eps = static_cast<float>(config_.norm_eps);
  streams.for_each([&](const Streams::Part& part) {
    if (part.held_out) return;
    const OpsScope scope(ops);
    const Tensor x = ops.rms_norm(part.quantized, *ends.final_norm, eps);
    const float* wanted = corrected ? ops.rms_norm(part.full, *ends.final_norm, eps).f32() : nullptr;
    sums->add(x.f32(), wanted, x.rows);
  });
  device.complete(*sums);
  const auto h = device.second_moment(*sums, kHead);
  const auto weight = device.weight_of(head);
  WeightMatrix* const weights[] = {weight.get()};
  if (corrected) device.correct(weights, *sums, CrossMoment::kInputs, *h, kDamping, kHead);
  RoundOptions round;
  round.group_size = kRoundedInt4Group;
  round.levels = QuantizeOptions::levels(4);
  round.clip = options_.clip;
  round.sweeps = options_.sweeps;
  const Rounded rounded = device.round(*weight, *identity_rotation(head.in, kRoundedInt4Group), h.get(), round);
  add(kHead, row_table_of_codes(rounded.codes, rounded.zeros, rounded.scales, head.out, head.in));
  return true;
}

ThreadPool& EndTables::pool() {
  if (cpu_ == nullptr) cpu_ = make_cpu_ops({.threads = options_.threads});
  return thread_pool_of(*cpu_);
}

RowTableBytes EndTables::to_nearest(const std::string& name, int64_t bits) {
  const std::string weight = name + ".weight";
  return round_row_table(base_.load(weight).view, bits, pool(), base_.place(weight) + ": " + weight);
}

void EndTables::add(const std::string& name, RowTableBytes table) {
  ReplacedTensor meaning = {name + ".weight", {table.rows, table.in}, table.dequantize()};
  std::vector<ReplacedTensor> one;
  one.push_back(std::move(meaning));
  replaced_.push_back(std::make_unique<ReplacedSource>(source(), std::move(one)));
  tables_.push_back({name, std::make_shared<const RowTableBytes>(std::move(table))});
}

}  // namespace paro::calib
