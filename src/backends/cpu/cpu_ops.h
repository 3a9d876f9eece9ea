// The CPU's op set, weight factory and KV cache.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/attention/attention.h"
#include "model/model.h"
#include "model/ops.h"
#include "quant/cpu_linear.h"

namespace paro {

struct CpuOptions {
  int threads = 0;  // 0: physical cores
  Activations activations = Activations::kInt8;
  bool profile = false;  // time every operation
};

/// f32 activations; any CpuLinear as weights. One step at a time: an op set is not for several threads.
std::unique_ptr<Ops> make_cpu_ops(const CpuOptions& options = {});
/// Weights stay mapped or are packed for the kernels; `quantization` of the model's config. What `help`
/// points to must outlive the factory.
std::unique_ptr<WeightFactory> make_cpu_weight_factory(const QuantizationConfig& quantization,
                                                       const LoadHelp& help = {});
/// Keys and values for `capacity` positions. Memory is reserved, and touched as it fills; Error{kLimit} when the system
/// cannot promise it, Error{kInput} for heads too large for 8 bits.
std::unique_ptr<KvCache> make_cpu_cache(const ModelConfig& config, int64_t capacity, KvBits bits = KvBits::k16);
/// Bytes of one position of such a cache, all layers.
int64_t kv_bytes_per_position(const ModelConfig& config, KvBits bits);

/// What an operation has to do at least.
struct OpWork {
  int64_t bytes = 0;      // of weights, tables and caches read; not activations
  int64_t int8_macs = 0;  // multiply-adds of bytes
  int64_t f32_macs = 0;   // of floats: products with dense weights, attention; not norms and the like
};

/// One operation's share since the op set was made or reset. Products are told apart by the linear: "multiply q",
/// "multiply down", "multiply head".
struct OpProfile {
  std::string name;
  int64_t calls = 0;
  double seconds = 0.0;
  OpWork work;
};

// Of an op set that make_cpu_ops made (Error{kDefect} otherwise).
/// In the order of execution; empty unless CpuOptions::profile.
std::vector<OpProfile> profile_of(const Ops& ops);
void reset_profile(Ops& ops);
/// Scratch memory reserved so far.
int64_t arena_bytes(const Ops& ops);
/// How activations enter products from now on: the same weights serve them all.
void set_activations(Ops& ops, Activations activations);
Activations activations_of(const Ops& ops);
/// The pool its operations run on (between steps others may use it), its size the number of threads.
ThreadPool& thread_pool_of(Ops& ops);

}  // namespace paro
